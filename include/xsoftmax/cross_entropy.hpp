#pragma once

/// Cross-entropy of softmax and its gradient, of one row or of many.

#include "detail/arguments.hpp"
#include "detail/losses.hpp"
#include "detail/rows.hpp"
#include "detail/run.hpp"
#include "options.hpp"
#include "views.hpp"

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// Cross-entropy of softmax(x/T) with a class: −log softmax(x/T)[target].
///
/// Shapes: `logits` is a contiguous range of float or double of length n ≥ 1; `target`, of any integer type, is in [0, n).
/// Units: nats.
/// Options: `temperature` T > 0, default 1.
/// Values: ≥ 0; +inf where the target's logit is −inf; NaN where softmax is NaN.
/// Error: at most 3 ULP (4 for double, and on other than AVX2 and AVX-512) for every n ≤ 2^24.
/// Throws: std::out_of_range if target is not in [0, n); std::invalid_argument if T is not in (0, ∞).
/// Method: (max x − x[target])/T + log Σ_j exp((x[j] − max x)/T): two terms ≥ 0, so nothing cancels.
template <detail::row Logits, detail::class_index Index>
detail::element_of<Logits> softmax_cross_entropy(Logits&& logits, Index target, cross_entropy_options options = {})
{
    const auto in = detail::as_input(logits);
    const std::size_t index = detail::check_class("softmax_cross_entropy", target, in.size());
    detail::check_positive_temperature("softmax_cross_entropy", options.temperature);

    kernels::index_loss_operation operation{{options.temperature}, static_cast<double>(in[index])};
    detail::run_row(operation, in, options.temperature);
    return static_cast<detail::element_of<Logits>>(operation.loss);
}

/// The same loss, and its gradient by the logits: gradient[i] = (softmax(x/T)[i] − (i = target ? 1 : 0))/T.
///
/// Shapes: `gradient` is a contiguous range of the logits' type and length; it may be the logits themselves.
/// Error of the gradient: at most 4 ULP per element. At a target that wins, p − 1 is computed as −Σ others/Σ all, which keeps
/// every digit where p rounds to 1.
/// Throws: as above, and std::invalid_argument if the lengths differ or the ranges overlap without being equal; nothing is
/// written then.
template <detail::row Logits, detail::class_index Index, detail::output_row<detail::element_of<Logits>> Gradient>
detail::element_of<Logits> softmax_cross_entropy(Logits&& logits, Index target, Gradient&& gradient,
                                                 cross_entropy_options options = {})
{
    using T = detail::element_of<Logits>;
    const auto in = detail::as_input(logits);
    const auto out = detail::as_output(gradient);
    const std::size_t index = detail::check_class("softmax_cross_entropy", target, in.size());
    detail::check_positive_temperature("softmax_cross_entropy", options.temperature);
    detail::check_size("softmax_cross_entropy", "gradient", out.size(), "logits", in.size());
    detail::check_same_or_apart<T>("softmax_cross_entropy", "gradient", out, "logits", in);

    kernels::index_gradient_operation<T> operation{
        {{options.temperature}, static_cast<double>(in[index])}, out.data(), index};
    detail::run_row(operation, in, options.temperature);
    return static_cast<T>(operation.loss);
}

/// Cross-entropy of softmax(x/T) with target probabilities: −Σ_i t[i]·log softmax(x/T)[i].
///
/// Shapes: `logits` and `targets` are contiguous ranges of the same type and length n ≥ 0. Targets that do not sum to 1 are
/// used as given.
/// Units, options: as for a class.
/// Values: a target of 0 adds 0, also where its logit is −inf; a positive one there gives +inf. NaN where softmax is NaN. A
/// single target of 1 gives what a class gives, bit for bit, and so do gradient and batches.
/// 0 for an empty row.
/// Error: at most 3 ULP (4 for double, and on other than AVX2 and AVX-512) for every n ≤ 2^24 and targets ≥ 0.
/// Throws: std::invalid_argument if the lengths differ or T is not in (0, ∞).
/// Method: Σ t·(max x − x)/T + (Σ t)·log Σ_j exp((x[j] − max x)/T).
template <detail::row Logits, detail::row_of<detail::element_of<Logits>> Targets>
detail::element_of<Logits> softmax_cross_entropy(Logits&& logits, Targets&& targets, cross_entropy_options options = {})
{
    using T = detail::element_of<Logits>;
    const auto in = detail::as_input(logits);
    const auto t = detail::as_input(targets);
    detail::check_positive_temperature("softmax_cross_entropy", options.temperature);
    detail::check_size("softmax_cross_entropy", "targets", t.size(), "logits", in.size());
    return static_cast<T>(detail::loss_of_probabilities<T>(in, t.data(), nullptr, {options.temperature}));
}

