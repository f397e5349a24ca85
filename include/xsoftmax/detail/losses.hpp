#pragma once

/// Cross-entropy of many rows: from options to the coefficients of each row, and from losses to one number.

#include "../kernels/sum.hpp"
#include "../options.hpp"
#include "arguments.hpp"
#include "batch.hpp"
#include "masks.hpp"
#include "memory.hpp"
#include "run.hpp"

#include <cmath>
#include <cstdint>
#include <optional>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// One class index for each row, of any integer type.
template <class R>
concept class_indices =
    std::ranges::contiguous_range<R> && std::ranges::sized_range<R> && class_index<std::ranges::range_value_t<R>>;

/// A sum of losses, good to twice the digits of double, so that its value does not show how the rows were cut.
class loss_sum {
public:
    void add(double loss)
    {
        const kernels::extended sum = kernels::two_sum(sum_.high, loss);
        sum_ =
            sum.high - sum.high == 0 ? kernels::extended{sum.high, sum_.low + sum.low} : kernels::extended{sum.high, 0};
    }

    [[nodiscard]] double value() const { return sum_.high + sum_.low; }
    [[nodiscard]] const kernels::extended& unrounded() const { return sum_; }

private:
    kernels::extended sum_ = {0, 0};
};

template <class T>
void check_loss_options(const char* function, const batch_cross_entropy_options<T>& options, std::size_t classes)
{
    check_positive_temperature(function, options.temperature);
    if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) [[unlikely]]
        fail_value(function, "label_smoothing", options.label_smoothing, "in [0, 1]");
    if (!(options.z_loss - options.z_loss == 0)) [[unlikely]]
        fail_value(function, "z_loss", options.z_loss, "finite");
    if (!options.class_weights.empty())
        check_count(function, "class_weights", options.class_weights.size(), classes, "classes");
}

/// The loss of a row of target probabilities, and where `gradient` is not null its gradient times gradient_scale. A row with
/// one target alone is what a class of that weight is, bit for bit.
template <class T>
double loss_of_probabilities(std::span<const T> row, const T* targets, T* gradient, const kernels::loss_terms& beside,
                             const kernels::extended& gradient_scale = {1, 0})
{
    if (row.empty()) return 0;
    const auto run = [&](auto operation) {
        run_row(operation, row, beside.temperature);
        return operation.loss;
    };
    const std::size_t only = call<kernels::only_nonzero_entry<T>>(targets, row.size());
    if (only != row.size()) {
        const kernels::index_loss_operation loss{beside, static_cast<double>(row[only]),
                                                 static_cast<double>(targets[only])};
        if (gradient == nullptr) return run(loss);
        return run(kernels::index_gradient_operation<T>{loss, gradient, only, gradient_scale});
    }
    const kernels::probabilities_loss_operation<T> loss{beside, targets};
    if (gradient == nullptr) return run(loss);
    return run(kernels::probabilities_gradient_operation<T>{loss, gradient, gradient_scale});
}

/// The classes of a batch: their number, their weights, and the share of each in label smoothing.
template <class T>
class class_shares {
public:
    class_shares(const batch_cross_entropy_options<T>& options, std::size_t classes)
        : options_(options), classes_(classes)
    {
    }

    [[nodiscard]] std::size_t size() const { return classes_; }

    [[nodiscard]] double weight(std::size_t k) const
    {
        return options_.class_weights.empty() ? 1 : static_cast<double>(options_.class_weights[k]);
    }

    /// 1 − label_smoothing
    [[nodiscard]] kernels::extended own_share() const { return kernels::two_sum(1, -options_.label_smoothing); }

    /// label_smoothing/classes, of the classes that are kept where a mask leaves some out of a row.
    [[nodiscard]] kernels::extended uniform(const T* masked_row) const
    {
        std::size_t kept = classes_;
        if (masked_row != nullptr)
            for (std::size_t k = 0; k < classes_; ++k) kept -= is_left_out(masked_row, k);
        return kernels::quotient({options_.label_smoothing, 0}, static_cast<double>(kept));
    }

