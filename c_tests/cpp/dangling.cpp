// Doesn't compile with clang's -Werror=dangling: the name belongs to a file that is gone.
#include <artifact.hpp>

std::size_t length(const char *path) {
    const std::string_view producer = artifact::file::open(path, artifact::inspect).producer();
    return producer.size();
}
