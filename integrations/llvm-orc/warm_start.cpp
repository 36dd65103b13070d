/*
 * The way that pays: warm_start FOLDER COMPILER.SO prints fib(90), and how often LLVM compiled. The first start
 * compiles; later ones map the linked code from FOLDER, and load neither LLVM nor the plug-in that uses it.
 */
#include "program.hpp"

#include <artifact.hpp>
#include <cstdint>
#include <dlfcn.h>
#include <iostream>
#include <stdexcept>
#include <string>

namespace {

int compiled = 0;

/* Compiles with the plug-in, which is loaded only now. */
void compile(artifact::builder &builder, const char *plugin) {
    void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    const auto compile_ir =
        reinterpret_cast<const std::string &(*)(const char *, std::size_t)>(dlsym(library, "compile_ir"));
    const std::string &object = compile_ir(program.data(), program.size());
    compiled++;
    const artifact_object_t objects[] = {
        {"program", reinterpret_cast<const std::uint8_t *>(object.data()), object.size()}};
    builder.add_objects(objects);
}

} // namespace

int main(int argc, char **argv) try {
    if (argc != 3) return 2;
    const auto host = artifact::engine::host();
    const auto cache = artifact::cache::open(argv[1], host);
    artifact::cache_key key;
    key.add("IR", program);
    const auto found = cache.get_or_make(key, [&](artifact::builder &builder) { compile(builder, argv[2]); });
    const auto code = found.artifact.load(host);
    std::cout << "fib(90) = " << code.function<std::int64_t(std::int64_t)>("fib")(90) << ", compiled " << compiled
              << '\n';
    return 0;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