    /// What smoothing gives to class k: uniform(masked_row), or 0 where it is left out.
    [[nodiscard]] static kernels::extended share(const T* masked_row, std::size_t k, const kernels::extended& uniform)
    {
        return is_left_out(masked_row, k) ? kernels::extended{} : uniform;
    }

private:
    [[nodiscard]] static bool is_left_out(const T* masked_row, std::size_t k)
    {
        return masked_row != nullptr && kernels::has_bits_of(masked_row[k], -kernels::infinity<T>);
    }

    const batch_cross_entropy_options<T>& options_;
    std::size_t classes_;
};

/// What a task needs to compute losses in: the composed row, and the coefficients of the classes.
template <class T>
struct loss_scratch {
    elements<T> composed;
    elements<T> mixed;
};

/// The rows of logits as a loss sees them: as they are, or under a mask.
template <class T>
class loss_rows {
public:
    explicit loss_rows(const row_masks<T>* masks) : masks_(masks) {}

    [[nodiscard]] bool is_masked() const { return masks_ != nullptr; }

    /// Null if the mask keeps nothing of the row.
    [[nodiscard]] const T* row(const T* logits, std::size_t r, const elements<T>& composed) const
    {
        if (masks_ == nullptr) return logits;
        return masks_->compose(r, logits, composed.data()) ? composed.data() : nullptr;
    }

    /// The loss of a row as row() gave it, and where `gradient` is not null its gradient times gradient_scale.
    double loss_of(const T* row, const T* targets, T* gradient, std::size_t classes, const kernels::loss_terms& beside,
                   const kernels::extended& gradient_scale) const
    {
        if (row != nullptr || !is_masked())  // a row without classes may have no place
            return loss_of_probabilities<T>(std::span<const T>(row, classes), targets, gradient, beside,
                                            gradient_scale);
        loss_sum weight;
        for (std::size_t k = 0; k < classes; ++k) weight.add(static_cast<double>(targets[k]));
        return loss_of_nothing(gradient, classes, weight.value());
    }

    /// The loss and the gradient of a row of which nothing is kept, whose targets sum to `weight`.
    double loss_of_nothing(T* gradient, std::size_t classes, double weight) const
    {
        const bool nan = masks_->nothing_kept() == nothing_kept::nan;
        if (gradient != nullptr) fill(gradient, classes, nan ? kernels::not_a_number<T> : T(0));
        if (nan) return kernels::not_a_number<double>;
        if (masks_->nothing_kept() != nothing_kept::uniform || classes == 0) return 0;
        return weight * ::log(static_cast<double>(classes));
    }

private:
    const row_masks<T>* masks_;
};

/// Targets that are class indices.
template <class T, class Index>
class index_targets {
public:
    index_targets(const char* function, std::span<const Index> targets, std::size_t rows, std::size_t classes,
                  const batch_cross_entropy_options<T>& options, const row_masks<T>* masks)
        : targets_(targets), options_(options), classes_(options, classes), rows_(masks)
    {
        check_count(function, "targets", targets.size(), rows, "rows");
        std::size_t counted = 0;
        loss_sum weights;
        for (std::size_t r = 0; r < rows; ++r) {
            if (is_ignored(r)) continue;
            if (!std::in_range<std::size_t>(targets[r]) || static_cast<std::size_t>(targets[r]) >= classes) [[unlikely]]
                fail_row_class(function, printable(targets[r]), r, classes);
            ++counted;
            if (!options.class_weights.empty()) weights.add(classes_.weight(target(r)));
        }
        ignored_ = rows - counted;
        total_weight_ =
            options.class_weights.empty() ? kernels::extended{static_cast<double>(counted), 0} : weights.unrounded();
    }

    [[nodiscard]] loss_scratch<T> scratch() const
    {
        loss_scratch<T> result{elements<T>(rows_.is_masked() ? classes_.size() : 0),
                               elements<T>(options_.label_smoothing == 0 ? 0 : classes_.size())};
        if (!rows_.is_masked()) spread(nullptr, classes_.uniform(nullptr), result.mixed);
        return result;
    }

