// One step of training a classifier: the loss of a batch, and its gradient.
#include <xsoftmax/cross_entropy.hpp>

#include <cstddef>
#include <span>

float step(const float* logits, std::size_t rows, std::size_t classes, std::span<const int> labels, float* gradient)
{
    return xsoftmax::softmax_cross_entropy(xsoftmax::matrix_view(logits, rows, classes), labels,
                                           xsoftmax::matrix_view(gradient, rows, classes));
}
