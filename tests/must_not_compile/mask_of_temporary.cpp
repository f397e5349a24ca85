// expect: deleted function|no matching function for call to .masked
#include <xsoftmax/mask.hpp>

void f(const std::vector<float>& logits)
{
    (void)xsoftmax::masked(logits, {.keep = std::vector<unsigned char>{1, 0, 1}});
}
