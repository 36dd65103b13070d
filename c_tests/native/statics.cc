// Objects that are constructed when a function is called first, and no constructors.
extern "C" {
void set_host(void (*function)(int));
int local_statics();
}

static void (*host)(int);

void set_host(void (*function)(int)) { host = function; }

namespace {
struct Static {
    int number;
    Static(int n) : number(n) { host(n); }
    ~Static() { host(10 + number); }
};
} // namespace

int local_statics() {
    static Static one(1), two(2);
    return one.number + two.number;
}
