// Opens a file in C++17, and catches an exception that was thrown in C++20.
#include "odr.hpp"

#include <cstdio>

std::string throwing(const char *path) {
    const artifact::file file = artifact::file::open(path, artifact::inspect);
    return std::string(file.producer()) + std::string(file.main_module().section(".text").name());
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    if (throwing(argv[1]) != "wasmtime.text" || returning(argv[1]) != "wasmtime.text") return 1;
    try {
        throws();
    } catch (const artifact::error &error) {
        std::puts(error.what());
        return error.status() == artifact::status::io ? 0 : 1;
    }
    return 1;
}
