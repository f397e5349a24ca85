// Compiled with -ffast-math, which lets compilers take every expression for one of real numbers.
#include "fast_math.hpp"

#include <xsoftmax/xsoftmax.hpp>

template <class T>
fast_results<T> with_fast_math(const std::vector<T>& logits, std::size_t target, double temperature)
{
    fast_results<T> results{
        std::vector<T>(logits.size()), std::vector<T>(logits.size()), std::vector<T>(logits.size()), {}, {}};
    xsoftmax::softmax(logits, results.softmax, {.temperature = temperature});
    xsoftmax::log_softmax(logits, results.log_softmax, {.temperature = temperature});
    results.log_sum_exp = xsoftmax::log_sum_exp(logits, {.temperature = temperature});
    results.loss = xsoftmax::softmax_cross_entropy(logits, target, results.gradient, {.temperature = temperature});
    return results;
}

template <class T>
T masked_loss_with_fast_math(const std::vector<T>& logits, const std::vector<unsigned char>& keep, std::size_t target,
                             double label_smoothing, std::vector<T>& gradient)
{
    const std::size_t n = logits.size(), targets[] = {target};
    return xsoftmax::softmax_cross_entropy(
        xsoftmax::masked(xsoftmax::matrix_view<const T>(logits.data(), 1, n),
                         {.keep = xsoftmax::matrix_view<const unsigned char>(keep.data(), 1, n)}),
        targets, xsoftmax::matrix_view<T>(gradient.data(), 1, n), {.label_smoothing = label_smoothing});
}

template <class T>
fast_backward_results<T> backward_with_fast_math(const std::vector<T>& probabilities,
                                                 const std::vector<T>& log_probabilities,
                                                 const std::vector<T>& upstream, double temperature)
{
    fast_backward_results<T> results{std::vector<T>(upstream.size()), std::vector<T>(upstream.size())};
    xsoftmax::softmax_backward(probabilities, upstream, results.softmax, {.temperature = temperature});
    xsoftmax::log_softmax_backward(log_probabilities, upstream, results.log_softmax, {.temperature = temperature});
    return results;
}

template fast_results<float> with_fast_math(const std::vector<float>&, std::size_t, double);
template fast_results<double> with_fast_math(const std::vector<double>&, std::size_t, double);
template float masked_loss_with_fast_math(const std::vector<float>&, const std::vector<unsigned char>&, std::size_t,
                                          double, std::vector<float>&);
template double masked_loss_with_fast_math(const std::vector<double>&, const std::vector<unsigned char>&, std::size_t,
                                           double, std::vector<double>&);
template fast_backward_results<float> backward_with_fast_math(const std::vector<float>&, const std::vector<float>&,
                                                              const std::vector<float>&, double);
template fast_backward_results<double> backward_with_fast_math(const std::vector<double>&, const std::vector<double>&,
                                                               const std::vector<double>&, double);
