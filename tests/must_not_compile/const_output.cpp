// expect: xsoftmax: the output is const
#include <xsoftmax/xsoftmax.hpp>

void f(const std::vector<float>& logits, const std::vector<float>& probabilities)
{
    xsoftmax::softmax(logits, probabilities);
}
