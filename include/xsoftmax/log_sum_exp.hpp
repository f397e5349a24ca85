#pragma once

/// log_sum_exp, of one row or along an axis of a view.

#include "version.hpp"

#include "detail/arguments.hpp"
#include "detail/run.hpp"
#include "executor.hpp"
#include "mask.hpp"
#include "options.hpp"
#include "views.hpp"

#include <vector>

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// Logarithm of the sum of exponentials of a row: log Σ_i exp(x[i]/T) = max x/T + log Σ_i exp((x[i] − max x)/T).
///
/// Shapes: `logits` is a contiguous range of float or double of length n ≥ 0, or that under a mask.
/// Options: `temperature` T ≥ 0, default 1. At T = 0 the limit: +inf or −inf as the maximum is positive or negative, and
/// log(how many zeros) where it is 0.
/// Values: −inf for an empty row, for a row of −inf, and for a fully masked one (NaN where the mask says so); +inf if any
/// element is +inf; NaN if any element is NaN.
/// Error: at most 4 ULP for every n ≤ 2^24. Where max x/T is negative and cancels the logarithm, the bound is relative to the
/// larger of them: the logits' own rounding is no smaller.
/// Throws: as softmax.
/// Method: Blanchard, Higham & Higham, IMA J. Numer. Anal. 41 (2021), with log1p of the sum without the maximum.
template <detail::operand_like Logits>
requires detail::is_row_like<const Logits&>
[[nodiscard]] auto log_sum_exp(const Logits& logits, softmax_options options = {})
{
    static_assert(detail::check_logits<const Logits&>());
    using T = detail::value_type<const Logits&>;
    if constexpr (detail::range<const Logits&>)
        return detail::run_log_sum_exp_of_row(detail::as_input(logits), options);
    else {
        T value = 0;
        log_sum_exp(serial_executor{}, logits, std::span<T>(&value, 1), options);
        return value;
    }
}

/// One value for each row of a view, in row-major order of the other axes.
///
/// Shapes: `values` is a contiguous range of the logits' type, with an element for each row, outside of the memory that the
/// logits span.
/// Options: `axis`, default the last one; temperature as above.
/// Throws: as softmax; std::invalid_argument if `values` has another length or lies among the logits; nothing is written then.
template <detail::operand_like Logits, detail::range Values>
void log_sum_exp(const Logits& logits, Values&& values, softmax_options options = {})
{
    log_sum_exp(serial_executor{}, logits, static_cast<Values&&>(values), options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like Logits, detail::range Values>
void log_sum_exp(Executor&& executor, const Logits& logits, Values&& values, softmax_options options = {})
{
    using T = detail::value_type<const Logits&>;
    static_assert(detail::check_logits<const Logits&>() && detail::check_output_type<Values, T, 1>());
    detail::run_log_sum_exp(executor, "log_sum_exp", detail::as_input(logits), std::span<T>(values),
                            detail::mask_of(logits), options);
}

/// The values of a view's rows as a new vector.
template <executor Executor, detail::operand_like Logits>
[[nodiscard]] auto log_sum_exp(Executor&& executor, const Logits& logits, softmax_options options = {})
{
    static_assert(detail::check_logits<const Logits&>());
    const auto in = detail::as_input(logits);
    detail::check_temperature("log_sum_exp", options.temperature);
    const std::size_t axis = detail::check_axis("log_sum_exp", options.axis, in.rank);
    detail::check_countable("log_sum_exp", "logits", in);
    std::vector<detail::value_type<const Logits&>> values(detail::rows_along(axis, {&in}).rows());
    log_sum_exp(executor, logits, values, options);
    return values;
}

/// On the caller's thread.
template <detail::operand_like Logits>
requires(!detail::is_row_like<const Logits&>)
    [[nodiscard]] auto log_sum_exp(const Logits& logits, softmax_options options = {})
{
    return log_sum_exp(serial_executor{}, logits, options);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
