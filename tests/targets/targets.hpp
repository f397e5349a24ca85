#pragma once

/// What the units of the program are called with and what they give: plain arrays.

#include <cstddef>

template <class T>
struct results_of {
    static constexpr std::size_t rows = 70, columns = 19;

    T row[rows * columns], row_gradient[rows * columns], row_loss;
    T softmax[rows * columns], log_softmax[rows * columns], log_sum_exp[rows];
    T losses[rows], gradient[rows * columns], target_gradient[rows * columns], loss;
    T masked[rows * columns], softmax_backward[rows * columns], log_softmax_backward[rows * columns];
};

struct results {
    results_of<float> of_float;
    results_of<double> of_double;
    float log_sum_exp_of_infinity;
};

struct inputs {
    float logits_float[results_of<float>::rows * results_of<float>::columns];
    float targets_float[results_of<float>::rows * results_of<float>::columns];
    double logits_double[results_of<double>::rows * results_of<double>::columns];
    double targets_double[results_of<double>::rows * results_of<double>::columns];
    float with_infinity[results_of<float>::columns];
};
