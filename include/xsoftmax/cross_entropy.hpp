#pragma once

/// Cross-entropy of softmax and its gradient, of one row or of many.
///
/// All of it agrees with PyTorch's cross_entropy, number for number up to rounding, wherever PyTorch has the option:
///
///     class y:            loss = (1 − ε)·w[y]·nll[y] + ε/classes·Σ_k w[k]·nll[k]     + z·log_sum_exp(x/T)²
///     probabilities t:    loss = Σ_k w[k]·((1 − ε)·t[k] + ε/classes)·nll[k]          + z·log_sum_exp(x/T)²
///
/// with nll = −log softmax(x/T), ε = label_smoothing, w = class_weights (1 without), z = z_loss. The mean divides the sum of
/// the losses by Σ w[y] over the rows that are not ignored, or by the number of rows for probabilities; the gradient is that
/// of what is returned. If all rows are ignored, the mean is NaN (0/0), the sum 0, and the gradient 0. If the weights of the
/// rows that are not ignored sum to 0, mean and gradient are NaN (PyTorch's are NaN or infinite).
/// A class whose logit is −inf has nll = +inf: smoothing makes the loss +inf, unless its weight is 0. Whatever is multiplied
/// by 0 adds 0, never NaN; but a negative z_loss that is infinite, beside such a class, leaves NaN of the two.
/// Both depart from PyTorch, where 0·∞ is NaN, as does the gradient of an ignored row that holds a NaN: here it is 0.
/// One-hot probabilities give what class indices give, bit for bit, but for the mean with class weights, which divides by
/// another number, for the sign of a zero, and for a class of weight 0 beside a z_loss, where the last bit may differ.
/// Weights times targets are rounded in the logits' type: what is denormal there loses digits.
/// Under a mask, smoothing spreads over the kept classes alone, and what is left out takes no part in loss or gradient. A
/// target that is left out has an infinite loss, and its gradient stays that of its target. A fully masked row has the loss and
/// the gradient that the mask says; it counts in the mean, and its gradient is 0 also where that is NaN.

#include "version.hpp"

#include "detail/arguments.hpp"
#include "detail/losses.hpp"
#include "executor.hpp"
#include "mask.hpp"
#include "options.hpp"
#include "views.hpp"

