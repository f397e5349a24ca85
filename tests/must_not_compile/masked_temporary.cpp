// expect: deleted function
#include <xsoftmax/mask.hpp>

void f() { (void)xsoftmax::masked(std::vector<float>{1, 0, 1}, {.causal = 0}); }
