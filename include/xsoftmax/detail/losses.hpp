#pragma once

/// Cross-entropy of many rows: from options to the coefficients of each row, and from losses to one number.

#include "../kernels/sum.hpp"
#include "../options.hpp"
#include "arguments.hpp"
#include "batch.hpp"
#include "regime.hpp"

#include <cstdint>
#include <ranges>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace xsoftmax::detail {

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

private:
    kernels::extended sum_;
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

/// The loss of a row of target probabilities, and where `gradient` is not null its gradient times gradient_scale.
template <class T>
double loss_of_probabilities(std::span<const T> row, const T* targets, T* gradient, const kernels::loss_terms& beside,
                             double gradient_scale)
{
    if (row.empty()) return 0;
    if (gradient == nullptr) {
        kernels::probabilities_loss_operation<T> operation{beside, targets};
        run_row(operation, row, beside.temperature);
        return operation.loss;
    }
    kernels::probabilities_gradient_operation<T> operation{{beside, targets}, gradient, gradient_scale};
    run_row(operation, row, beside.temperature);
    return operation.loss;
}

/// Targets that are class indices.
template <class T, class Index>
class index_targets {
public:
    index_targets(const char* function, std::span<const Index> targets, std::size_t rows, std::size_t classes,
                  const batch_cross_entropy_options<T>& options)
        : targets_(targets), options_(options)
    {
        check_count(function, "targets", targets.size(), rows, "rows");
        for (std::size_t r = 0; r < rows; ++r) {
            if (is_ignored(r)) continue;
            if (!std::in_range<std::size_t>(targets[r]) || static_cast<std::size_t>(targets[r]) >= classes) [[unlikely]]
                fail_row_class(function, static_cast<std::int64_t>(targets[r]), r, classes);
            weight_.add(weight_of(target(r)));
        }
        if (options.label_smoothing != 0) {
            smoothed_.resize(classes);
            for (std::size_t k = 0; k < classes; ++k)
                smoothed_[k] = static_cast<T>(options.label_smoothing / static_cast<double>(classes) * weight_of(k));
        }
    }

    /// What the mean is taken over: Σ weights of the targets' classes.
    [[nodiscard]] double total_weight() const { return weight_.value(); }

    /// The loss of row r, and where `gradient` is not null its gradient times gradient_scale.
    double operator()(const T* logits, std::size_t classes, T* gradient, std::size_t r, double gradient_scale)
    {
        if (is_ignored(r)) {
            if (gradient != nullptr) kernels::fill(gradient, classes, T(0));
            return 0;
        }
        const std::span<const T> row(logits, classes);
        const kernels::loss_terms beside{options_.temperature, options_.z_loss};
        const std::size_t index = target(r);
        if (options_.label_smoothing != 0) {
            const T uniform = smoothed_[index];
            smoothed_[index] =
                static_cast<T>(static_cast<double>(uniform) + (1 - options_.label_smoothing) * weight_of(index));
            const double loss = loss_of_probabilities<T>(row, smoothed_.data(), gradient, beside, gradient_scale);
            smoothed_[index] = uniform;
            return loss;
        }
        const auto logit = static_cast<double>(logits[index]);
        if (gradient == nullptr) {
            kernels::index_loss_operation operation{beside, logit, weight_of(index)};
            run_row(operation, row, options_.temperature);
            return operation.loss;
        }
        kernels::index_gradient_operation<T> operation{
            {beside, logit, weight_of(index)}, gradient, index, gradient_scale};
        run_row(operation, row, options_.temperature);
        return operation.loss;
    }

private:
    [[nodiscard]] bool is_ignored(std::size_t r) const { return std::cmp_equal(targets_[r], options_.ignore_index); }
    [[nodiscard]] std::size_t target(std::size_t r) const { return static_cast<std::size_t>(targets_[r]); }
    [[nodiscard]] double weight_of(std::size_t k) const
    {
        return options_.class_weights.empty() ? 1 : static_cast<double>(options_.class_weights[k]);
    }

    std::span<const Index> targets_;
    const batch_cross_entropy_options<T>& options_;
    loss_sum weight_;
    std::vector<T> smoothed_;  // what every class is given, weighted
};

/// Targets that are probabilities, one row of them for each row of logits.
template <class T>
class probability_targets {
public:
    probability_targets(std::size_t rows, std::size_t classes, const batch_cross_entropy_options<T>& options)
        : rows_(rows), options_(options), mixed_(is_plain() ? 0 : classes)
    {
    }

    [[nodiscard]] double total_weight() const { return static_cast<double>(rows_); }

