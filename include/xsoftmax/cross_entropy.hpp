#pragma once

/// Cross-entropy of the softmax of one row, and its gradient.

#include "detail/arguments.hpp"
#include "detail/regime.hpp"
#include "detail/rows.hpp"
#include "options.hpp"

namespace xsoftmax {

/// Cross-entropy of softmax(x/T) with a class: −log softmax(x/T)[target].
///
/// Shapes: `logits` is a contiguous range of float or double of length n ≥ 1; `target`, of any integer type, is in [0, n).
/// Units: nats.
/// Options: `temperature` T > 0, default 1.
/// Values: ≥ 0; +inf where the target's logit is −inf; NaN where softmax is NaN.
/// Error: at most 4 ULP for every n ≤ 2^24.
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
/// Error of the gradient: at most 4 ULP per element. At a target that wins, p − 1 is computed as −Σ others/Σ all, which
/// keeps every digit where p rounds to 1.
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
    detail::check_size("softmax_cross_entropy", "gradient", out.size(), in.size());
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
/// Values: a target of 0 adds 0, also where its logit is −inf; a positive one there gives +inf. NaN where softmax is NaN.
/// 0 for an empty row.
/// Error: at most 4 ULP for every n ≤ 2^24 and targets ≥ 0.
/// Throws: std::invalid_argument if the lengths differ or T is not in (0, ∞).
/// Method: Σ t·(max x − x)/T + (Σ t)·log Σ_j exp((x[j] − max x)/T).
template <detail::row Logits, detail::row_of<detail::element_of<Logits>> Targets>
detail::element_of<Logits> softmax_cross_entropy(Logits&& logits, Targets&& targets, cross_entropy_options options = {})
{
    using T = detail::element_of<Logits>;
    const auto in = detail::as_input(logits);
    const auto t = detail::as_input(targets);
    detail::check_positive_temperature("softmax_cross_entropy", options.temperature);
    detail::check_size("softmax_cross_entropy", "targets", t.size(), in.size());
    if (in.empty()) return 0;

    kernels::probabilities_loss_operation<T> operation{{options.temperature}, t.data()};
    detail::run_row(operation, in, options.temperature);
    return static_cast<T>(operation.loss);
}

/// The same loss, and its gradient by the logits: gradient[i] = ((Σ_j t[j])·softmax(x/T)[i] − t[i])/T.
///
/// Shapes: `gradient` is a contiguous range of the logits' type and length; it may be the logits themselves, and shares no
/// memory with `targets`.
/// Error of the gradient: at most 4 ULP of the larger of (Σ t)·p/T and t/T where the two cancel, else of the result.
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
    detail::check_size("softmax_cross_entropy", "targets", t.size(), in.size());
    detail::check_size("softmax_cross_entropy", "gradient", out.size(), in.size());
    detail::check_same_or_apart<T>("softmax_cross_entropy", "gradient", out, "logits", in);
    detail::check_apart<T>("softmax_cross_entropy", "gradient", out, "targets", t);
    if (in.empty()) return 0;

    kernels::probabilities_gradient_operation<T> operation{{{options.temperature}, t.data()}, out.data()};
    detail::run_row(operation, in, options.temperature);
    return static_cast<T>(operation.loss);
}

}  // namespace xsoftmax
