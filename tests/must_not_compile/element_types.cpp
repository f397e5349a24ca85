// expect: xsoftmax: logits and output must have the same element type
#include <xsoftmax/xsoftmax.hpp>

void f(const std::vector<float>& logits, std::vector<double>& probabilities)
{
    xsoftmax::softmax(logits, probabilities);
}