    [[nodiscard]] bool is_ignored(std::size_t r) const { return std::cmp_equal(targets_[r], options_.ignore_index); }

    /// What the mean is taken over: Σ weights of the targets' classes.
    [[nodiscard]] const kernels::extended& total_weight() const { return total_weight_; }

    /// Has each row one class to itself, and no mask over it? Such rows need nothing but operation() and result().
    [[nodiscard]] bool is_plain() const
    {
        return classes_.size() != 0 && options_.label_smoothing == 0 && !rows_.is_masked();
    }

    /// Are such rows worth computing together, the ignored ones too? Of short ones, if those are few.
    template <std::size_t Operands>
    [[nodiscard]] bool are_together(const row_layout<Operands>& layout) const
    {
        if (!is_plain()) return false;
        if (!layout.is_contiguous()) return true;
        return layout.rows() > 1 && ignored_ <= (are_short_rows<T>(layout) ? layout.rows() / 4 : 0);
    }

    /// What to do with row r, one element of which is `step` from the next. For an ignored row of no account.
    [[nodiscard]] kernels::index_loss_operation operation(const T* logits, std::ptrdiff_t step, std::size_t r) const
    {
        const std::size_t index = is_ignored(r) ? 0 : target(r);
        return {{options_.temperature, options_.z_loss},
                static_cast<double>(logits[static_cast<std::ptrdiff_t>(index) * step]),
                classes_.weight(index)};
    }

    [[nodiscard]] kernels::index_gradient_operation<T> operation(const T* logits, std::ptrdiff_t step, T* gradient,
                                                                 std::ptrdiff_t gradient_step, std::size_t r,
                                                                 const kernels::extended& gradient_scale) const
    {
        return {operation(logits, step, r), gradient, is_ignored(r) ? 0 : target(r), gradient_scale, gradient_step};
    }

    /// The loss of such a row; an ignored one's gradient becomes 0.
    [[nodiscard]] double result(const kernels::index_loss_operation& row, std::size_t r) const
    {
        return is_ignored(r) ? 0 : row.loss;
    }

    [[nodiscard]] double result(const kernels::index_gradient_operation<T>& row, std::size_t r) const
    {
        if (is_ignored(r))
            for (std::size_t k = 0; k < classes_.size(); ++k) row.output[static_cast<std::ptrdiff_t>(k) * row.step] = 0;
        return is_ignored(r) ? 0 : row.loss;
    }

    /// The loss of row r, and where `gradient` is not null its gradient times gradient_scale.
    double operator()(const loss_scratch<T>& scratch, const T* logits, T* gradient, std::size_t r,
                      const kernels::extended& gradient_scale) const
    {
        if (is_ignored(r)) {
            if (gradient != nullptr) fill(gradient, classes_.size(), T(0));
            return 0;
        }
        const std::size_t index = target(r);
        const double weight = classes_.weight(index);
        const T* const seen = rows_.row(logits, r, scratch.composed);
        if (options_.label_smoothing != 0) {
            const elements<T>& mixed = scratch.mixed;
            const T* const masked_row = rows_.is_masked() ? seen : nullptr;
            const kernels::extended uniform = classes_.uniform(masked_row);
            if (rows_.is_masked()) spread(masked_row, uniform, mixed);
            const T of_uniform = mixed[index];
            mixed[index] = static_cast<T>(kernels::to_double(
                (classes_.share(masked_row, index, uniform) + classes_.own_share()) * kernels::to_extended(weight)));
            const double loss = rows_.loss_of(seen, mixed.data(), gradient, classes_.size(),
                                              {options_.temperature, options_.z_loss}, gradient_scale);
            mixed[index] = of_uniform;
            return loss;
        }
        if (seen == nullptr) return rows_.loss_of_nothing(gradient, classes_.size(), weight);
        const std::span<const T> row(seen, classes_.size());
        const auto run = [&](auto operation) {
            run_row(operation, row, options_.temperature);
            return operation.loss;
        };
        return gradient == nullptr ? run(operation(seen, 1, r))
                                   : run(operation(seen, 1, gradient, 1, r, gradient_scale));
    }

private:
    [[nodiscard]] std::size_t target(std::size_t r) const { return static_cast<std::size_t>(targets_[r]); }

