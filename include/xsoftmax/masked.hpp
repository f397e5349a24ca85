#pragma once

/// softmax, log_softmax and cross-entropy over the elements that a mask keeps.

#include "cross_entropy.hpp"
#include "detail/arguments.hpp"
#include "detail/masks.hpp"
#include "mask.hpp"
#include "options.hpp"
#include "views.hpp"

namespace xsoftmax {

/// Softmax of the kept elements along an axis, 0 for all others: p[i] = keep[i]·exp(x[i]/T) / Σ_{j kept} exp(x[j]/T), with the
/// bias added to x.
///
/// Shapes: `logits` and `probabilities` are views of the same extents, which may be the same view; what the mask holds is
/// broadcast over them.
/// Options: as for softmax; the mask's `nothing_kept` says what a row gets in which nothing is kept, zeros by default.
/// Error: that of softmax, for the sums x + bias as they round in T.
/// Throws: as softmax; std::invalid_argument if a part of the mask cannot be broadcast, or a row keeps nothing and that is to
/// be an error; std::out_of_range if a length is not in [0, extent of the axis]; nothing is written then.
template <detail::input_tensor Logits, detail::output_tensor_like<Logits> Probabilities>
void masked_softmax(const Logits& logits, const Probabilities& probabilities,
                    const mask<detail::tensor_element<Logits>>& mask, softmax_options options = {})
{
    using T = detail::tensor_element<Logits>;
    const auto in = detail::as_input(logits);
    const auto out = detail::as_output(probabilities);
    detail::check_temperature("masked_softmax", options.temperature);
    const std::size_t axis = detail::check_axis("masked_softmax", options.axis, in.rank);
    detail::check_countable("masked_softmax", "logits", in);
    detail::check_output("masked_softmax", "probabilities", out, "logits", in);
    const detail::row_masks<T> masks("masked_softmax", mask, in, axis);

    const T nothing = std::exp(masks.log_probability_of_nothing());
    detail::run_masked_batch<kernels::softmax_operation<T>>(axis, in, out, masks, T(0), nothing, options.temperature);
}

/// Logarithm of masked_softmax: −inf for what is left out. All else as there.
template <detail::input_tensor Logits, detail::output_tensor_like<Logits> LogProbabilities>
void masked_log_softmax(const Logits& logits, const LogProbabilities& log_probabilities,
                        const mask<detail::tensor_element<Logits>>& mask, softmax_options options = {})
{
    using T = detail::tensor_element<Logits>;
    const auto in = detail::as_input(logits);
    const auto out = detail::as_output(log_probabilities);
    detail::check_temperature("masked_log_softmax", options.temperature);
    const std::size_t axis = detail::check_axis("masked_log_softmax", options.axis, in.rank);
    detail::check_countable("masked_log_softmax", "logits", in);
    detail::check_output("masked_log_softmax", "log_probabilities", out, "logits", in);
    const detail::row_masks<T> masks("masked_log_softmax", mask, in, axis);

    detail::run_masked_batch<kernels::log_softmax_operation<T>>(
        axis, in, out, masks, -std::numeric_limits<T>::infinity(), masks.log_probability_of_nothing(),
        options.temperature);
}

}  // namespace xsoftmax
