#pragma once

/// Backward passes of softmax and log_softmax, from the forward pass's results: for programs that differentiate by themselves.

#include "version.hpp"

#include "detail/arguments.hpp"
#include "detail/backward.hpp"
#include "executor.hpp"
#include "options.hpp"
#include "views.hpp"

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// Gradient with respect to the logits, given the gradient with respect to softmax's result (vector-Jacobian product):
/// gradient[i] = p[i]·(u[i] − Σ_j p[j]·u[j])/T along each row.
///
/// Shapes: contiguous ranges of float or double of the same length, or views of the same extents, each with strides of its own.
/// `gradient` may be the same as `probabilities` or `upstream`.
/// Options: `temperature` T > 0, that of the forward pass, default 1; `axis`, default the last one.
/// Error: at most 6 ULP of the larger of p·|u|/T and p·Σ_j p[j]·|u[j]|/T. Where the difference cancels, as beside an element
/// with nearly all of the mass, p's own rounding is no smaller; log_softmax_backward has such digits.
/// Values: a NaN anywhere makes its row NaN.
/// Throws: std::out_of_range if there is no such axis; std::invalid_argument if T is not in (0, ∞), the extents differ or
/// are too many, or the gradient overlaps an operand without being the same; nothing is written then.
/// Method: as it stands, see kernels/backward.hpp.
template <detail::operand_like Probabilities, detail::operand_like Upstream, detail::operand_like Gradient>
void softmax_backward(const Probabilities& probabilities, const Upstream& upstream, Gradient&& gradient,
                      softmax_options options = {})
{
    if constexpr (detail::range<const Probabilities&>)
        detail::run_backward_row<detail::backward_of_softmax>(
            "softmax_backward", "probabilities", detail::checked_result<const Probabilities&>(probabilities),
            detail::as_input_like<Probabilities>(upstream), detail::as_output_like<Probabilities, Gradient>(gradient),
            options);
    else
        softmax_backward(serial_executor{}, probabilities, upstream, static_cast<Gradient&&>(gradient), options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like Probabilities, detail::operand_like Upstream,
          detail::operand_like Gradient>
void softmax_backward(Executor&& executor, const Probabilities& probabilities, const Upstream& upstream,
                      Gradient&& gradient, softmax_options options = {})
{
    detail::run_backward<detail::backward_of_softmax>(
        executor, "softmax_backward", "probabilities", detail::checked_result<const Probabilities&>(probabilities),
        detail::as_input_like<Probabilities>(upstream), detail::as_output_like<Probabilities, Gradient>(gradient),
        options);
}

/// Gradient with respect to the logits, given the gradient with respect to log_softmax's result y: gradient[i] = (u[i] −
/// exp(y[i])·Σ_j u[j])/T along each row.
///
/// Shapes, options and exceptions: as for softmax_backward; the first operand is log_softmax's result.
/// Error: at most 5 ULP of the larger of |u[i]|/T and exp(y[i])·|Σ_j u[j]|/T, and, where exp(y[i]) > 1/2, of the larger of
/// |Σ_{j≠i} u[j]|/T and (1 − exp(y[i]))·|Σ_j u[j]|/T; Σ_j |u[j]| takes the sums' place where these cancel.
/// Values: a NaN in u makes its row NaN, one in y its own element.
/// Method: as it stands, but at an element with more than half of the mass (−Σ_{j≠i} u[j] − (exp(y) − 1)·Σ u)/T by a series,
/// see kernels/backward.hpp.
template <detail::operand_like LogProbabilities, detail::operand_like Upstream, detail::operand_like Gradient>
void log_softmax_backward(const LogProbabilities& log_probabilities, const Upstream& upstream, Gradient&& gradient,
                          softmax_options options = {})
{
    if constexpr (detail::range<const LogProbabilities&>)
        detail::run_backward_row<detail::backward_of_log_softmax>(
            "log_softmax_backward", "log_probabilities",
            detail::checked_result<const LogProbabilities&>(log_probabilities),
            detail::as_input_like<LogProbabilities>(upstream),
            detail::as_output_like<LogProbabilities, Gradient>(gradient), options);
    else
        log_softmax_backward(serial_executor{}, log_probabilities, upstream, static_cast<Gradient&&>(gradient),
                             options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like LogProbabilities, detail::operand_like Upstream,
          detail::operand_like Gradient>
void log_softmax_backward(Executor&& executor, const LogProbabilities& log_probabilities, const Upstream& upstream,
                          Gradient&& gradient, softmax_options options = {})
{
    detail::run_backward<detail::backward_of_log_softmax>(
        executor, "log_softmax_backward", "log_probabilities",
        detail::checked_result<const LogProbabilities&>(log_probabilities),
        detail::as_input_like<LogProbabilities>(upstream), detail::as_output_like<LogProbabilities, Gradient>(gradient),
        options);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