    double operator()(const T* logits, const T* targets, std::size_t classes, T* gradient, double gradient_scale)
    {
        if (!is_plain()) {
            const double uniform = options_.label_smoothing / static_cast<double>(classes);
            for (std::size_t k = 0; k < classes; ++k) {
                const double mixed = (1 - options_.label_smoothing) * static_cast<double>(targets[k]) + uniform;
                const double weight =
                    options_.class_weights.empty() ? 1 : static_cast<double>(options_.class_weights[k]);
                mixed_[k] = static_cast<T>(weight * mixed);
            }
            targets = mixed_.data();
        }
        return loss_of_probabilities<T>(std::span<const T>(logits, classes), targets, gradient,
                                        {options_.temperature, options_.z_loss}, gradient_scale);
    }

private:
    [[nodiscard]] bool is_plain() const { return options_.label_smoothing == 0 && options_.class_weights.empty(); }

    std::size_t rows_;
    const batch_cross_entropy_options<T>& options_;
    std::vector<T> mixed_;  // smoothed and weighted
};

template <class_indices R>
[[nodiscard]] auto as_indices(const R& targets)
{
    return std::span<const std::ranges::range_value_t<R>>(std::ranges::data(targets), std::ranges::size(targets));
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

template <class T>
void check_losses_arguments(const char* function, const operand<const T>& logits, const operand<T>& gradient,
                            bool with_gradient, const wanted_losses<T>& losses, std::size_t rows)
{
    if (with_gradient) check_output(function, "gradient", gradient, "logits", logits);
    if (!losses.reduce) check_count(function, "losses", losses.to.size(), rows, "rows");
}

/// From the rows' losses to what is returned: `total_weight` is what a mean divides by.
template <class T, class RowLoss>
T reduce_losses(const batch_cross_entropy_options<T>& options, const wanted_losses<T>& losses, double total_weight,
                const RowLoss& for_each_loss)
{
    const bool mean = losses.reduce && options.reduction == reduction::mean;
    loss_sum sum;
    for_each_loss(mean ? 1 / total_weight : 1.0, [&](std::size_t row, double loss) {
        if (losses.reduce)
            sum.add(loss);
        else
            losses.to[row] = static_cast<T>(loss);
    });
    return static_cast<T>(mean ? sum.value() / total_weight : sum.value());
}

/// Losses of class indices, and their gradient if it has data.
template <class T, class Index>
T index_losses(const char* function, const operand<const T>& logits, std::span<const Index> targets,
               const operand<T>& gradient, const wanted_losses<T>& losses,
               const batch_cross_entropy_options<T>& options)
{
    const bool with_gradient = gradient.rank != 0;
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    const std::size_t classes = logits.extents[axis];
    check_countable(function, "logits", logits);
    check_loss_options(function, options, classes);
    const auto layout = rows_along(axis, logits);
    check_losses_arguments(function, logits, gradient, with_gradient, losses, layout.rows());
    index_targets<T, Index> row_loss(function, targets, layout.rows(), classes, options);

    return reduce_losses(options, losses, row_loss.total_weight(), [&](double gradient_scale, const auto& take) {
        if (with_gradient)
            for_each_row<true>(rows_along(axis, logits, gradient), data_of<T>(logits, gradient),
                               [&](const pointers<T, 2>& row, std::size_t r) {
                                   take(r, row_loss(row[0], classes, row[1], r, gradient_scale));
                               });
        else
            for_each_row<false>(layout, data_of<T>(logits), [&](const pointers<T, 1>& row, std::size_t r) {
                take(r, row_loss(row[0], classes, nullptr, r, gradient_scale));
            });
    });
}

/// Losses of target probabilities, and their gradient if it has data.
template <class T>
T probability_losses(const char* function, const operand<const T>& logits, const operand<const T>& targets,
                     const operand<T>& gradient, const wanted_losses<T>& losses,
                     const batch_cross_entropy_options<T>& options)
{
    const bool with_gradient = gradient.rank != 0;
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    const std::size_t classes = logits.extents[axis];
    check_countable(function, "logits", logits);
    check_loss_options(function, options, classes);
    const auto layout = rows_along(axis, logits, targets);
    check_extents(function, "targets", targets, "logits", logits);
    check_losses_arguments(function, logits, gradient, with_gradient, losses, layout.rows());
    if (with_gradient && views_overlap(gradient, targets)) [[unlikely]]
        fail_views_overlap(function, "gradient", "targets");
    probability_targets<T> row_loss(layout.rows(), classes, options);

    return reduce_losses(options, losses, row_loss.total_weight(), [&](double gradient_scale, const auto& take) {
        if (with_gradient)
            for_each_row<true>(rows_along(axis, logits, targets, gradient), data_of<T>(logits, targets, gradient),
                               [&](const pointers<T, 3>& row, std::size_t r) {
                                   take(r, row_loss(row[0], row[1], classes, row[2], gradient_scale));
                               });
        else
            for_each_row<false>(layout, data_of<T>(logits, targets), [&](const pointers<T, 2>& row, std::size_t r) {
                take(r, row_loss(row[0], row[1], classes, nullptr, gradient_scale));
            });
    });
}

}  // namespace xsoftmax::detail