    /// What every class is given, weighted.
    void spread(const T* masked_row, const kernels::extended& uniform, const elements<T>& mixed) const
    {
        for (std::size_t k = 0; k < mixed.size(); ++k)
            mixed[k] = static_cast<T>(
                kernels::to_double(classes_.share(masked_row, k, uniform) * kernels::to_extended(classes_.weight(k))));
    }

    std::span<const Index> targets_;
    const batch_cross_entropy_options<T>& options_;
    class_shares<T> classes_;
    loss_rows<T> rows_;
    kernels::extended total_weight_;
    std::size_t ignored_;
};

/// Targets that are probabilities, one row of them for each row of logits.
template <class T>
class probability_targets {
public:
    probability_targets(std::size_t rows, std::size_t classes, const batch_cross_entropy_options<T>& options,
                        const row_masks<T>* masks)
        : total_weight_{static_cast<double>(rows), 0}, options_(options), classes_(options, classes), rows_(masks)
    {
    }

    [[nodiscard]] loss_scratch<T> scratch() const
    {
        return {elements<T>(rows_.is_masked() ? classes_.size() : 0), elements<T>(is_plain() ? 0 : classes_.size())};
    }

    [[nodiscard]] const kernels::extended& total_weight() const { return total_weight_; }

    double operator()(const loss_scratch<T>& scratch, const T* logits, const T* targets, T* gradient, std::size_t r,
                      const kernels::extended& gradient_scale) const
    {
        const T* const seen = rows_.row(logits, r, scratch.composed);
        if (!is_plain()) {
            const T* const masked_row = rows_.is_masked() ? seen : nullptr;
            const kernels::extended uniform = classes_.uniform(masked_row), own_share = classes_.own_share();
            for (std::size_t k = 0; k < scratch.mixed.size(); ++k) {
                const auto target = own_share * kernels::to_extended(static_cast<double>(targets[k])) +
                                    classes_.share(masked_row, k, uniform);
                scratch.mixed[k] =
                    static_cast<T>(kernels::to_double(target * kernels::to_extended(classes_.weight(k))));
            }
            targets = scratch.mixed.data();
        }
        return rows_.loss_of(seen, targets, gradient, classes_.size(), {options_.temperature, options_.z_loss},
                             gradient_scale);
    }

private:
    [[nodiscard]] bool is_plain() const { return options_.label_smoothing == 0 && options_.class_weights.empty(); }

    kernels::extended total_weight_;
    const batch_cross_entropy_options<T>& options_;
    class_shares<T> classes_;
    loss_rows<T> rows_;
};

template <class_indices R>
[[nodiscard]] auto as_indices(const R& targets)
{
    return std::span<const std::ranges::range_value_t<R>>(std::ranges::data(targets), std::ranges::size(targets));
}

/// The mask over the rows, if there is one.
template <class T>
[[nodiscard]] std::optional<row_masks<T>> masks_of(const char* function, const mask<T>* given,
                                                   const operand<const T>& logits, std::size_t axis)
{
    std::optional<row_masks<T>> masks;
    if (given != nullptr) masks.emplace(function, *given, logits, axis);
    return masks;
}

/// Where the rows' losses go, if they are wanted one by one.
template <class T>
struct wanted_losses {
    explicit wanted_losses(std::span<T> where) : to(where), reduce(false) {}
    wanted_losses() = default;

    std::span<T> to = {};
    bool reduce = true;
};

/// In place of a gradient that is not wanted.
template <class T>
[[nodiscard]] operand<T> no_gradient()
{
    return {nullptr, 0, {}, {}};
}

