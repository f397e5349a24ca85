#pragma once

/// Cross-entropy: from options to the terms of each row, from row_sums to losses and gradients, and from losses to one number.

#include "../options.hpp"
#include "arguments.hpp"
#include "run.hpp"

#include <cmath>
#include <optional>
#include <utility>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

using kernels::double_double;

/// A sum of losses in twice the digits of double, so that its value does not show how the rows were cut.
class loss_sum {
public:
    void add(double loss)
    {
        const double_double sum = kernels::two_sum(sum_.high, loss);
        sum_ = sum.high - sum.high == 0 ? double_double{sum.high, sum_.low + sum.low} : double_double{sum.high, 0};
    }

    [[nodiscard]] double value() const { return sum_.high + sum_.low; }
    [[nodiscard]] const double_double& unrounded() const { return sum_; }

private:
    double_double sum_ = {0, 0};
};

template <class T>
void check_loss_options(const char* function, const cross_entropy_options<T>& options, std::size_t classes)
{
    check_positive_temperature(function, options.temperature);
    if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) [[unlikely]]
        fail_value(function, "label_smoothing", options.label_smoothing, "in [0, 1]");
    if (!(options.z_loss - options.z_loss == 0)) [[unlikely]]
        fail_value(function, "z_loss", options.z_loss, "finite");
    if (!options.class_weights.empty())
        check_count(function, "class_weights", options.class_weights.size(), classes, "classes");
}

/// May a factor of the exponentials of rows of n elements be this number? Others, of whose products T has no digits, are for
/// rare_row.hpp.
[[nodiscard]] inline bool is_ordinary_factor(double x, std::size_t n)
{
    const double least = 0x1p-42 * static_cast<double>(n);
    return x == 0 || !(x == x) || (x >= least && x <= 0x1p40) || (x <= -least && x >= -0x1p40);
}

/// A finite sum of products, or the infinite or undefined number that it is: low parts of those are NaN.
[[nodiscard]] inline double number_of(double_double x) { return x.high - x.high == 0 ? x.high + x.low : x.high; }
[[nodiscard]] inline double number_of(double x) { return x; }

/// What is made of the row_sum of one row, in double, or of rows of double in pairs.
template <class T>
struct row_loss {
    using W = kernels::wide<T>;

    W log_sum, top_over_t, others, inverse;
    double top;
    const kernels::loss_terms& terms;

    template <bool IsRow>
    row_loss(const chunk<T, IsRow>& part, std::size_t r, const kernels::loss_terms& of_rows)
        : log_sum(number_of(part.sums.logarithm, r)),
          others(number_of(part.sums.others, r)),
          top(static_cast<double>(part.sums.maximum[r])),
          terms(of_rows)
    {
        const double_double inverse_sum{static_cast<double>(part.sums.inverse_high[r]),
                                        static_cast<double>(part.sums.inverse_low[r])};
        inverse = sizeof(T) == 4 ? kernels::wide_from<T>(inverse_sum.high + inverse_sum.low)
                                 : kernels::wide_from<T>(inverse_sum);
    }

    [[nodiscard]] W over_temperature(W x) const { return x / kernels::wide_from<T>(terms.temperature); }

    /// log Σ exp(x/T)
    [[nodiscard]] W log_sum_exp() const { return over_temperature(kernels::wide_from<T>(top)) + log_sum; }

    /// −log softmax(x/T) of the logit x, both terms of which are ≥ 0.
    [[nodiscard]] W negative_log(double x) const
    {
        const double_double apart = kernels::two_sum(top, -x);
        return over_temperature(kernels::wide_from<T>(sizeof(T) == 4 ? double_double{top - x, 0} : apart)) + log_sum;
    }

    /// The loss of targets whose part of it is this, with z_loss.
    [[nodiscard]] double with_z(W of_targets) const
    {
        if (terms.z_loss == 0 || !(number_of(of_targets) - number_of(of_targets) == 0)) {
            const double all = terms.z_loss == 0 ? 0 : number_of(log_sum_exp());
            return terms.z_loss == 0 ? number_of(of_targets) : number_of(of_targets) + terms.z_loss * all * all;
        }
        const W all = log_sum_exp();
        return number_of(of_targets + kernels::wide_from<T>(terms.z_loss) * (all * all));
    }

