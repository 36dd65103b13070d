// A program of a user of artifact.hpp, against an installed copy.
#include <artifact.hpp>
#include <iostream>

int main() {
    std::cout << "libartifact " << artifact::version_string() << ": ";
    try {
        artifact::file::open("no such file", artifact::engine::host());
    } catch (const artifact::error &error) {
        std::cout << error.what() << '\n';
        return error.code() == std::errc::no_such_file_or_directory ? 0 : 1;
    }
    return 1;
}
