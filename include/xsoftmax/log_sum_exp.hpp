#pragma once

/// log_sum_exp of one row.

#include "detail/arguments.hpp"
#include "detail/regime.hpp"
#include "detail/rows.hpp"
#include "options.hpp"

#include <limits>

namespace xsoftmax {

/// Logarithm of the sum of exponentials of a row: log Σ_i exp(x[i]/T) = max x/T + log Σ_i exp((x[i] − max x)/T).
///
/// Shapes: `logits` is a contiguous range of float or double of length n ≥ 0.
/// Options: `temperature` T ≥ 0, default 1. At T = 0 the limit: +inf or −inf as the maximum is positive or negative, and
/// log(how many zeros) where it is 0.
/// Values: −inf for an empty row and for a row of −inf; +inf if any element is +inf; NaN if any element is NaN.
/// Error: at most 4 ULP for every n ≤ 2^24. Where max x/T is negative and cancels the logarithm, the bound holds relative to
/// max x/T: the logits' own rounding is no smaller.
/// Throws: std::invalid_argument if T is not in [0, ∞).
/// Method: Blanchard, Higham & Higham, IMA J. Numer. Anal. 41 (2021), with log1p of the sum without the maximum.
template <detail::row Logits>
[[nodiscard]] detail::element_of<Logits> log_sum_exp(Logits&& logits, softmax_options options = {})
{
    using T = detail::element_of<Logits>;
    const auto in = detail::as_input(logits);
    detail::check_temperature("log_sum_exp", options.temperature);
    if (in.empty()) return -std::numeric_limits<T>::infinity();

    kernels::log_sum_exp_operation operation{options.temperature};
    detail::run_row(operation, in, options.temperature);
    return static_cast<T>(operation.result);
}

}  // namespace xsoftmax
