#include <artifact.hpp>
#include <artifact.hpp> // including it twice is fine

#include "check.hpp"

// Runs all tests, or the one that is named.
int main(int argc, char **argv) {
    bool found = false;
    for (const check::test &test : check::tests()) {
        if (argc > 1 && test.name != argv[1]) continue;
        found = true;
        test.run();
    }
    return found ? 0 : 1;
}
