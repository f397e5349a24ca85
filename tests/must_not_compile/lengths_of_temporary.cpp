// expect: could not convert|no viable conversion|no matching function
#include <xsoftmax/mask.hpp>

xsoftmax::mask<float> f() { return {.lengths = std::vector<int>{1, 0, 1}}; }
