// expect: xsoftmax: the output is const
#include <xsoftmax/xsoftmax.hpp>

void f(const float* data, const std::vector<int>& targets)
{
    xsoftmax::softmax_cross_entropy(xsoftmax::matrix_view(data, 2, 3), targets, xsoftmax::matrix_view(data, 2, 3));
}
