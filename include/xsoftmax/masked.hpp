#pragma once

/// masked_softmax and masked_log_softmax: softmax and log_softmax of masked(logits, mask), for short.

#include "mask.hpp"
#include "softmax.hpp"

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// Softmax of the kept elements along an axis, 0 for all others: softmax(masked(logits, mask), probabilities, options).
template <tensor Logits, tensor Probabilities>
void masked_softmax(const Logits& logits, const Probabilities& probabilities,
                    const mask<detail::value_type<const Logits&>>& mask, softmax_options options = {})
{
    softmax(masked(logits, mask), probabilities, options);
}

/// Its logarithm, −inf for all others.
template <tensor Logits, tensor LogProbabilities>
void masked_log_softmax(const Logits& logits, const LogProbabilities& log_probabilities,
                        const mask<detail::value_type<const Logits&>>& mask, softmax_options options = {})
{
    log_softmax(masked(logits, mask), log_probabilities, options);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
