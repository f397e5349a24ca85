// expect: xsoftmax: an output has no mask
#include <xsoftmax/xsoftmax.hpp>

void f(xsoftmax::matrix_view<const float> logits, xsoftmax::matrix_view<float> to)
{
    xsoftmax::softmax(logits, xsoftmax::masked(to, {}));
}