/// Of gradient and losses those that are wanted have their places, and share no memory with what is read for other rows.
template <class T, class Targets>
void check_results(const char* function, const operand<const T>& logits, const Targets& targets,
                   const std::optional<row_masks<T>>& masks, const operand<T>& gradient, const wanted_losses<T>& losses,
                   std::size_t rows, const batch_cross_entropy_options<T>& options)
{
    const auto check_beside_logits = [&](const char* name, const auto& output) {
        check_apart(function, name, output, "targets", targets);
        check_apart(function, name, output, "class_weights", options.class_weights);
        if (masks) masks->check_apart(name, output);
    };
    if (gradient.rank != 0) {
        check_output(function, "gradient", gradient, "logits", logits);
        check_beside_logits("gradient", gradient);
    }
    if (losses.reduce) return;
    check_count(function, "losses", losses.to.size(), rows, "rows");
    check_apart(function, "losses", losses.to, "logits", logits);
    if (gradient.rank != 0) check_apart(function, "losses", losses.to, "gradient", gradient);
    check_beside_logits("losses", losses.to);
}

/// From the rows' losses to what is returned: `total_weight` is what a mean divides by. run(share, what gradients are
/// multiplied by, take) calls take(row, loss) for the layout's rows in a share, in the layout's order.
template <class T, class Executor, std::size_t Operands, class Run>
T reduce_losses(Executor& executor, const row_layout<Operands>& layout, const batch_cross_entropy_options<T>& options,
                const wanted_losses<T>& losses, const kernels::extended& total_weight, const Run& run)
{
    const bool mean = losses.reduce && options.reduction == reduction::mean;
    // Where the weights sum to 0 there is no mean, whatever the losses are.
    const kernels::extended undefined{kernels::not_a_number<double>, kernels::not_a_number<double>};
    const kernels::extended divisor = !mean                                   ? kernels::extended{1, 0}
                                      : kernels::to_double(total_weight) == 0 ? undefined
                                                                              : total_weight;
    const kernels::extended scale = kernels::reciprocal(divisor);
    loss_sum sum;
    if (!losses.reduce)
        in_shares(executor, layout, [&](rows_share share) {
            run(share, scale, [&](std::size_t row, double loss) { losses.to[row] = static_cast<T>(loss); });
        });
    else if constexpr (std::is_same_v<std::remove_cvref_t<Executor>, serial_executor>)
        run(rows_share{}, scale, [&](std::size_t, double loss) { sum.add(loss); });
    else {
        // Added up in the order of one thread, so that the bits are the same.
        const elements<double> of_rows(layout.rows());
        in_shares(executor, layout, [&](rows_share share) {
            run(share, scale, [&](std::size_t row, double loss) { of_rows[row] = loss; });
        });
        layout.for_each_run([&](std::size_t first_row, const auto&, std::size_t rows) {
            for (std::size_t r = 0; r < rows; ++r) sum.add(of_rows[first_row + r * layout.innermost().rows]);
        });
    }
    return static_cast<T>(sum.value() / kernels::to_double(divisor));
}

