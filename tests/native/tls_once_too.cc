/* The other object of tls_once.cc. */
#include "tls_once.hpp"

int other(int step) { return shared_by_all += holder<int>::value + step; }
