#pragma once

/// softmax and log_softmax, of one row or along an axis of a view.

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

/// Softmax along each row: p[i] = exp((x[i] − max x)/T) / Σ_j exp((x[j] − max x)/T).
///
/// Shapes: `logits` and `probabilities` are contiguous ranges (vector, array, C array, span, …) of float or double of the same
/// length n ≥ 0, or views (matrix_view, tensor_view, std::mdspan, …) of the same extents, each with strides of its own. They
/// may be the same. Logits may be masked(): what is left out has probability 0, and what a fully masked row gets is the mask's
/// `fully_masked`, zeros by default.
/// Options: `temperature` T ≥ 0, default 1; T = 0 shares the mass equally among the maxima. `axis`, default the last one.
/// Values: −inf gives exactly 0. NaN or +inf anywhere, or −inf everywhere, gives NaN throughout its row. Denormal probabilities
/// are not flushed. A row gets the same bits wherever it stands in a batch, and on any number of threads; along an axis
/// whose neighbours are contiguous the last bit may differ.
/// Error: at most 4 ULP per element for every n ≤ 2^24, at any spread and offset of the logits and any temperature.
/// Throws: std::invalid_argument if lengths or extents differ, are too many, or reach farther than memory, the operands overlap
/// without being the same, an element of the output has several places, or T is not in [0, ∞); std::out_of_range if there is no
/// such axis. Masks: std::invalid_argument if a part cannot be broadcast or shares memory with the output, or a row is fully
/// masked and that is to be an error; std::out_of_range if a length is not in [0, n]. Nothing is written then.
/// Allocates where elements of a row lie apart, under masks of bytes and biases, and for results larger than the caches.
/// Method: the maximum is subtracted (Blanchard, Higham & Higham, IMA J. Numer. Anal. 41 (2021)) without rounding the
/// difference, see kernels/math/exp.hpp.
template <detail::operand_like Logits, detail::operand_like Probabilities>
void softmax(const Logits& logits, Probabilities&& probabilities, softmax_options options = {})
{
    using T = detail::value_type<const Logits&>;
    static_assert(detail::check_logits<const Logits&>() &&
                  detail::check_output_type<Probabilities, T, detail::rank_of<const Logits&>()>());
    if constexpr (detail::range<const Logits&> && detail::range<Probabilities>) {
        // A short row is done in the time that all the checks of a view take.
        const T* const x = std::ranges::data(logits);
        T* const p = std::ranges::data(probabilities);
        const std::size_t n = std::ranges::size(logits);
        const auto x_address = reinterpret_cast<std::uintptr_t>(x), p_address = reinterpret_cast<std::uintptr_t>(p);
        if (n != 0 && std::ranges::size(probabilities) == n &&
            detail::are_same_or_apart(p_address, x_address, n * sizeof(T)) &&
            kernels::is_ordinary<T>(options.temperature) && (options.axis == -1 || options.axis == 0) &&
            detail::call<kernels::softmax_entry<T>>(x, n, p, options.temperature))
            return;
        detail::run_softmax_row<false>("softmax", "probabilities", detail::as_input(logits),
                                       detail::as_output(probabilities), options);
    }
    else
        softmax(serial_executor{}, logits, probabilities, options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like Logits, detail::operand_like Probabilities>
void softmax(Executor&& executor, const Logits& logits, Probabilities&& probabilities, softmax_options options = {})
{
    using T = detail::value_type<const Logits&>;
    static_assert(detail::check_logits<const Logits&>() &&
                  detail::check_output_type<Probabilities, T, detail::rank_of<const Logits&>()>());
    detail::run_softmax_batch<false>(executor, "softmax", "probabilities", detail::as_input(logits),
                                     detail::as_output(probabilities), detail::mask_of(logits), options);
}

/// Of a row, masked or not, as a new vector.
template <detail::operand_like Logits>
requires detail::is_row_like<const Logits&>
[[nodiscard]] auto softmax(const Logits& logits, softmax_options options = {})
{
    static_assert(detail::check_logits<const Logits&>());
    detail::check_temperature("softmax", options.temperature);
    std::vector<detail::value_type<const Logits&>> probabilities(detail::as_input(logits).extents[0]);
    softmax(logits, probabilities, options);
    return probabilities;
}

/// Logarithm of softmax along each row: y[i] = (x[i] − max x)/T − log Σ_j exp((x[j] − max x)/T).
///
/// Shapes, options and exceptions: as for softmax; the output is `log_probabilities`. T = 0 gives each maximum −log(how many
/// there are) and all others −inf. What a mask leaves out gets −inf.
/// Values: −inf gives −inf. NaN or +inf anywhere, or −inf everywhere, gives NaN throughout its row.
/// Error: at most 4 ULP per element for every n ≤ 2^24, the maximum included, however far it leads.
/// Method: the maximum is left out of the sum and log1p taken of it, so that nothing cancels, see kernels/sum_row.hpp.
template <detail::operand_like Logits, detail::operand_like LogProbabilities>
void log_softmax(const Logits& logits, LogProbabilities&& log_probabilities, softmax_options options = {})
{
    using T = detail::value_type<const Logits&>;
    static_assert(detail::check_logits<const Logits&>() &&
                  detail::check_output_type<LogProbabilities, T, detail::rank_of<const Logits&>()>());
    if constexpr (detail::range<const Logits&> && detail::range<LogProbabilities>)
        detail::run_softmax_row<true>("log_softmax", "log_probabilities", detail::as_input(logits),
                                      detail::as_output(log_probabilities), options);
    else
        log_softmax(serial_executor{}, logits, log_probabilities, options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like Logits, detail::operand_like LogProbabilities>
void log_softmax(Executor&& executor, const Logits& logits, LogProbabilities&& log_probabilities,
                 softmax_options options = {})
{
    using T = detail::value_type<const Logits&>;
    static_assert(detail::check_logits<const Logits&>() &&
                  detail::check_output_type<LogProbabilities, T, detail::rank_of<const Logits&>()>());
    detail::run_softmax_batch<true>(executor, "log_softmax", "log_probabilities", detail::as_input(logits),
                                    detail::as_output(log_probabilities), detail::mask_of(logits), options);
}

/// Of a row, masked or not, as a new vector.
template <detail::operand_like Logits>
requires detail::is_row_like<const Logits&>
[[nodiscard]] auto log_softmax(const Logits& logits, softmax_options options = {})
{
    static_assert(detail::check_logits<const Logits&>());
    detail::check_temperature("log_softmax", options.temperature);
    std::vector<detail::value_type<const Logits&>> log_probabilities(detail::as_input(logits).extents[0]);
    log_softmax(logits, log_probabilities, options);
    return log_probabilities;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
