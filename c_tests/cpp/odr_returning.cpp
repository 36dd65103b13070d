// Calls functions of the same name, which return results in this mode.
#include "odr.hpp"

std::string returning(const char *path) {
    const artifact::result<artifact::file> file = artifact::file::open(path, artifact::inspect);
    if (!file) return file.error().what();
    return std::string(file->producer()) + std::string(file->main_module()->section(".text")->name());
}