    /// What z_loss adds to the factor of probabilities in the gradient: 2·z_loss·log Σ exp(x/T).
    [[nodiscard]] W z_share() const
    {
        if (terms.z_loss == 0) return kernels::wide_from<T>(0.0);
        return kernels::wide_from<T>(2 * terms.z_loss) * log_sum_exp();
    }

    /// share·gradient_scale/T
    [[nodiscard]] W scale(W share) const
    {
        return over_temperature(share * kernels::wide_from<T>(terms.gradient_scale));
    }

    /// What exponentials are multiplied by, given Σ t.
    [[nodiscard]] kernels::split<T> factor(W total) const
    {
        return kernels::split_into<T>(kernels::widened(scale(total + z_share()) * inverse));
    }

    /// The gradient at a class whose weighted target is w, where `written` is its probability's part: p − 1 is −(the sum of the
    /// others)/(the sum of all) at the maximum, which keeps every digit where p rounds to 1.
    [[nodiscard]] T at_target(double w, T logit, T written) const
    {
        const W weight = kernels::wide_from<T>(w);
        if (static_cast<double>(logit) != top) return written - static_cast<T>(number_of(scale(weight)));
        // In this order, in which a small share is not denormal before 1/T lifts it.
        W result = -(scale(weight) * inverse * others);
        if (terms.z_loss != 0) result = result + scale(z_share()) * (kernels::wide_from<T>(1.0) - others * inverse);
        return static_cast<T>(number_of(result));
    }

    /// Has the maximum more than half of the mass? Not where it stands twice, whatever sums were rounded to.
    [[nodiscard]] bool is_dominated() const { return kernels::leading(others * inverse) < 0.49; }

    /// The gradient there, given Σ t elsewhere and t: (Σ t)·p − t = (Σ t elsewhere)·p − t·(1 − p), of which nothing is lost.
    [[nodiscard]] T at_dominant(W elsewhere, W at_top) const
    {
        const W p = kernels::wide_from<T>(1.0) - others * inverse;
        W result = scale(elsewhere) * p - scale(at_top) * inverse * others;
        if (terms.z_loss != 0) result = result + scale(z_share()) * p;
        return static_cast<T>(number_of(result));
    }
};

/// Losses of rows whose targets are one class each, class(r) with weight(r), and their gradients if `gradients`; take(r, loss).
template <class T, bool IsRow, class Class, class Weight, class Take>
void run_class_losses(chunk<T, IsRow>& part, const kernels::loss_terms& terms, bool gradients, const Class& class_of,
                      const Weight& weight_of, const Take& take)
{
    constexpr std::size_t most = IsRow ? 1 : kernels::rows_at_once;
    T logit[most] = {};
    const auto logit_at = [&](std::size_t r) {
        return part.logits.at(r)[static_cast<std::ptrdiff_t>(class_of(r)) * part.logits.step];
    };
    for (std::size_t r = 0; r < part.count; ++r) logit[r] = logit_at(r);
    part.template sum<true>(gradients);
    alignas(64) T high[most], low[most];
    for (std::size_t r = 0; r < part.count; ++r) {
        if (part.is_rare(r)) {
            const auto targets = [&](std::size_t i) {
                return i == class_of(r) ? weight_of(r) : 0.0;
            };
            take(r, kernels::rare_loss<T>(part.logits.at(r), part.logits.step, part.length, targets, terms,
                                          gradients ? part.output.at(r) : nullptr, part.output.step));
            continue;
        }
        const row_loss<T> row(part, r, terms);
        const double w = weight_of(r), x = static_cast<double>(logit[r]);
        // A class of weight 0 adds 0, also where its logit is −inf.
        if (w == 0)
            take(r, row.with_z(kernels::wide_from<T>(0.0)));
        else if (kernels::has_bits_of(logit[r], -kernels::infinity<T>))
            take(r, row.with_z(kernels::wide_from<T>(w * kernels::infinity<double>)));
        else
            take(r, row.with_z(kernels::wide_from<T>(w) * row.negative_log(x)));
        const kernels::split<T> factor = row.factor(kernels::wide_from<T>(w));
        high[r] = factor.high;
        low[r] = factor.low;
    }
    if (!gradients) return;
    part.write(kernels::scaled_exponentials<T>{high, low});
    for (std::size_t r = 0; r < part.count; ++r) {
        if (part.is_rare(r)) continue;
        T& at = part.output.at(r)[static_cast<std::ptrdiff_t>(class_of(r)) * part.output.step];
        at = row_loss<T>(part, r, terms).at_target(weight_of(r), logit[r], at);
    }
}

