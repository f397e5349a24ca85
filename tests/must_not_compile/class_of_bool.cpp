// expect: xsoftmax: a class is an integer, and neither bool
#include <xsoftmax/xsoftmax.hpp>

float f(const std::vector<float>& logits) { return xsoftmax::softmax_cross_entropy(logits, true); }
