#pragma once

/// softmax, log_softmax and cross-entropy over the elements that a mask keeps.

#include "cross_entropy.hpp"
#include "detail/arguments.hpp"
#include "detail/masks.hpp"
#include "mask.hpp"
#include "options.hpp"
#include "views.hpp"

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// Softmax of the kept elements along an axis, 0 for all others: p[i] = keep[i]·exp(x[i]/T) / Σ_{j kept} exp(x[j]/T), with the
/// bias added to x.
///
/// Shapes: `logits` and `probabilities` are views of the same extents, which may be the same view; what the mask holds is
/// broadcast over them, and shares no memory with `probabilities`. A row in which a NaN or +inf is kept is NaN, all of it.
/// Options: as for softmax; the mask's `nothing_kept` says what a row gets in which nothing is kept, zeros by default.
/// Error: that of softmax, for the sums x + bias as they round in T.
/// Throws: as softmax; std::invalid_argument if a part of the mask cannot be broadcast or shares memory with the output, or a
/// row keeps nothing and that is to be an error; std::out_of_range if a length is not in [0, extent of the axis]; nothing is
/// written then.
template <detail::input_tensor Logits, detail::output_tensor_like<Logits> Probabilities>
void masked_softmax(const Logits& logits, const Probabilities& probabilities,
                    const mask<detail::tensor_element<Logits>>& mask, softmax_options options = {})
{
    masked_softmax(serial_executor{}, logits, probabilities, mask, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::output_tensor_like<Logits> Probabilities>
void masked_softmax(Executor&& executor, const Logits& logits, const Probabilities& probabilities,
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
    masks.check_apart("probabilities", out);

    detail::run_masked_batch<kernels::softmax_operation<T>>(executor, axis, in, out, masks, T(0),
                                                            masks.probability_of_nothing(), options.temperature);
}

/// Logarithm of masked_softmax: −inf for what is left out. All else as there.
template <detail::input_tensor Logits, detail::output_tensor_like<Logits> LogProbabilities>
void masked_log_softmax(const Logits& logits, const LogProbabilities& log_probabilities,
                        const mask<detail::tensor_element<Logits>>& mask, softmax_options options = {})
{
    masked_log_softmax(serial_executor{}, logits, log_probabilities, mask, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::output_tensor_like<Logits> LogProbabilities>
void masked_log_softmax(Executor&& executor, const Logits& logits, const LogProbabilities& log_probabilities,
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
    masks.check_apart("log_probabilities", out);

    detail::run_masked_batch<kernels::log_softmax_operation<T>>(
        executor, axis, in, out, masks, -kernels::infinity<T>, masks.log_probability_of_nothing(), options.temperature);
}

// ---- Cross-entropy of the kept classes ---------------------------------------------------------------------------------
//
// As cross_entropy_losses and softmax_cross_entropy of many rows, over the classes that the mask keeps: label smoothing
// spreads over those alone, and what is left out takes no part in loss or gradient. A target that is left out has an
// infinite loss, and its gradient stays that of its target. A row in which nothing is kept has the loss and the gradient that
// the mask's `nothing_kept` says; it counts in the mean, and its gradient is 0 also where that is NaN.

/// Cross-entropy of each row's kept classes with a class: one loss for each row, 0 for ignored ones.
///
/// Shapes, options, units: as for cross_entropy_losses; what the mask holds is broadcast over the logits, and shares no memory
/// with losses or gradient.
/// Values: +inf for a target that is left out; a row in which nothing is kept has what the mask's `nothing_kept` says.
/// Error: at most 4 ULP of the largest term of the loss, for the sums x + bias as they round in T.
/// Throws: as cross_entropy_losses; std::invalid_argument if a part of the mask cannot be broadcast or shares memory with an
/// output, or a row that is not ignored keeps nothing and that is to be an error; std::out_of_range if a length is not in
/// [0, classes]; nothing is written then.
/// Method: the rows with −inf for what is left out, by the kernels of cross_entropy_losses.
template <detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses>
void masked_cross_entropy_losses(const Logits& logits, Targets&& targets,
                                 const mask<detail::tensor_element<Logits>>& mask, Losses&& losses,
                                 batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    masked_cross_entropy_losses(serial_executor{}, logits, targets, mask, losses, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses>
void masked_cross_entropy_losses(Executor&& executor, const Logits& logits, Targets&& targets,
                                 const mask<detail::tensor_element<Logits>>& mask, Losses&& losses,
                                 batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    detail::index_losses(executor, "masked_cross_entropy_losses", detail::as_input(logits), detail::as_indices(targets),
                         detail::no_gradient<detail::tensor_element<Logits>>(),
                         detail::wanted_losses(detail::as_output(losses)), options, &mask);
}

/// The same, and the gradient of each row's loss by its logits, which may be written over the logits.
template <detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses, detail::output_tensor_like<Logits> Gradient>
void masked_cross_entropy_losses(const Logits& logits, Targets&& targets,
                                 const mask<detail::tensor_element<Logits>>& mask, Losses&& losses,
                                 const Gradient& gradient,
                                 batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    masked_cross_entropy_losses(serial_executor{}, logits, targets, mask, losses, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses, detail::output_tensor_like<Logits> Gradient>
void masked_cross_entropy_losses(Executor&& executor, const Logits& logits, Targets&& targets,
                                 const mask<detail::tensor_element<Logits>>& mask, Losses&& losses,
                                 const Gradient& gradient,
                                 batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    detail::index_losses(executor, "masked_cross_entropy_losses", detail::as_input(logits), detail::as_indices(targets),
                         detail::as_output(gradient), detail::wanted_losses(detail::as_output(losses)), options, &mask);
}

/// Cross-entropy of each row's kept classes with target probabilities, a view of the logits' extents. All else as for classes.
template <detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses>
void masked_cross_entropy_losses(const Logits& logits, const Targets& targets,
                                 const mask<detail::tensor_element<Logits>>& mask, Losses&& losses,
                                 batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    masked_cross_entropy_losses(serial_executor{}, logits, targets, mask, losses, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses>
void masked_cross_entropy_losses(Executor&& executor, const Logits& logits, const Targets& targets,
                                 const mask<detail::tensor_element<Logits>>& mask, Losses&& losses,
                                 batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    detail::probability_losses(executor, "masked_cross_entropy_losses", detail::as_input(logits),
                               detail::as_input(targets), detail::no_gradient<detail::tensor_element<Logits>>(),
                               detail::wanted_losses(detail::as_output(losses)), options, &mask);
}

/// The same, and the gradient of each row's loss by its logits, which may be written over the logits.
template <detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses, detail::output_tensor_like<Logits> Gradient>
void masked_cross_entropy_losses(const Logits& logits, const Targets& targets,
                                 const mask<detail::tensor_element<Logits>>& mask, Losses&& losses,
                                 const Gradient& gradient,
                                 batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    masked_cross_entropy_losses(serial_executor{}, logits, targets, mask, losses, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses, detail::output_tensor_like<Logits> Gradient>
void masked_cross_entropy_losses(Executor&& executor, const Logits& logits, const Targets& targets,
                                 const mask<detail::tensor_element<Logits>>& mask, Losses&& losses,
                                 const Gradient& gradient,
                                 batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    detail::probability_losses(executor, "masked_cross_entropy_losses", detail::as_input(logits),
                               detail::as_input(targets), detail::as_output(gradient),
                               detail::wanted_losses(detail::as_output(losses)), options, &mask);
}

/// Mean or sum of the losses of masked_cross_entropy_losses with classes; reductions as for softmax_cross_entropy. All else as
/// there.
template <detail::input_tensor Logits, detail::class_indices Targets>
detail::tensor_element<Logits> masked_softmax_cross_entropy(
    const Logits& logits, Targets&& targets, const mask<detail::tensor_element<Logits>>& mask,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return masked_softmax_cross_entropy(serial_executor{}, logits, targets, mask, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::class_indices Targets>
detail::tensor_element<Logits> masked_softmax_cross_entropy(
    Executor&& executor, const Logits& logits, Targets&& targets, const mask<detail::tensor_element<Logits>>& mask,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return detail::index_losses(executor, "masked_softmax_cross_entropy", detail::as_input(logits),
                                detail::as_indices(targets), detail::no_gradient<detail::tensor_element<Logits>>(), {},
                                options, &mask);
}

/// The same, and its gradient by the logits, which may be written over the logits.
template <detail::input_tensor Logits, detail::class_indices Targets, detail::output_tensor_like<Logits> Gradient>
detail::tensor_element<Logits> masked_softmax_cross_entropy(
    const Logits& logits, Targets&& targets, const mask<detail::tensor_element<Logits>>& mask, const Gradient& gradient,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return masked_softmax_cross_entropy(serial_executor{}, logits, targets, mask, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_tensor_like<Logits> Gradient>
detail::tensor_element<Logits> masked_softmax_cross_entropy(
    Executor&& executor, const Logits& logits, Targets&& targets, const mask<detail::tensor_element<Logits>>& mask,
    const Gradient& gradient, batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return detail::index_losses(executor, "masked_softmax_cross_entropy", detail::as_input(logits),
                                detail::as_indices(targets), detail::as_output(gradient), {}, options, &mask);
}

/// Mean or sum of the losses of masked_cross_entropy_losses with target probabilities. All else as there.
template <detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets>
detail::tensor_element<Logits> masked_softmax_cross_entropy(
    const Logits& logits, const Targets& targets, const mask<detail::tensor_element<Logits>>& mask,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return masked_softmax_cross_entropy(serial_executor{}, logits, targets, mask, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets>
detail::tensor_element<Logits> masked_softmax_cross_entropy(
    Executor&& executor, const Logits& logits, const Targets& targets, const mask<detail::tensor_element<Logits>>& mask,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return detail::probability_losses(executor, "masked_softmax_cross_entropy", detail::as_input(logits),
                                      detail::as_input(targets), detail::no_gradient<detail::tensor_element<Logits>>(),
                                      {}, options, &mask);
}

/// The same, and its gradient by the logits, which may be written over the logits.
template <detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_tensor_like<Logits> Gradient>
detail::tensor_element<Logits> masked_softmax_cross_entropy(
    const Logits& logits, const Targets& targets, const mask<detail::tensor_element<Logits>>& mask,
    const Gradient& gradient, batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return masked_softmax_cross_entropy(serial_executor{}, logits, targets, mask, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_tensor_like<Logits> Gradient>
detail::tensor_element<Logits> masked_softmax_cross_entropy(
    Executor&& executor, const Logits& logits, const Targets& targets, const mask<detail::tensor_element<Logits>>& mask,
    const Gradient& gradient, batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return detail::probability_losses(executor, "masked_softmax_cross_entropy", detail::as_input(logits),
                                      detail::as_input(targets), detail::as_output(gradient), {}, options, &mask);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