/// Losses of rows with target probabilities, already mixed and weighted, and their gradients if `gradients`; take(r, loss).
template <class T, bool IsRow, class Take>
void run_target_losses(chunk<T, IsRow>& part, const kernels::loss_terms& terms, bool gradients, const Take& take)
{
    constexpr std::size_t most = IsRow ? 1 : kernels::rows_at_once;
    const std::size_t n = part.length;
    kernels::target_sums<T> sums[most] = {};
    std::size_t only[most] = {};
    std::size_t top_at[most] = {};
    T only_logit[most] = {};
    std::uint64_t rare = 0;
    const auto look = [&](std::size_t r, T top) {
        const T *const t = part.targets.at(r), *const x = part.logits.at(r);
        // Not std::find: of the standard library's functions the linker keeps one for units of all instruction sets.
        for (top_at[r] = gradients ? 0 : n; top_at[r] != n && x[top_at[r]] != top;) ++top_at[r];
        sums[r] = call<kernels::sum_targets_entry<T>>(part.logits.at(r), t, n, top);
        const double total = sums[r].elsewhere[0] + sums[r].at_top;
        if (!is_ordinary_factor(total, n) ||
            !is_ordinary_factor(total * terms.gradient_scale.high / terms.temperature, n) ||
            !(sums[r].distance[0] - sums[r].distance[0] == 0))
            rare |= std::uint64_t{1} << r;
    };
    for (std::size_t r = 0; r < part.count; ++r) {
        only[r] = call<kernels::only_nonzero_entry<T>>(part.targets.at(r), n);
        if (only[r] != n) only_logit[r] = part.logits.at(r)[only[r]];
    }
    // Where exponentials go over the logits, these are read before.
    const bool looks_first = gradients && part.overwrites();
    if (looks_first)
        for (std::size_t r = 0; r < part.count; ++r) look(r, call<kernels::row_maximum_entry<T>>(part.logits.at(r), n));
    if (!looks_first || rare == 0) {
        part.template sum<true>(gradients);
        if (!looks_first)
            for (std::size_t r = 0; r < part.count; ++r)
                if (!part.is_rare(r)) look(r, part.sums.maximum[r]);
        part.sums.rare |= rare;
    }
    else
        part.sums.rare = ~std::uint64_t{0};
    const auto targets_of = [&](std::size_t r) {
        return [t = part.targets.at(r)](std::size_t i) {
            return static_cast<double>(t[i]);
        };
    };
    alignas(64) T high[most], low[most];
    for (std::size_t r = 0; r < part.count; ++r) {
        if (part.is_rare(r)) {
            take(r, kernels::rare_loss<T>(part.logits.at(r), 1, n, targets_of(r), terms,
                                          gradients ? part.output.at(r) : nullptr, 1));
            continue;
        }
        const row_loss<T> row(part, r, terms);
        const auto elsewhere = kernels::wide_from<T>(double_double{sums[r].elsewhere[0], sums[r].elsewhere[1]});
        const auto total = elsewhere + kernels::wide_from<T>(sums[r].at_top);
        const auto distance = kernels::wide_from<T>(double_double{sums[r].distance[0], sums[r].distance[1]});
        // A single target is what a class of that weight is, bit for bit.
        if (only[r] != n)
            take(r, row.with_z(total * row.negative_log(static_cast<double>(only_logit[r]))));
        else
            take(r, row.with_z(row.over_temperature(distance) + total * row.log_sum));
        const kernels::split<T> factor = row.factor(total);
        high[r] = factor.high;
        low[r] = factor.low;
    }
    if (!gradients) return;
    const kernels::split<T> of_targets =
        kernels::split_into<T>(terms.gradient_scale / double_double{terms.temperature, 0});
    part.write(kernels::scaled_less_targets<T>{high, low, of_targets.high, of_targets.low});
    for (std::size_t r = 0; r < part.count; ++r) {
        if (part.is_rare(r)) continue;
        const row_loss<T> row(part, r, terms);
        T* const gradient = part.output.at(r);
        if (only[r] != n) {
            if (only_logit[r] == part.sums.maximum[r])
                gradient[only[r]] =
                    row.at_target(static_cast<double>(part.targets.at(r)[only[r]]), only_logit[r], T(0));
        }
        else if (top_at[r] != n && row.is_dominated()) {
            const auto elsewhere = kernels::wide_from<T>(double_double{sums[r].elsewhere[0], sums[r].elsewhere[1]});
            gradient[top_at[r]] = row.at_dominant(elsewhere, kernels::wide_from<T>(sums[r].at_top));
        }
    }
}

