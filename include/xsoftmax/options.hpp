#pragma once

namespace xsoftmax {

/// Options of softmax, log_softmax and log_sum_exp.
struct softmax_options {
    /// Divides the logits: below 1 sharpens, above 1 flattens. 0 is the exact limit: the maxima share the mass.
    /// Any finite value ≥ 0, for rows of float and double alike.
    double temperature = 1;
};

/// Options of softmax_cross_entropy.
struct cross_entropy_options {
    /// Divides the logits. Any finite value > 0: at 0 the loss has no gradient.
    double temperature = 1;
};

}  // namespace xsoftmax
