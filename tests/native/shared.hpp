// Definitions that both objects of the C++ test contain, in COMDAT groups: one copy is linked.
struct Shape {
    virtual ~Shape() = default;
    virtual double area() const { return 1; }
};

struct Problem {
    int number;
};

template <typename T> T &instance() {
    static T value{};
    return value;
}

template <typename T> T largest(T one, T other) { return one < other ? other : one; }

inline int inline_counter = 40;

void thrower(int number);
const Shape *square();
int *other_instance();
