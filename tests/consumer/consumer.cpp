// The same project in C++.
#include "consumer.c"