/// What smoothing and weights make of targets: w[k]·((1 − ε)·t[k] + ε/classes), where only kept classes count of masked rows.
template <class T>
class mixed_targets {
public:
    mixed_targets(const cross_entropy_options<T>& options, std::size_t classes) : options_(options), classes_(classes)
    {
    }

    [[nodiscard]] double weight(std::size_t k) const
    {
        return options_.class_weights.empty() ? 1 : static_cast<double>(options_.class_weights[k]);
    }

    /// Writes those of a row whose targets are t(k). `kept` is the row with −inf for what is left out, or null.
    template <class Targets>
    void mix(const Targets& t, const T* kept, T* to) const
    {
        std::size_t count = classes_;
        if (kept != nullptr)
            for (std::size_t k = 0; k < classes_; ++k) count -= is_left_out(kept[k]);
        const double_double uniform =
            double_double{options_.label_smoothing, 0} / double_double{static_cast<double>(count), 0};
        const double_double own = kernels::two_sum(1.0, -options_.label_smoothing);
        for (std::size_t k = 0; k < classes_; ++k) {
            double_double mixed = own * double_double{t(k), 0};
            if (options_.label_smoothing != 0 && !(kept != nullptr && is_left_out(kept[k]))) mixed = mixed + uniform;
            to[k] = static_cast<T>(kernels::to_double(mixed * double_double{weight(k), 0}));
        }
    }

private:
    static bool is_left_out(T x) { return kernels::has_bits_of(x, -kernels::infinity<T>); }

    const cross_entropy_options<T>& options_;
    std::size_t classes_;
};

/// Where the rows' losses go, if they are wanted one by one.
template <class T>
struct wanted_losses {
    std::span<T> to = {};
    bool reduce = true;
};

/// In place of a gradient that is not wanted.
template <class T>
[[nodiscard]] operand<T> no_gradient()
{
    return {nullptr, 0, {}, {}};
}

/// In its place then, for the layout of rows: it is not written.
template <class T>
[[nodiscard]] operand<T> without_gradient(const operand<const T>& logits)
{
    return {const_cast<T*>(logits.data), logits.rank, logits.extents, logits.strides};
}

/// Of gradient and losses those that are wanted have their places, and share no memory with what is read for other rows.
template <class T, class Targets>
void check_results(const char* function, const operand<const T>& logits, const Targets& targets,
                   const std::optional<row_masks<T>>& masks, const operand<T>& gradient, const wanted_losses<T>& losses,
                   std::size_t rows, const cross_entropy_options<T>& options)
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
/// multiplied by, take) calls take(row, loss) for the layout's rows in a share.
template <class T, class Executor, std::size_t Operands, class Run>
T reduce_losses(Executor& executor, const row_layout<Operands>& layout, const cross_entropy_options<T>& options,
                const wanted_losses<T>& losses, const double_double& total_weight, const Run& run)
{
    const bool mean = losses.reduce && options.reduction == reduction::mean;
    // Where the weights sum to 0 there is no mean, whatever the losses are.
    const double_double undefined{kernels::not_a_number<double>, kernels::not_a_number<double>};
    const double_double divisor = !mean                                   ? double_double{1, 0}
                                  : kernels::to_double(total_weight) == 0 ? undefined
                                                                          : total_weight;
    const double_double scale = kernels::reciprocal(divisor);
    if (!losses.reduce) {
        in_shares(executor, layout, [&](rows_share share) {
            run(share, scale, [&](std::size_t row, double loss) { losses.to[row] = static_cast<T>(loss); });
        });
        return 0;
    }
    // Added up in the order of the rows, whatever thread had them.
    const elements<double> of_rows(layout.rows());
    in_shares(executor, layout,
              [&](rows_share share) { run(share, scale, [&](std::size_t row, double loss) { of_rows[row] = loss; }); });
    loss_sum sum;
    for (std::size_t r = 0; r < of_rows.size(); ++r) sum.add(of_rows[r]);
    return static_cast<T>(sum.value() / kernels::to_double(divisor));
}

