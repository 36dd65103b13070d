/* What C++ makes of thread-local storage: the host's variables of std::call_once, constructors and destructors for each
   thread, and inline variables, of which two objects share one. */
#include "tls_once.hpp"

#include <cstdio>
#include <mutex>

extern "C" int run(int step);

static std::once_flag flag;
static int called;

struct noisy {
    int number = 3;
    ~noisy() { std::printf("gone at %d\n", number); }
};
static thread_local noisy mine;

extern "C" int run(int step) {
    std::call_once(flag, [] { called++; });
    mine.number += step, holder<int>::value += step;
    return called + 10 * mine.number + 100 * holder<int>::value + 1000 * other(step);
}
