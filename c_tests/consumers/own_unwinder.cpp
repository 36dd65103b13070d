// An exception passes from a function of this program through loaded code and back, whichever unwinder the program is
// linked with: own_unwinder PASS.o. The code is loaded in C (own_unwinder.c) and by artifact.hpp.
#include <artifact.hpp>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

using function_t = int (*)(int);
extern "C" function_t load_pass(const std::uint8_t *object, std::size_t len, function_t callback);

static int callback(int number) {
    if (number == 7) throw 42;
    return number;
}

template <class Pass> static int caught(Pass pass) {
    try {
        return pass(1) == 2 ? pass(7) : 0;
    } catch (int number) {
        return number;
    }
}

int main(int argc, char **argv) try {
    if (argc != 2) return 2;
    std::ifstream stream(argv[1], std::ios::binary);
    const std::vector<char> chars{std::istreambuf_iterator<char>(stream), {}};
    const std::vector<std::uint8_t> object(chars.begin(), chars.end());

    const auto host = artifact::engine::host();
    auto builder = artifact::builder::create(host);
    const artifact_object_t objects[] = {{"pass.o", object.data(), object.size()}};
    builder.add_objects(objects);
    const auto saved = builder.serialize();
    const artifact_import_t imports[] = {artifact::define("callback", callback)};
    artifact::load_options options;
    options.symbols = imports;
    const auto code = artifact::file::open_bytes(saved, host).load(host, options);

    const int in_c = caught(load_pass(object.data(), object.size(), callback));
    const int in_cpp = caught(code.function<int(int)>("pass"));
    std::cout << "caught " << in_c << " and " << in_cpp << '\n';
    return in_c == 42 && in_cpp == 42 ? 0 : 1;
} catch (const artifact::error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
