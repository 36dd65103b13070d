#include "odr.hpp"

void throws() { static_cast<void>(artifact::file::open("/no such file", artifact::inspect)); }
