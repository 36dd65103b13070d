// Shared by the translation units of `odr`, which are compiled in different modes.
#pragma once
#include <artifact.hpp>
#include <stdexcept>
#include <string>

std::string throwing(const char *path);  // C++17
std::string returning(const char *path); // C++20, without exceptions
void throws();                           // C++20
