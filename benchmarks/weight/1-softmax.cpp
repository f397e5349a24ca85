// One function of one row.
#include <xsoftmax/softmax.hpp>

#include <vector>

std::vector<float> weights(const std::vector<float>& logits) { return xsoftmax::softmax(logits); }
