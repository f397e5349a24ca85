#pragma once

/// Backward passes of softmax and log_softmax, from the forward pass's results: for use in somebody's autograd.

#include "detail/arguments.hpp"
#include "detail/backward.hpp"
#include "detail/rows.hpp"
#include "options.hpp"
#include "views.hpp"

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// Gradient by the logits of what has the gradient `upstream` by softmax's result: gradient[i] = p[i]·(u[i] − Σ_j p[j]·u[j])/T
/// along each row.
///
/// Shapes: views of float or double of the same extents, each with strides of its own. `gradient` may be the same view as
/// `probabilities` or `upstream`.
/// Options: `temperature` T > 0, that of the forward pass, default 1; `axis`, default the last one.
/// Error: at most 6 ULP of the largest of p·|u − c|/T and p·Σ_j p[j]·|u[j] − c|/T, where c is the u of an element with more
/// than half of the mass, or 0: where the difference cancels, the operands' own rounding is no smaller. What a dominant
/// element lacks to 1 is taken from the others, so that small gradients keep their digits.
/// Values: a NaN anywhere makes its row NaN.
/// Method: p·((u − c) − Σ_j p[j]·(u[j] − c))/T, whose sums are kept in twice the precision, see kernels/backward.hpp.
/// Throws: std::out_of_range if there is no such axis; std::invalid_argument if T is not in (0, ∞), the extents differ or
/// are too many, or the gradient overlaps an operand without being the same view; nothing is written then.
template <detail::input_tensor Probabilities, detail::input_tensor_like<Probabilities> Upstream,
          detail::output_tensor_like<Probabilities> Gradient>
void softmax_backward(const Probabilities& probabilities, const Upstream& upstream, const Gradient& gradient,
                      softmax_options options = {})
{
    softmax_backward(serial_executor{}, probabilities, upstream, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Probabilities, detail::input_tensor_like<Probabilities> Upstream,
          detail::output_tensor_like<Probabilities> Gradient>
void softmax_backward(Executor&& executor, const Probabilities& probabilities, const Upstream& upstream,
                      const Gradient& gradient, softmax_options options = {})
{
    detail::run_backward<detail::backward_of_softmax>(executor, "softmax_backward", "probabilities",
                                                      detail::as_input(probabilities), detail::as_input(upstream),
                                                      detail::as_output(gradient), options);
}

/// The same for one row: contiguous ranges of the same type and length.
template <detail::row Probabilities, detail::row_of<detail::element_of<Probabilities>> Upstream,
          detail::output_row<detail::element_of<Probabilities>> Gradient>
void softmax_backward(Probabilities&& probabilities, Upstream&& upstream, Gradient&& gradient,
                      softmax_options options = {})
{
    detail::run_backward<detail::backward_of_softmax>("softmax_backward", "probabilities",
                                                      detail::as_input(probabilities), detail::as_input(upstream),
                                                      detail::as_output(gradient), options);
}

/// Gradient by the logits of what has the gradient `upstream` by log_softmax's result y: gradient[i] = (u[i] − exp(y[i])·Σ_j
/// u[j])/T along each row.
///
/// Shapes, options and exceptions: as for softmax_backward; the first operand is log_softmax's result.
/// Error: at most 5 ULP of the larger of |u[i]|/T and exp(y[i])·|Σ_j u[j]|/T, and, where exp(y[i]) > 1/2, of the larger of
/// |Σ_{j≠i} u[j]|/T and (1 − exp(y[i]))·|Σ_j u[j]|/T; Σ_j |u[j]| takes the sums' place where these cancel.
/// Values: a NaN in u makes its row NaN, one in y its own element.
/// Method: as it stands, but at an element with more than half of the mass (−Σ_{j≠i} u[j] − (exp(y) − 1)·Σ u)/T by a series, see
/// kernels/backward.hpp.
template <detail::input_tensor LogProbabilities, detail::input_tensor_like<LogProbabilities> Upstream,
          detail::output_tensor_like<LogProbabilities> Gradient>
void log_softmax_backward(const LogProbabilities& log_probabilities, const Upstream& upstream, const Gradient& gradient,
                          softmax_options options = {})
{
    log_softmax_backward(serial_executor{}, log_probabilities, upstream, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor LogProbabilities,
          detail::input_tensor_like<LogProbabilities> Upstream, detail::output_tensor_like<LogProbabilities> Gradient>
void log_softmax_backward(Executor&& executor, const LogProbabilities& log_probabilities, const Upstream& upstream,
                          const Gradient& gradient, softmax_options options = {})
{
    detail::run_backward<detail::backward_of_log_softmax>(
        executor, "log_softmax_backward", "log_probabilities", detail::as_input(log_probabilities),
        detail::as_input(upstream), detail::as_output(gradient), options);
}

/// The same for one row: contiguous ranges of the same type and length.
template <detail::row LogProbabilities, detail::row_of<detail::element_of<LogProbabilities>> Upstream,
          detail::output_row<detail::element_of<LogProbabilities>> Gradient>
void log_softmax_backward(LogProbabilities&& log_probabilities, Upstream&& upstream, Gradient&& gradient,
                          softmax_options options = {})
{
    detail::run_backward<detail::backward_of_log_softmax>(
        "log_softmax_backward", "log_probabilities", detail::as_input(log_probabilities), detail::as_input(upstream),
        detail::as_output(gradient), options);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