/// The loss and the gradient of a fully masked row, whose targets sum to `weight`.
template <class T>
double loss_of_fully_masked(enum fully_masked what, T* gradient, std::size_t classes, double weight)
{
    const bool nan = what == fully_masked::nan;
    if (gradient != nullptr) call<kernels::fill_entry<T>>(gradient, classes, nan ? kernels::not_a_number<T> : T(0));
    if (nan) return kernels::not_a_number<double>;
    return what == fully_masked::uniform ? weight * ::log(static_cast<double>(classes)) : 0;
}

/// Are temperature, weights and factors such as the kernels compute with?
template <class T>
[[nodiscard]] bool are_ordinary(const cross_entropy_options<T>& options, const kernels::loss_terms& terms,
                                std::size_t n)
{
    const double factor = terms.gradient_scale.high / options.temperature;
    bool ordinary = kernels::is_ordinary<T>(options.temperature) && is_ordinary_factor(factor, n);
    for (const double x : {options.z_loss, options.label_smoothing, 1 - options.label_smoothing})
        ordinary = ordinary && is_ordinary_factor(x, 1);
    for (const T w : options.class_weights)
        ordinary = ordinary && is_ordinary_factor(static_cast<double>(w), 1) &&
                   is_ordinary_factor(static_cast<double>(w) * factor, n);
    return ordinary;
}

/// Targets that are class indices.
template <class T, class Index>
struct class_targets {
    std::span<const Index> of_rows;
    const cross_entropy_options<T>& options;

    [[nodiscard]] bool is_ignored(std::size_t r) const { return std::cmp_equal(of_rows[r], options.ignore_index); }
    [[nodiscard]] std::size_t operator[](std::size_t r) const
    {
        return is_ignored(r) ? 0 : static_cast<std::size_t>(of_rows[r]);
    }

    /// What a mean is taken over: Σ weights of the classes, or how many are not ignored.
    double_double check(const char* function, std::size_t rows, std::size_t classes) const
    {
        check_count(function, "targets", of_rows.size(), rows, "rows");
        loss_sum weights;
        for (std::size_t r = 0; r < rows; ++r) {
            if (is_ignored(r)) continue;
            if (!std::in_range<std::size_t>(of_rows[r]) || static_cast<std::size_t>(of_rows[r]) >= classes) [[unlikely]]
                fail_row_class(function, printable(of_rows[r]), r, classes);
            weights.add(options.class_weights.empty() ? 1 : static_cast<double>(options.class_weights[(*this)[r]]));
        }
        return weights.unrounded();
    }
};

/// Losses of rows whose targets have to be mixed, or are probabilities, a row at a time where they are mixed. `targets(r, row)`
/// gives t(k) of row r, whose place in the layout's operands is row; Σ of them stands for a fully masked row.
template <class T, std::size_t Operands, class TargetsOf, class IsIgnored, class Take>
void run_mixed_losses(bool gradients, const row_layout<Operands>& layout, const pointers<T, Operands>& data,
                      const row_masks<T>* masks, const cross_entropy_options<T>& options,
                      const kernels::loss_terms& terms, rows_share share, const TargetsOf& targets_of,
                      const IsIgnored& is_ignored, const Take& take)
{
    const std::size_t n = layout.length;
    const mixed_targets<T> mixed(options, n);
    const elements<T> composed(masks != nullptr ? n : 0), targets(n);
    const bool ordinary = are_ordinary(options, terms, n);
    chunk<T, true> part;
    part.temperature = options.temperature;
    part.length = n;
    for_each_row(
        gradients, layout, data,
        [&](const pointers<T, Operands>& row, std::size_t r) {
            T* const gradient = gradients ? row[Operands - 1] : nullptr;
            if (is_ignored(r)) {
                if (gradients) call<kernels::fill_entry<T>>(gradient, n, T(0));
                return take(r, 0.0);
            }
            const T* x = row[0];
            const auto t = targets_of(r, row);
            if (masks != nullptr) {
                x = masks->compose(r, row[0], composed.data()) ? composed.data() : nullptr;
                if (x == nullptr) {
                    mixed.mix(t, nullptr, targets.data());
                    loss_sum weight;
                    for (std::size_t k = 0; k < n; ++k) weight.add(static_cast<double>(targets[k]));
                    return take(r, loss_of_fully_masked(masks->fully_masked(), gradient, n, weight.value()));
                }
            }
            const T* const kept = masks != nullptr ? x : nullptr;
            mixed.mix(t, kept, targets.data());
            if (!ordinary) [[unlikely]] {
                const auto exact = [&](std::size_t k) {
                    return static_cast<double>(targets[k]);
                };
                return take(r, kernels::rare_loss<T>(x, 1, n, exact, terms, gradient, 1));
            }
            part.logits.first = x;
            part.targets.first = targets.data();
            part.output.first = gradient;
            run_target_losses(part, terms, gradients, [&](std::size_t, double loss) { take(r, loss); });
        },
        share);
}

