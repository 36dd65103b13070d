// Code for which C++ compilers emit exceptions, COMDAT groups, static objects and virtual tables.
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

#include "shared.hpp"

struct Speaker {
    const char *name;
    explicit Speaker(const char *name) : name(name) { std::printf("here is %s\n", name); }
    ~Speaker() { std::printf("goodbye from %s\n", name); }
};
static Speaker global("a global");

struct Circle : Shape {
    double area() const override { return 3; }
};

static int depth(int level) {
    Speaker guard("a guard");
    if (level == 0) throw std::out_of_range("deep");
    return depth(level - 1) + 1;
}

extern "C" int run() {
    static Speaker local("a local");
    try {
        depth(2);
    } catch (const std::out_of_range &error) {
        std::printf("caught %s\n", error.what());
    }
    try {
        thrower(7);
    } catch (const Problem &problem) {
        std::printf("caught problem %d\n", problem.number);
    }
    try {
        std::vector<int>().at(3);
    } catch (const std::exception &error) {
        std::printf("caught the library's %d\n", typeid(error) == typeid(std::out_of_range));
    }
    Circle circle;
    const Shape &shape = circle;
    std::printf("%.1f %.1f %s\n", shape.area(), square()->area(), typeid(shape).name());
    std::printf("same instance %d, cast %d\n", &instance<int>() == other_instance(),
                dynamic_cast<const Circle *>(square()) == nullptr);
    std::map<std::string, int> numbers{{"one", 1}, {"two", 2}};
    numbers["three"] = largest(numbers["one"], 3);
    std::string text;
    for (const auto &[name, number] : numbers) text += name + "=" + std::to_string(number) + " ";
    std::puts(text.c_str());
    return ++inline_counter;
}
