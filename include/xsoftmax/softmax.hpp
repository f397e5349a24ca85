#pragma once

/// softmax and log_softmax, of one row or along an axis of a view.

#include "detail/arguments.hpp"
#include "detail/rows.hpp"
#include "detail/run.hpp"
#include "options.hpp"
#include "views.hpp"

#include <vector>

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// Softmax of a row: p[i] = exp((x[i] − max x)/T) / Σ_j exp((x[j] − max x)/T).
///
/// Shapes: `logits` and `probabilities` are contiguous ranges of float or double of the same length n ≥ 0. They may be the
/// same range.
/// Options: `temperature` T ≥ 0, default 1; T = 0 shares the mass equally among the maxima.
/// Values: −inf gives exactly 0. NaN or +inf anywhere, or −inf everywhere, gives NaN throughout. Denormal probabilities
/// are not flushed. An empty row stays empty.
/// Error: at most 4 ULP per element for every n ≤ 2^24, at any spread and offset of the logits and any temperature.
/// Throws: std::invalid_argument if the lengths differ, the ranges overlap without being equal, or T is not in [0, ∞);
/// nothing is written then.
/// Method: the maximum is subtracted (Blanchard, Higham & Higham, IMA J. Numer. Anal. 41 (2021)) without rounding the
/// difference, see kernels/exp.hpp; the sum is kept in twice the precision, see kernels/sum.hpp.
template <detail::row Logits, detail::output_row<detail::element_of<Logits>> Probabilities>
void softmax(Logits&& logits, Probabilities&& probabilities, softmax_options options = {})
{
    const auto in = detail::as_input(logits);
    const auto out = detail::as_output(probabilities);
    detail::check_temperature("softmax", options.temperature);
    detail::check_row_axis("softmax", options.axis);
    detail::check_size("softmax", "probabilities", out.size(), "logits", in.size());
    detail::check_same_or_apart<detail::element_of<Logits>>("softmax", "probabilities", out, "logits", in);
    if (in.empty()) return;

    kernels::softmax_operation<detail::element_of<Logits>> operation{out.data()};
    detail::run_row(operation, in, options.temperature);
}

/// Softmax of a row, as a new vector.
template <detail::row Logits>
[[nodiscard]] std::vector<detail::element_of<Logits>> softmax(Logits&& logits, softmax_options options = {})
{
    detail::check_temperature("softmax", options.temperature);
    std::vector<detail::element_of<Logits>> probabilities(std::ranges::size(logits));
    softmax(logits, probabilities, options);
    return probabilities;
}

/// Softmax along an axis of a view: every row as above.
///
/// Shapes: `logits` and `probabilities` are views (matrix_view, tensor_view, std::mdspan, …) of float or double, of the same
/// extents, each with strides of its own. They may be the same view. Extents of 0 are fine, and nothing is done.
/// Options: `axis`, default the last one.
/// Throws: as above; std::out_of_range if there is no such axis; std::invalid_argument if the extents differ or are too
/// many, strides reach farther than memory, the views overlap without being the same, or one element of the output has
/// several places; nothing is written then. Views of different strides whose ranges of memory meet count as overlapping, also
/// where the elements of one lie between those of the other.
/// Results: those of the row by itself, bit for bit, but along an axis whose elements are apart and whose neighbours are
/// contiguous: there the last bit may differ.
template <detail::input_tensor Logits, detail::output_tensor_like<Logits> Probabilities>
void softmax(const Logits& logits, const Probabilities& probabilities, softmax_options options = {})
{
    softmax(serial_executor{}, logits, probabilities, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::output_tensor_like<Logits> Probabilities>
void softmax(Executor&& executor, const Logits& logits, const Probabilities& probabilities,
             softmax_options options = {})
{
    const auto in = detail::as_input(logits);
    const auto out = detail::as_output(probabilities);
    detail::check_temperature("softmax", options.temperature);
    const std::size_t axis = detail::check_axis("softmax", options.axis, in.rank);
    detail::check_countable("softmax", "logits", in);
    detail::check_output("softmax", "probabilities", out, "logits", in);

    detail::run_batch<kernels::softmax_operation<detail::tensor_element<Logits>>>(executor, axis, in, out,
                                                                                  options.temperature);
}

/// Logarithm of softmax along a row: y[i] = (x[i] − max x)/T − log Σ_j exp((x[j] − max x)/T).
///
/// Shapes, options and exceptions: as for softmax; the output is `log_probabilities`. T = 0 gives the winners −log(how
/// many they are) and all others −inf.
/// Values: −inf gives −inf. NaN or +inf anywhere, or −inf everywhere, gives NaN throughout. An empty row stays empty.
/// Error: at most 3 ULP (4 for double, and on other than AVX2 and AVX-512) per element for every n ≤ 2^24, the winner
/// included, however far it leads.
/// Method: the winners are left out of the sum and log1p taken of it, so that nothing cancels; see
/// kernels/operations.hpp.
template <detail::row Logits, detail::output_row<detail::element_of<Logits>> LogProbabilities>
void log_softmax(Logits&& logits, LogProbabilities&& log_probabilities, softmax_options options = {})
{
    const auto in = detail::as_input(logits);
    const auto out = detail::as_output(log_probabilities);
    detail::check_temperature("log_softmax", options.temperature);
    detail::check_row_axis("log_softmax", options.axis);
    detail::check_size("log_softmax", "log_probabilities", out.size(), "logits", in.size());
    detail::check_same_or_apart<detail::element_of<Logits>>("log_softmax", "log_probabilities", out, "logits", in);
    if (in.empty()) return;

    kernels::log_softmax_operation<detail::element_of<Logits>> operation{out.data()};
    detail::run_row(operation, in, options.temperature);
}

/// Logarithm of softmax along a row, as a new vector.
template <detail::row Logits>
[[nodiscard]] std::vector<detail::element_of<Logits>> log_softmax(Logits&& logits, softmax_options options = {})
{
    detail::check_temperature("log_softmax", options.temperature);
    std::vector<detail::element_of<Logits>> log_probabilities(std::ranges::size(logits));
    log_softmax(logits, log_probabilities, options);
    return log_probabilities;
}

/// Logarithm of softmax along an axis of a view: every row as above; shapes, options and exceptions as for softmax.
template <detail::input_tensor Logits, detail::output_tensor_like<Logits> LogProbabilities>
void log_softmax(const Logits& logits, const LogProbabilities& log_probabilities, softmax_options options = {})
{
    log_softmax(serial_executor{}, logits, log_probabilities, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::output_tensor_like<Logits> LogProbabilities>
void log_softmax(Executor&& executor, const Logits& logits, const LogProbabilities& log_probabilities,
                 softmax_options options = {})
{
    const auto in = detail::as_input(logits);
    const auto out = detail::as_output(log_probabilities);
    detail::check_temperature("log_softmax", options.temperature);
    const std::size_t axis = detail::check_axis("log_softmax", options.axis, in.rank);
    detail::check_countable("log_softmax", "logits", in);
    detail::check_output("log_softmax", "log_probabilities", out, "logits", in);

    detail::run_batch<kernels::log_softmax_operation<detail::tensor_element<Logits>>>(executor, axis, in, out,
                                                                                      options.temperature);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
