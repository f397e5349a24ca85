#pragma once

/// log_sum_exp, of one row or along an axis of a view.

#include "detail/arguments.hpp"
#include "detail/rows.hpp"
#include "detail/run.hpp"
#include "options.hpp"
#include "views.hpp"

#include <vector>

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// Logarithm of the sum of exponentials of a row: log Σ_i exp(x[i]/T) = max x/T + log Σ_i exp((x[i] − max x)/T).
///
/// Shapes: `logits` is a contiguous range of float or double of length n ≥ 0.
/// Options: `temperature` T ≥ 0, default 1. At T = 0 the limit: +inf or −inf as the maximum is positive or negative, and
/// log(how many zeros) where it is 0.
/// Values: −inf for an empty row and for a row of −inf; +inf if any element is +inf; NaN if any element is NaN.
/// Error: at most 3 ULP (4 for double, and on other than AVX2 and AVX-512) for every n ≤ 2^24. Where max x/T is negative and
/// cancels the logarithm, the bound is relative to the larger of them: the logits' own rounding is no smaller.
/// Throws: std::invalid_argument if T is not in [0, ∞).
/// Method: Blanchard, Higham & Higham, IMA J. Numer. Anal. 41 (2021), with log1p of the sum without the maximum.
template <detail::row Logits>
[[nodiscard]] detail::element_of<Logits> log_sum_exp(Logits&& logits, softmax_options options = {})
{
    using T = detail::element_of<Logits>;
    const auto in = detail::as_input(logits);
    detail::check_temperature("log_sum_exp", options.temperature);
    detail::check_row_axis("log_sum_exp", options.axis);
    if (in.empty()) return -kernels::infinity<T>;

    kernels::log_sum_exp_operation operation{options.temperature};
    detail::run_row(operation, in, options.temperature);
    return static_cast<T>(operation.result);
}

/// log_sum_exp along an axis of a view: one value for each row, in row-major order of the other axes.
///
/// Shapes: `logits` is a view of float or double; `values` a contiguous range of its type, with as many elements as there
/// are rows, outside of the memory that the logits span.
/// Options: `axis`, default the last one; temperature as above.
/// Throws: as above; std::out_of_range if there is no such axis; std::invalid_argument if `values` has another length or
/// lies among the logits, or there are too many elements; nothing is written then.
template <detail::input_tensor Logits, detail::output_row<detail::tensor_element<Logits>> Values>
void log_sum_exp(const Logits& logits, Values&& values, softmax_options options = {})
{
    log_sum_exp(serial_executor{}, logits, values, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::output_row<detail::tensor_element<Logits>> Values>
void log_sum_exp(Executor&& executor, const Logits& logits, Values&& values, softmax_options options = {})
{
    using T = detail::tensor_element<Logits>;
    const auto in = detail::as_input(logits);
    const auto out = detail::as_output(values);
    detail::check_temperature("log_sum_exp", options.temperature);
    const std::size_t axis = detail::check_axis("log_sum_exp", options.axis, in.rank);
    detail::check_countable("log_sum_exp", "logits", in);
    const auto layout = detail::rows_along(axis, in);
    detail::check_count("log_sum_exp", "values", out.size(), layout.rows(), "rows");
    detail::check_apart("log_sum_exp", "values", out, "logits", in);

    if (layout.length == 0) {
        detail::fill(out.data(), out.size(), -kernels::infinity<T>);
        return;
    }
    const auto rows = detail::arranged<T>(layout, options.temperature);
    detail::in_shares(executor, rows, [&](detail::rows_share share) {
        detail::run_operations_of_share<false>(
            rows, share, detail::data_of<T>(in), options.temperature,
            [&](const auto&, const auto&, std::size_t) { return kernels::log_sum_exp_operation{options.temperature}; },
            [&](std::size_t r, const kernels::log_sum_exp_operation& row) { out[r] = static_cast<T>(row.result); });
    });
}

/// The same as a new vector.
template <detail::input_tensor Logits>
[[nodiscard]] auto log_sum_exp(const Logits& logits, softmax_options options = {})
{
    return log_sum_exp(serial_executor{}, logits, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits>
[[nodiscard]] auto log_sum_exp(Executor&& executor, const Logits& logits, softmax_options options = {})
{
    const auto in = detail::as_input(logits);
    detail::check_temperature("log_sum_exp", options.temperature);
    const std::size_t axis = detail::check_axis("log_sum_exp", options.axis, in.rank);
    detail::check_countable("log_sum_exp", "logits", in);
    std::vector<detail::tensor_element<Logits>> values(detail::rows_along(axis, in).rows());
    log_sum_exp(executor, logits, values, options);
    return values;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