/// Losses of class indices, under a mask if there is one, and their gradient if it has axes.
template <class Executor, class T, class Index>
T run_losses(Executor& executor, const char* function, const operand<const T>& logits, std::span<const Index> targets,
             const operand<T>& gradient, const wanted_losses<T>& losses, const cross_entropy_options<T>& options,
             const mask<T>* given_mask)
{
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    const std::size_t classes = logits.extents[axis];
    check_countable(function, "logits", logits);
    check_loss_options(function, options, classes);
    const auto layout = rows_along(axis, logits);
    const auto masks = masks_of(function, given_mask, logits, axis);
    check_results(function, logits, targets, masks, gradient, losses, layout.rows(), options);
    const class_targets<T, Index> classes_of{targets, options};
    const double_double total = classes_of.check(function, layout.rows(), classes);
    if (masks) masks->check_kept(layout, data_of<T>(logits), [&](std::size_t r) { return classes_of.is_ignored(r); });
    const row_masks<T>* const of_rows = masks ? &*masks : nullptr;
    const mixed_targets<T> mixed(options, classes);
    const bool gradients = gradient.rank != 0;
    // Without a gradient nothing is written where its place would be.
    const operand<T> to = gradients ? gradient : without_gradient(logits);
    const auto along = rows_along(axis, logits, to);
    const auto rows = masks ? along : arranged(along);
    const auto data = data_of<T>(logits, to);
    return reduce_losses(
        executor, rows, options, losses, total,
        [&](rows_share share, const double_double& gradient_scale, const auto& take) {
            const kernels::loss_terms terms{options.temperature, options.z_loss, gradient_scale};
            if (options.label_smoothing != 0 || !are_ordinary(options, terms, classes))
                return run_mixed_losses<T>(
                    gradients, rows, data, of_rows, options, terms, share,
                    [&](std::size_t r, const auto&) {
                        return [k = classes_of[r]](std::size_t i) {
                            return i == k ? 1.0 : 0.0;
                        };
                    },
                    [&](std::size_t r) { return classes_of.is_ignored(r); }, take);
            for_each_chunk<T, false>(
                rows, data, gradients, gradients, of_rows, options.temperature, share, [&](chunk<T>& part) {
                    const auto class_of = [&](std::size_t r) {
                        return classes_of[part.number(r)];
                    };
                    const auto weight_of = [&](std::size_t r) {
                        return mixed.weight(class_of(r));
                    };
                    run_class_losses(part, terms, gradients, class_of, weight_of, [&](std::size_t r, double loss) {
                        take(part.number(r), classes_of.is_ignored(part.number(r)) ? 0 : loss);
                    });
                    for (std::size_t r = 0; r < part.count; ++r) {
                        const bool is_masked = (part.masked >> r & 1) != 0,
                                   is_ignored = classes_of.is_ignored(part.number(r));
                        if (is_masked && !is_ignored)
                            take(part.number(r),
                                 loss_of_fully_masked(of_rows->fully_masked(), gradients ? part.output.at(r) : nullptr,
                                                      classes, weight_of(r)));
                        else if (is_ignored && gradients)
                            for (std::size_t k = 0; k < classes; ++k)
                                part.output.at(r)[static_cast<std::ptrdiff_t>(k) * part.output.step] = 0;
                    }
                });
            if (rows.length == 0 && share.part == 0)
                for (std::size_t r = 0; r < rows.rows(); ++r) take(r, 0.0);
        });
}

