#pragma once

template <class T> struct holder { static thread_local T value; };
template <class T> thread_local T holder<T>::value = T(2);

inline thread_local int shared_by_all = 4;

int other(int step);
