#pragma once

/// What a unit that is compiled with -ffast-math makes of a row (fast_math.cpp).

#include <vector>

template <class T>
struct fast_results {
    std::vector<T> softmax, log_softmax, gradient;
    T log_sum_exp, loss;
};

/// The loss of one row of a batch whose elements are kept or not, with label smoothing, and its gradient.
template <class T>
T masked_loss_with_fast_math(const std::vector<T>& logits, const std::vector<unsigned char>& keep, std::size_t target,
                             double label_smoothing, std::vector<T>& gradient);

template <class T>
struct fast_backward_results {
    std::vector<T> softmax, log_softmax;
};

template <class T>
fast_results<T> with_fast_math(const std::vector<T>& logits, std::size_t target, double temperature = 1);

template <class T>
fast_backward_results<T> backward_with_fast_math(const std::vector<T>& probabilities,
                                                 const std::vector<T>& log_probabilities,
                                                 const std::vector<T>& upstream, double temperature);