namespace xsoftmax {

namespace detail {
inline namespace XSOFTMAX_TARGET {

template <class Logits, class Targets>
[[nodiscard]] loss_targets<value_type<const Logits&>> as_targets(const Targets& targets)
{
    static_assert(!is_row_like<const Logits&> || !range<const Targets&> || !class_indices<const Targets&>,
                  "xsoftmax: a row has one class, which is an integer and no list");
    static_assert(!std::is_arithmetic_v<Targets> || counting<Targets>,
                  "xsoftmax: a class is an integer, and neither bool, a character nor a floating-point number");
    if constexpr (counting<Targets>)
        return {std::span<const Targets>(&targets, 1), {}};
    else if constexpr (class_indices<const Targets&>)
        return {targets, {}};
    else
        return {{}, as_input_like<Logits>(targets)};
}

}  // namespace XSOFTMAX_TARGET
}  // namespace detail

inline namespace XSOFTMAX_TARGET {

/// Cross-entropy of softmax(x/T): −log softmax(x/T)[target] for a class, −Σ_i t[i]·log softmax(x/T)[i] for target
/// probabilities; of many rows their mean, or sum.
///
/// Shapes: `logits` is a contiguous range of float or double and `targets` a class of any integer type, in [0, n), or a
/// range of probabilities of the same type and length; or `logits` is a view whose `axis` are the classes and `targets` a
/// contiguous range of classes, one for each row in row-major order of the other axes, or a view of probabilities of the same
/// extents. Logits may be masked(). Probabilities that do not sum to 1 are used as given.
/// Units: nats.
/// Options: see cross_entropy_options; by default the mean, along the last axis, at temperature 1.
/// Values: ≥ 0; +inf where a target's logit is −inf; NaN where softmax is NaN. A target of 0 adds 0, also where its logit is
/// −inf. NaN for the mean of no rows, or of ignored ones alone; 0 for an empty row.
/// Error: at most 4 ULP, with options of the largest term of the loss, and of many rows of their mean, or sum.
/// Throws: std::out_of_range if a class is neither in [0, classes) nor ignored, naming the row, or there is no such axis;
/// std::invalid_argument for lengths that do not fit, options out of their ranges, and outputs over what is read; masks as in
/// softmax. Nothing is written then.
/// Method: (max x − x[target])/T + log Σ_j exp((x[j] − max x)/T), two terms ≥ 0, so nothing cancels; weights and smoothing
/// become a row's target probabilities. Losses of rows are added up in twice the precision, in their order.
template <detail::operand_like Logits, detail::targets_like Targets>
auto softmax_cross_entropy(const Logits& logits, const Targets& targets,
                           cross_entropy_options<detail::value_type<const Logits&>> options = {})
    -> detail::value_type<const Logits&>
{
    if constexpr (detail::range<const Logits&>)
        return detail::run_row_loss(detail::checked_input<const Logits&>(logits), detail::as_targets<Logits>(targets),
                                    {}, options);
    else
        return softmax_cross_entropy(serial_executor{}, logits, targets, options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like Logits, detail::targets_like Targets>
[[nodiscard]] auto softmax_cross_entropy(Executor&& executor, const Logits& logits, const Targets& targets,
                                         cross_entropy_options<detail::value_type<const Logits&>> options = {})
    -> detail::value_type<const Logits&>
{
    return detail::run_losses(executor, "softmax_cross_entropy", detail::checked_input<const Logits&>(logits),
                              detail::as_targets<Logits>(targets), {}, {}, options, detail::mask_of(logits));
}

/// The same loss, and its gradient with respect to the logits: ((Σ_j t[j])·softmax(x/T)[i] − t[i])/T, where a class is a single
/// t of 1; with options that of the formula above.
///
/// Shapes: `gradient` is as the logits; it may be the logits themselves, and shares no memory with targets or class weights.
/// Error of the gradient: at most 4 ULP of the larger of its terms where they cancel, else of the result. At a class that has
/// the largest logit, p − 1 is computed as −Σ others/Σ all, which keeps every digit where p rounds to 1.
template <detail::operand_like Logits, detail::targets_like Targets, detail::operand_like Gradient>
auto softmax_cross_entropy(const Logits& logits, const Targets& targets, Gradient&& gradient,
                           cross_entropy_options<detail::value_type<const Logits&>> options = {})
    -> detail::value_type<const Logits&>
{
    if constexpr (detail::range<const Logits&>)
        return detail::run_row_loss(detail::checked_input<const Logits&>(logits), detail::as_targets<Logits>(targets),
                                    detail::as_output_like<Logits, Gradient>(gradient), options);
    else
        return softmax_cross_entropy(serial_executor{}, logits, targets, static_cast<Gradient&&>(gradient), options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like Logits, detail::targets_like Targets, detail::operand_like Gradient>
auto softmax_cross_entropy(Executor&& executor, const Logits& logits, const Targets& targets, Gradient&& gradient,
                           cross_entropy_options<detail::value_type<const Logits&>> options = {})
    -> detail::value_type<const Logits&>
{
    return detail::run_losses(executor, "softmax_cross_entropy", detail::checked_input<const Logits&>(logits),
                              detail::as_targets<Logits>(targets), detail::as_output_like<Logits, Gradient>(gradient),
                              {}, options, detail::mask_of(logits));
}

/// The losses of the rows one by one: one for each row, 0 for ignored ones; `reduction` does not matter. `losses` is a
/// contiguous range of the logits' type, which shares no memory with any other operand. All else as for softmax_cross_entropy.
template <detail::operand_like Logits, detail::targets_like Targets, detail::range Losses>
void cross_entropy_losses(const Logits& logits, const Targets& targets, Losses&& losses,
                          cross_entropy_options<detail::value_type<const Logits&>> options = {})
{
    cross_entropy_losses(serial_executor{}, logits, targets, static_cast<Losses&&>(losses), options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like Logits, detail::targets_like Targets, detail::range Losses>
void cross_entropy_losses(Executor&& executor, const Logits& logits, const Targets& targets, Losses&& losses,
                          cross_entropy_options<detail::value_type<const Logits&>> options = {})
{
    using T = detail::value_type<const Logits&>;
    static_assert(detail::check_output_type<Losses, T, 1>());
    detail::run_losses(executor, "cross_entropy_losses", detail::checked_input<const Logits&>(logits),
                       detail::as_targets<Logits>(targets), {}, {std::span<T>(losses), false}, options,
                       detail::mask_of(logits));
}

/// The same, and the gradient of each row's loss.
template <detail::operand_like Logits, detail::targets_like Targets, detail::range Losses,
          detail::operand_like Gradient>
void cross_entropy_losses(const Logits& logits, const Targets& targets, Losses&& losses, Gradient&& gradient,
                          cross_entropy_options<detail::value_type<const Logits&>> options = {})
{
    cross_entropy_losses(serial_executor{}, logits, targets, static_cast<Losses&&>(losses),
                         static_cast<Gradient&&>(gradient), options);
}

/// On the threads of an executor.
template <executor Executor, detail::operand_like Logits, detail::targets_like Targets, detail::range Losses,
          detail::operand_like Gradient>
void cross_entropy_losses(Executor&& executor, const Logits& logits, const Targets& targets, Losses&& losses,
                          Gradient&& gradient, cross_entropy_options<detail::value_type<const Logits&>> options = {})
{
    using T = detail::value_type<const Logits&>;
    static_assert(detail::check_output_type<Losses, T, 1>());
    detail::run_losses(executor, "cross_entropy_losses", detail::checked_input<const Logits&>(logits),
                       detail::as_targets<Logits>(targets), detail::as_output_like<Logits, Gradient>(gradient),
                       {std::span<T>(losses), false}, options, detail::mask_of(logits));
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
