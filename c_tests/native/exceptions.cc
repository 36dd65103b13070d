// Exceptions that one module throws, that pass through the host, and that another module catches; static objects.
#include <cstdio>
#include <stdexcept>
#include <string>

extern "C" {
typedef int (*host_fn)(int);
int throw_int(int n);
int catch_all(host_fn host, int n);
int through(host_fn host, int n, int *cleaned);
int what_length(host_fn host, int n);
int throw_error(int n);
int constructed(void);
int recurse_and_throw(int depth);
int local_static(void);
extern int *destroyed;
}

int *destroyed;

namespace {
struct Cleanup {
    int *cleaned;
    ~Cleanup() { ++*cleaned; }
};

struct Static {
    std::string text;
    Static() : text("made by a constructor, and too long to be stored in place") {}
    ~Static() {
        if (destroyed) ++*destroyed;
    }
};

Static object;

struct Derived : std::runtime_error {
    using std::runtime_error::runtime_error;
};
} // namespace

int throw_int(int n) {
    if (n > 0) throw n;
    return n;
}

int throw_error(int n) {
    if (n > 0) throw Derived(std::string(static_cast<size_t>(n), 'x'));
    return n;
}

int catch_all(host_fn host, int n) {
    try {
        return host(n);
    } catch (int caught) {
        return 1000 + caught;
    } catch (...) {
        return -1;
    }
}

int through(host_fn host, int n, int *cleaned) {
    Cleanup cleanup{cleaned};
    return host(n) + 1;
}

int what_length(host_fn host, int n) {
    try {
        return host(n);
    } catch (const std::exception &error) {
        return static_cast<int>(std::string(error.what()).size());
    }
}

int constructed(void) { return static_cast<int>(object.text.size()); }

int recurse_and_throw(int depth) {
    if (depth == 0) throw 77;
    volatile char frame[64] = {};
    return recurse_and_throw(depth - 1) + frame[0];
}

int local_static(void) {
    static Static once;
    return static_cast<int>(once.text.size());
}
