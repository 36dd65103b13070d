// The second object of the C++ test.
#include <cstdio>

#include "shared.hpp"

struct Square : Shape {
    double area() const override { return largest(2.0, 1.0); }
};

static Square one;

const Shape *square() { return &one; }
int *other_instance() { return ++inline_counter, &instance<int>(); }

void thrower(int number) {
    try {
        throw Problem{number};
    } catch (Problem &problem) {
        problem.number *= 2;
        throw;
    }
}