/// Losses of target probabilities.
template <class Executor, class T>
T run_losses(Executor& executor, const char* function, const operand<const T>& logits, const operand<const T>& targets,
             const operand<T>& gradient, const wanted_losses<T>& losses, const cross_entropy_options<T>& options,
             const mask<T>* given_mask)
{
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    const std::size_t classes = logits.extents[axis];
    check_countable(function, "logits", logits);
    check_loss_options(function, options, classes);
    check_extents(function, "targets", targets, "logits", logits);
    check_countable(function, "targets", targets);
    const auto layout = rows_along(axis, logits, targets);
    const auto masks = masks_of(function, given_mask, logits, axis);
    check_results(function, logits, targets, masks, gradient, losses, layout.rows(), options);
    if (masks) masks->check_kept(rows_along(axis, logits), data_of<T>(logits), [](std::size_t) { return false; });
    const row_masks<T>* const of_rows = masks ? &*masks : nullptr;
    const bool gradients = gradient.rank != 0;
    const operand<T> to = gradients ? gradient : without_gradient(logits);
    const auto rows = rows_along(axis, logits, targets, to);
    const auto data = data_of<T>(logits, targets, to);
    const double_double total{static_cast<double>(rows.rows()), 0};
    return reduce_losses(
        executor, rows, options, losses, total,
        [&](rows_share share, const double_double& gradient_scale, const auto& take) {
            const kernels::loss_terms terms{options.temperature, options.z_loss, gradient_scale};
            const bool is_plain = options.label_smoothing == 0 && options.class_weights.empty() && of_rows == nullptr;
            if (!is_plain || !are_ordinary(options, terms, classes) || !rows.is_contiguous())
                run_mixed_losses<T>(
                    gradients, rows, data, of_rows, options, terms, share,
                    [](std::size_t, const auto& row) {
                        return [t = row[1]](std::size_t i) {
                            return static_cast<double>(t[i]);
                        };
                    },
                    [](std::size_t) { return false; }, take);
            else
                for_each_chunk<T, true>(
                    rows, data, gradients, gradients, of_rows, options.temperature, share, [&](chunk<T>& part) {
                        run_target_losses(part, terms, gradients,
                                          [&](std::size_t r, double loss) { take(part.number(r), loss); });
                    });
            if (rows.length == 0 && share.part == 0)
                for (std::size_t r = 0; r < rows.rows(); ++r) take(r, 0.0);
        });
}

/// The loss of one contiguous row under no mask, whose targets are a class, or probabilities at `targets`, and its gradient unless
/// that is null: as a batch of one row has it.
template <class T>
T run_row_loss(const operand<const T>& logits, const T* targets, std::size_t target, bool is_ignored, T* gradient,
               const cross_entropy_options<T>& options)
{
    const std::size_t n = logits.extents[0];
    const bool mean = options.reduction == reduction::mean;
    const mixed_targets<T> mixed(options, n);
    const double weight = targets != nullptr ? 1 : is_ignored ? 0 : mixed.weight(target);
    if (is_ignored || (mean && weight == 0) || n == 0) {
        const bool nan = mean && weight == 0;
        if (gradient != nullptr)
            call<kernels::fill_entry<T>>(gradient, n, nan && !is_ignored ? kernels::not_a_number<T> : T(0));
        return nan ? kernels::not_a_number<T> : T(0);
    }
    const double_double scale = kernels::reciprocal(double_double{mean ? weight : 1, 0});
    const kernels::loss_terms terms{options.temperature, options.z_loss, scale};
    double loss = 0;
    const auto take = [&](std::size_t, double of_row) {
        loss = of_row;
    };
    const bool ordinary = are_ordinary(options, terms, n),
               is_mixed = options.label_smoothing != 0 || !options.class_weights.empty();
    chunk<T, true> part;
    set_row(part, logits, gradient, options.temperature);
    if (targets == nullptr && ordinary && options.label_smoothing == 0)
        run_class_losses(
            part, terms, gradient != nullptr, [&](std::size_t) { return target; }, [&](std::size_t) { return weight; },
            take);
    else {
        const elements<T> own(targets == nullptr || is_mixed ? n : 0);
        if (own.size() != 0)
            mixed.mix(
                [&](std::size_t k) {
                    return targets != nullptr ? static_cast<double>(targets[k]) : k == target ? 1.0 : 0.0;
                },
                nullptr, own.data());
        const T* const t = own.size() != 0 ? own.data() : targets;
        part.targets.first = t;
        if (ordinary)
            run_target_losses(part, terms, gradient != nullptr, take);
        else
            loss = kernels::rare_loss<T>(
                logits.data, 1, n, [t](std::size_t k) { return static_cast<double>(t[k]); }, terms, gradient, 1);
    }
    return static_cast<T>(mean ? loss / weight : loss);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
