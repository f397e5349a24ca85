// expect: xsoftmax: std::vector<bool> has no bools in memory
#include <xsoftmax/mask.hpp>

void f(const std::vector<float>& logits, const std::vector<bool>& keep)
{
    (void)xsoftmax::masked(logits, {.keep = keep});
}
