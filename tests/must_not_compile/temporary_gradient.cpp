// expect: xsoftmax: the output is a temporary that owns its elements
#include <xsoftmax/xsoftmax.hpp>

void f(xsoftmax::matrix_view<const float> logits, const std::vector<int>& targets)
{
    xsoftmax::cross_entropy_losses(logits, targets, std::vector<float>(2));
}
