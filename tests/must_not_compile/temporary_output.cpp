// expect: xsoftmax: the output is a temporary that owns its elements
#include <xsoftmax/xsoftmax.hpp>

void f(const std::vector<float>& logits) { xsoftmax::softmax(logits, std::vector<float>(logits.size())); }