/// Losses of class indices, under a mask if there is one, and their gradient if it has axes.
template <class Executor, class T, class Index>
T index_losses(Executor& executor, const char* function, const operand<const T>& logits, std::span<const Index> targets,
               const operand<T>& gradient, const wanted_losses<T>& losses,
               const batch_cross_entropy_options<T>& options, const mask<T>* given_mask = nullptr)
{
    const bool with_gradient = gradient.rank != 0;
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    const std::size_t classes = logits.extents[axis];
    check_countable(function, "logits", logits);
    check_loss_options(function, options, classes);
    const auto layout = rows_along(axis, logits);
    const auto masks = masks_of(function, given_mask, logits, axis);
    check_results(function, logits, targets, masks, gradient, losses, layout.rows(), options);
    const index_targets<T, Index> row_loss(function, targets, layout.rows(), classes, options,
                                           masks ? &*masks : nullptr);
    if (masks) masks->check_kept(layout, data_of<T>(logits), [&](std::size_t r) { return row_loss.is_ignored(r); });

    // Rows that lie apart, and short ones, may be computed together; other ones are not looked at if they are ignored.
    const auto reduce = [&](const auto& rows, const auto& run) {
        return reduce_losses(executor, rows, options, losses, row_loss.total_weight(), run);
    };
    const auto arranged_if_plain = [&](const auto& rows) {
        return row_loss.is_plain() ? arranged<T>(rows, options.temperature) : rows;
    };
    if (with_gradient) {
        const auto both = arranged_if_plain(rows_along(axis, logits, gradient));
        const auto data = data_of<T>(logits, gradient);
        return reduce(both, [&](rows_share share, const kernels::extended& gradient_scale, const auto& take) {
            if (row_loss.are_together(both))
                return run_operations_of_share<true>(
                    both, share, data, options.temperature,
                    [&](const pointers<T, 2>& at, const auto& step, std::size_t r) {
                        return row_loss.operation(at[0], step[0], at[1], step[1], r, gradient_scale);
                    },
                    [&](std::size_t r, const auto& row) { take(r, row_loss.result(row, r)); });
            const loss_scratch<T> scratch = row_loss.scratch();
            for_each_row<true>(
                both, data,
                [&](const pointers<T, 2>& row, std::size_t r) {
                    take(r, row_loss(scratch, row[0], row[1], r, gradient_scale));
                },
                share);
        });
    }
    const auto alone = arranged_if_plain(layout);
    const auto data = data_of<T>(logits);
    return reduce(alone, [&](rows_share share, const kernels::extended& gradient_scale, const auto& take) {
        if (row_loss.are_together(alone))
            return run_operations_of_share<false>(
                alone, share, data, options.temperature,
                [&](const pointers<T, 1>& at, const auto& step, std::size_t r) {
                    return row_loss.operation(at[0], step[0], r);
                },
                [&](std::size_t r, const auto& row) { take(r, row_loss.result(row, r)); });
        const loss_scratch<T> scratch = row_loss.scratch();
        for_each_row<false>(
            alone, data,
            [&](const pointers<T, 1>& row, std::size_t r) {
                take(r, row_loss(scratch, row[0], nullptr, r, gradient_scale));
            },
            share);
    });
}

/// Losses of target probabilities, under a mask if there is one, and their gradient if it has axes.
template <class Executor, class T>
T probability_losses(Executor& executor, const char* function, const operand<const T>& logits,
                     const operand<const T>& targets, const operand<T>& gradient, const wanted_losses<T>& losses,
                     const batch_cross_entropy_options<T>& options, const mask<T>* given_mask = nullptr)
{
    const bool with_gradient = gradient.rank != 0;
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    const std::size_t classes = logits.extents[axis];
    check_countable(function, "logits", logits);
    check_loss_options(function, options, classes);
    check_extents(function, "targets", targets, "logits", logits);
    check_countable(function, "targets", targets);
    const auto layout = rows_along(axis, logits, targets);
    const auto masks = masks_of(function, given_mask, logits, axis);
    check_results(function, logits, targets, masks, gradient, losses, layout.rows(), options);
    const probability_targets<T> row_loss(layout.rows(), classes, options, masks ? &*masks : nullptr);
    if (masks) masks->check_kept(rows_along(axis, logits), data_of<T>(logits), [](std::size_t) { return false; });

    const auto reduce = [&](const auto& rows, const auto& run) {
        return reduce_losses(executor, rows, options, losses, row_loss.total_weight(), run);
    };
    if (with_gradient) {
        const auto all = rows_along(axis, logits, targets, gradient);
        return reduce(all, [&](rows_share share, const kernels::extended& gradient_scale, const auto& take) {
            const loss_scratch<T> scratch = row_loss.scratch();
            for_each_row<true>(
                all, data_of<T>(logits, targets, gradient),
                [&](const pointers<T, 3>& row, std::size_t r) {
                    take(r, row_loss(scratch, row[0], row[1], row[2], r, gradient_scale));
                },
                share);
        });
    }
    return reduce(layout, [&](rows_share share, const kernels::extended& gradient_scale, const auto& take) {
        const loss_scratch<T> scratch = row_loss.scratch();
        for_each_row<false>(
            layout, data_of<T>(logits, targets),
            [&](const pointers<T, 2>& row, std::size_t r) {
                take(r, row_loss(scratch, row[0], row[1], nullptr, r, gradient_scale));
            },
            share);
    });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
