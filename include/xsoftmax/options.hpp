#pragma once

/// What the functions can be told beside their operands.

#include "version.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace xsoftmax {

/// Options of softmax, log_softmax and log_sum_exp, and of their backward passes.
struct softmax_options {
    /// Divides the logits: below 1 sharpens, above 1 flattens. 0 is the exact limit: the maxima share the mass.
    /// Any finite value ≥ 0, for rows of float and double alike; > 0 for a backward pass.
    double temperature = 1;

    /// The axis of a view along which weights sum to 1: 0 is the first, −1 the last. A row has one axis.
    std::ptrdiff_t axis = -1;
};

/// From the losses of many rows to one number.
enum class reduction {
    mean,  ///< their sum over the sum of the rows' weights, as PyTorch's cross_entropy
    sum    ///< their sum
};

/// Options of softmax_cross_entropy and cross_entropy_losses, of one row of T or of many.
template <class T>
struct cross_entropy_options {
    /// Divides the logits. Any finite value > 0: at 0 the loss has no gradient.
    double temperature = 1;

    /// Of softmax_cross_entropy; cross_entropy_losses gives the losses as they are.
    enum reduction reduction = reduction::mean;

    /// In [0, 1]: every target is mixed with the uniform distribution, (1 − label_smoothing)·t + label_smoothing/classes.
    double label_smoothing = 0;

    /// Rows with this class as their target count for nothing: loss and gradient are 0. Without effect where targets are
    /// probabilities.
    std::int64_t ignore_index = -100;

    /// One for each class, or none: the terms of the loss are multiplied by it.
    std::span<const T> class_weights = {};

    /// Adds z_loss·(log Σ exp(x/T))² to each row's loss, which keeps logits from drifting (as in training PaLM, 2022).
    double z_loss = 0;

    /// The axis of the classes: 0 is the first, −1 the last.
    std::ptrdiff_t axis = -1;
};

}  // namespace xsoftmax
