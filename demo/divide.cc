// Compiled code of the demo, part 3: C++ code that throws.
#include <cstdint>
#include <stdexcept>
#include <string>

extern "C" std::int64_t divide(std::int64_t a, std::int64_t b);

std::int64_t divide(std::int64_t a, std::int64_t b) {
    if (b == 0) throw std::domain_error(std::to_string(a) + " / 0 has no value");
    return a / b;
}
