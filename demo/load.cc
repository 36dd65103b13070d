// In another process, opens the artifact that link.c saved, checks that it fits, loads it, calls its functions, and
// catches an exception.
#include "settings.h"
#include <artifact.hpp>
#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>

int main(int argc, char **argv) try {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " FILE\n";
        return 2;
    }
    auto host = artifact::engine::host();
    add_compiler_settings(host.get());
    const auto file = artifact::file::open(argv[1], host);
    file.check_compat(host);
    std::cout << "  compatible with this host\n";

    artifact::load_options options;
    options.process_symbols = true; // those of the C++ library, which this program is linked with
    const auto code = file.load(host, options);
    const auto fib = code.function<std::int64_t(std::int64_t)>("fib");
    const auto fib_of_words = code.function<std::int64_t(const char *)>("fib_of_words");
    const auto divide = code.function<std::int64_t(std::int64_t, std::int64_t)>("divide");

    const char *text = "compiled once, loaded many times";
    const auto number = fib(42), of_words = fib_of_words(text), tenth = divide(number, 10);
    std::cout << "  fib(42) = " << number << '\n';
    std::cout << "  fib_of_words(\"" << text << "\") = " << of_words << '\n';
    std::cout << "  divide(fib(42), 10) = " << tenth << '\n';
    bool caught = false;
    try {
        divide(number, 0);
    } catch (const std::domain_error &error) {
        std::cout << "  divide(fib(42), 0) throws: " << error.what() << '\n';
        caught = true;
    }
    if (caught && number == 267914296 && of_words == 5 && tenth == 26791429) return 0;
    std::cerr << "unexpected results\n";
    return 1;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
