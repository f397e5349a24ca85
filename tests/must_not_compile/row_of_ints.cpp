// expect: xsoftmax: logits must be a range or view of float or double
#include <xsoftmax/xsoftmax.hpp>

void f(const std::vector<int>& logits, std::vector<float>& probabilities) { xsoftmax::softmax(logits, probabilities); }
