// expect: xsoftmax: logits must be a range or view of float or double
#include <xsoftmax/xsoftmax.hpp>

void f(const int* logits, float* probabilities)
{
    xsoftmax::softmax(xsoftmax::matrix_view(logits, 2, 3), xsoftmax::matrix_view(probabilities, 2, 3));
}
