// What the translation units of `odr` are compiled as differs; what they share is this.
#pragma once
#include <artifact.hpp>
#include <stdexcept>
#include <string>

std::string throwing(const char *path);  // C++17
std::string returning(const char *path); // C++20, without exceptions
void throws();                           // C++20
