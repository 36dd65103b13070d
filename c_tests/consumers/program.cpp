// A user's program with artifact.hpp, for an installed copy of the library.
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
