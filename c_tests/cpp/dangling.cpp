// Must not compile with clang's -Werror=dangling: the name belongs to a file that has been destroyed.
#include <artifact.hpp>

std::size_t length(const char *path) {
    const std::string_view producer = artifact::file::open(path, artifact::inspect).producer();
    return producer.size();
}
