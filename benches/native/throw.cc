// Throws and catches one exception inside a module.
extern "C" int throw_and_catch(int n);

static void __attribute__((noinline)) thrower(int n) {
    if (n) throw n;
}

int throw_and_catch(int n) {
    try {
        thrower(n);
    } catch (int caught) {
        return caught;
    }
    return -1;
}
