// The harness of the C++ tests. Test files are compiled with exceptions and without, and use these macros to work in
// both modes:
//
//     OK(call)       returns the value of a call, which must succeed
//     FAILS(call)    returns the artifact::error of a call, which must fail
#pragma once
#include <artifact.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <unistd.h>
#include <vector>

#define TEST(name)                                                                                                     \
    static void test_##name();                                                                                         \
    [[maybe_unused]] static const bool added_##name = check::add(#name, test_##name);                                  \
    static void test_##name()
#define CHECK(...) (static_cast<bool>(__VA_ARGS__) ? void() : check::fail(__FILE__, __LINE__, #__VA_ARGS__))

namespace check {

struct test {
    std::string name;
    void (*run)();
};

inline std::vector<test> &tests() {
    static std::vector<test> all;
    return all;
}

inline bool add(const char *name, void (*run)()) {
    tests().push_back({name, run});
    return true;
}

[[noreturn]] inline void fail(const char *file, int line, const char *what) {
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what);
    std::exit(1);
}

#ifdef ARTIFACT_NO_EXCEPTIONS

#define OK(...) check::value_of(__FILE__, __LINE__, (__VA_ARGS__))
#define FAILS(...) check::error_of([&] { return (__VA_ARGS__); })

template <class T> T value_of(const char *file, int line, artifact::result<T> result) {
    if (!result) fail(file, line, result.error().what());
    if constexpr (!std::is_void_v<T>) return *std::move(result);
}

template <class Call> artifact::error error_of(Call call) {
    const auto result = call();
    CHECK(!result && !result.has_value());
    return result.error();
}

#else

#define OK(...) (__VA_ARGS__)
#define FAILS(...) check::error_of([&] { static_cast<void>(__VA_ARGS__); })

template <class Call> artifact::error error_of(Call call) {
    try {
        call();
    } catch (const artifact::error &error) {
        return error;
    }
    fail(__FILE__, __LINE__, "a call that should have failed did not");
}

#endif

inline std::string fixture(const std::string &name) { return std::string(FIXTURES_DIR "/") + name; }

/// Returns a path in a folder of this process, which is removed when the process ends.
inline std::filesystem::path scratch(const char *name) {
    static const struct folder {
        std::filesystem::path path;
        folder() {
            const char *parent = std::getenv("TEST_TMP");
            path = parent ? parent : "/tmp";
            path /= "artifact-cpp-test-" + std::to_string(getpid());
            std::filesystem::create_directories(path);
        }
        folder(const folder &) = delete;
        folder &operator=(const folder &) = delete;
        ~folder() { std::filesystem::remove_all(path); }
    } folder;
    return folder.path / name;
}

inline std::vector<char> contents(const std::filesystem::path &path) {
    std::ifstream in(path, std::ios::binary);
    CHECK(in.good());
    return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace check
