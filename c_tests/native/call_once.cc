// std::call_once passes what it calls through thread-local variables of libstdc++.
#include <mutex>

extern "C" int once(int *count);

static std::once_flag flag;

int once(int *count) {
    std::call_once(flag, [count] { ++*count; });
    return *count;
}