/// The same loss, and its gradient by the logits: gradient[i] = ((Σ_j t[j])·softmax(x/T)[i] − t[i])/T.
///
/// Shapes: `gradient` is a contiguous range of the logits' type and length; it may be the logits themselves, and shares no
/// memory with `targets`.
/// Error of the gradient: at most 4 ULP of the larger of (Σ t)·p/T and t/T where the
/// two cancel, else of the result.
/// Throws: as above, and std::invalid_argument if gradient's length differs, it overlaps the logits without being equal to
/// them, or it overlaps the targets; nothing is written then.
template <detail::row Logits, detail::row_of<detail::element_of<Logits>> Targets,
          detail::output_row<detail::element_of<Logits>> Gradient>
detail::element_of<Logits> softmax_cross_entropy(Logits&& logits, Targets&& targets, Gradient&& gradient,
                                                 cross_entropy_options options = {})
{
    using T = detail::element_of<Logits>;
    const auto in = detail::as_input(logits);
    const auto t = detail::as_input(targets);
    const auto out = detail::as_output(gradient);
    detail::check_positive_temperature("softmax_cross_entropy", options.temperature);
    detail::check_size("softmax_cross_entropy", "targets", t.size(), "logits", in.size());
    detail::check_size("softmax_cross_entropy", "gradient", out.size(), "logits", in.size());
    detail::check_same_or_apart<T>("softmax_cross_entropy", "gradient", out, "logits", in);
    detail::check_apart("softmax_cross_entropy", "gradient", out, "targets", t);
    return static_cast<T>(detail::loss_of_probabilities<T>(in, t.data(), out.data(), {options.temperature}));
}

// ---- Many rows -------------------------------------------------------------------------------------------------------
//
// What follows agrees with PyTorch's cross_entropy, number for number up to rounding, wherever PyTorch has the option:
//
//     class y:            loss = (1 − ε)·w[y]·nll[y] + ε/classes·Σ_k w[k]·nll[k]     + z·log_sum_exp(x/T)²
//     probabilities t:    loss = Σ_k w[k]·((1 − ε)·t[k] + ε/classes)·nll[k]          + z·log_sum_exp(x/T)²
//
// with nll = −log softmax(x/T), ε = label_smoothing, w = class_weights (1 without), z = z_loss. The mean divides the sum of
// the losses by Σ w[y] over the rows that are not ignored, or by the number of rows for probabilities; the gradient is that
// of what is returned. If all rows are ignored, the mean is NaN (0/0), the sum 0, and the gradient 0. If the weights of the
// rows that are not ignored sum to 0, mean and gradient are NaN (PyTorch's are NaN or infinite).
// A class whose logit is −inf has nll = +inf: smoothing makes the loss +inf, unless its weight is 0. Whatever is multiplied
// by 0 adds 0, never NaN; but a negative z_loss that is infinite, beside such a class, leaves NaN of the two.
// Both depart from PyTorch, where 0·∞ is NaN, as does the gradient of an ignored row that holds a NaN: here it is 0.
// One-hot probabilities give what class indices give, bit for bit, but for the mean with class weights, which divides by
// another number, for the sign of a zero, and for a class of weight 0 beside a z_loss, where the last bit may differ.
// Weights times targets are rounded in the logits' type: what is denormal there loses digits. So do terms of a float loss by
// smoothed or given probabilities below 2^-92, and those above 2^137 make it infinite.

/// Cross-entropy of each row with a class, the formula above: one loss for each row, 0 for ignored ones.
///
/// Shapes: `logits` is a view of float or double whose `axis` are the classes; `targets` a contiguous range of any integer
/// type and `losses` one of the logits' type, with an element for each row, in row-major order of the other axes. `losses`
/// shares no memory with logits, targets or class weights.
/// Units: nats.
/// Options: see batch_cross_entropy_options; `reduction` does not matter here.
/// Error: at most 4 ULP of the largest term of the loss.
/// Throws: std::out_of_range if a target is neither in [0, classes) nor ignored, naming the row, or there is no such axis;
/// std::invalid_argument for lengths that do not fit, options out of their ranges, and outputs over what is read; nothing is
/// written then.
/// Method: the formula of a row, see above; weights and smoothing become the row's target probabilities, in twice the
/// precision, and z_loss takes the logarithm that the row's sum has anyway.
template <detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses>
void cross_entropy_losses(const Logits& logits, Targets&& targets, Losses&& losses,
                          batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    cross_entropy_losses(serial_executor{}, logits, targets, losses, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses>
void cross_entropy_losses(Executor&& executor, const Logits& logits, Targets&& targets, Losses&& losses,
                          batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    detail::index_losses(executor, "cross_entropy_losses", detail::as_input(logits), detail::as_indices(targets),
                         detail::no_gradient<detail::tensor_element<Logits>>(),
                         detail::wanted_losses(detail::as_output(losses)), options);
}

/// The same, and the gradient of each row's loss by its logits.
///
/// Shapes: `gradient` is a view of the logits' type and extents, with strides of its own. It may be the logits themselves, and
/// shares no memory with targets, losses or class weights.
/// Error of the gradient: at most 4 ULP of the largest of its terms.
template <detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses, detail::output_tensor_like<Logits> Gradient>
void cross_entropy_losses(const Logits& logits, Targets&& targets, Losses&& losses, const Gradient& gradient,
                          batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    cross_entropy_losses(serial_executor{}, logits, targets, losses, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses, detail::output_tensor_like<Logits> Gradient>
void cross_entropy_losses(Executor&& executor, const Logits& logits, Targets&& targets, Losses&& losses,
                          const Gradient& gradient,
                          batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    detail::index_losses(executor, "cross_entropy_losses", detail::as_input(logits), detail::as_indices(targets),
                         detail::as_output(gradient), detail::wanted_losses(detail::as_output(losses)), options);
}

/// Mean or sum of the rows' cross-entropies with classes.
///
/// Shapes: `logits` is a view of float or double whose `axis` are the classes; `targets` a contiguous range of any integer
/// type, with an element for each row, in row-major order of the other axes.
/// Units: nats.
/// Options: see batch_cross_entropy_options; by default the mean, along the last axis, at temperature 1.
/// Values: NaN for the mean of no rows, or of ignored ones alone; see the formula above.
/// Error: at most 4 ULP of the mean, or sum, of the rows' largest terms.
/// Throws: as cross_entropy_losses.
/// Method: the losses of the rows are added up in twice the precision, in the order of one thread.
template <detail::input_tensor Logits, detail::class_indices Targets>
detail::tensor_element<Logits> softmax_cross_entropy(
    const Logits& logits, Targets&& targets, batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return softmax_cross_entropy(serial_executor{}, logits, targets, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::class_indices Targets>
detail::tensor_element<Logits> softmax_cross_entropy(
    Executor&& executor, const Logits& logits, Targets&& targets,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return detail::index_losses(executor, "softmax_cross_entropy", detail::as_input(logits),
                                detail::as_indices(targets), detail::no_gradient<detail::tensor_element<Logits>>(), {},
                                options);
}

/// The same, and its gradient by the logits; shapes and error of the gradient as for cross_entropy_losses.
template <detail::input_tensor Logits, detail::class_indices Targets, detail::output_tensor_like<Logits> Gradient>
detail::tensor_element<Logits> softmax_cross_entropy(
    const Logits& logits, Targets&& targets, const Gradient& gradient,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return softmax_cross_entropy(serial_executor{}, logits, targets, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::class_indices Targets,
          detail::output_tensor_like<Logits> Gradient>
detail::tensor_element<Logits> softmax_cross_entropy(
    Executor&& executor, const Logits& logits, Targets&& targets, const Gradient& gradient,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return detail::index_losses(executor, "softmax_cross_entropy", detail::as_input(logits),
                                detail::as_indices(targets), detail::as_output(gradient), {}, options);
}

/// Cross-entropy of each row with target probabilities, the formula above. `targets` is a view of the logits' extents;
/// probabilities that do not sum to 1 are used as given. All else as for classes.
template <detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses>
void cross_entropy_losses(const Logits& logits, const Targets& targets, Losses&& losses,
                          batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    cross_entropy_losses(serial_executor{}, logits, targets, losses, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses>
void cross_entropy_losses(Executor&& executor, const Logits& logits, const Targets& targets, Losses&& losses,
                          batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    detail::probability_losses(executor, "cross_entropy_losses", detail::as_input(logits), detail::as_input(targets),
                               detail::no_gradient<detail::tensor_element<Logits>>(),
                               detail::wanted_losses(detail::as_output(losses)), options);
}

/// The same, and the gradient of each row's loss by its logits, which may be written over the logits.
template <detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses, detail::output_tensor_like<Logits> Gradient>
void cross_entropy_losses(const Logits& logits, const Targets& targets, Losses&& losses, const Gradient& gradient,
                          batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    cross_entropy_losses(serial_executor{}, logits, targets, losses, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_row<detail::tensor_element<Logits>> Losses, detail::output_tensor_like<Logits> Gradient>
void cross_entropy_losses(Executor&& executor, const Logits& logits, const Targets& targets, Losses&& losses,
                          const Gradient& gradient,
                          batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    detail::probability_losses(executor, "cross_entropy_losses", detail::as_input(logits), detail::as_input(targets),
                               detail::as_output(gradient), detail::wanted_losses(detail::as_output(losses)), options);
}

/// Mean or sum of the rows' cross-entropies with target probabilities, a view of the logits' extents; the mean is over the
/// rows, whatever the weights. All else as for classes.
template <detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets>
detail::tensor_element<Logits> softmax_cross_entropy(
    const Logits& logits, const Targets& targets,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return softmax_cross_entropy(serial_executor{}, logits, targets, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets>
detail::tensor_element<Logits> softmax_cross_entropy(
    Executor&& executor, const Logits& logits, const Targets& targets,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return detail::probability_losses(executor, "softmax_cross_entropy", detail::as_input(logits),
                                      detail::as_input(targets), detail::no_gradient<detail::tensor_element<Logits>>(),
                                      {}, options);
}

/// The same, and its gradient by the logits, which may be written over the logits and shares nothing with the targets.
template <detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_tensor_like<Logits> Gradient>
detail::tensor_element<Logits> softmax_cross_entropy(
    const Logits& logits, const Targets& targets, const Gradient& gradient,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return softmax_cross_entropy(serial_executor{}, logits, targets, gradient, options);
}

/// The same on the threads of an executor.
template <executor Executor, detail::input_tensor Logits, detail::input_tensor_like<Logits> Targets,
          detail::output_tensor_like<Logits> Gradient>
detail::tensor_element<Logits> softmax_cross_entropy(
    Executor&& executor, const Logits& logits, const Targets& targets, const Gradient& gradient,
    batch_cross_entropy_options<detail::tensor_element<Logits>> options = {})
{
    return detail::probability_losses(executor, "softmax_cross_entropy", detail::as_input(logits),
                                      detail::as_input(targets), detail::as_output(gradient), {}, options);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
