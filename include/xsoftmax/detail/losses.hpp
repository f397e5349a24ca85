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

[[nodiscard]] inline bool is_finite(double x) { return x - x == 0; }

/// A sum of losses in twice the digits of double, so that its value does not show how the rows were cut.
class loss_sum {
public:
    void add(double loss)
    {
        const double_double sum = kernels::two_sum(sum_.high, loss);
        sum_ = is_finite(sum.high) ? double_double{sum.high, sum_.low + sum.low} : double_double{sum.high, 0};
    }

    [[nodiscard]] double value() const { return sum_.high + sum_.low; }
    [[nodiscard]] const double_double& unrounded() const { return sum_; }

private:
    double_double sum_ = {0, 0};
};

template <class T>
void check_loss_options(const char* function, const cross_entropy_options<T>& options, std::size_t classes)
{
    check_temperature(function, options.temperature, true);
    if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) [[unlikely]]
        fail_value(function, "label_smoothing", options.label_smoothing, "in [0, 1]");
    if (!is_finite(options.z_loss)) [[unlikely]]
        fail_value(function, "z_loss", options.z_loss, "finite");
    if (!options.class_weights.empty())
        check_count(function, "class_weights", options.class_weights.size(), classes, "classes");
}

/// May a factor of the exponentials of rows of n elements be this number? Others, of whose products T has no digits, are for
/// rare_row.hpp.
[[nodiscard]] inline bool is_ordinary_factor(double x, std::size_t n)
{
    const double size = x < 0 ? -x : x;
    return !(size > 0) || (size <= 0x1p40 && size >= 0x1p-42 * static_cast<double>(n));
}

/// A finite sum of products, or the infinite or undefined number that it is: low parts of those are NaN.
[[nodiscard]] inline double number_of(double_double x) { return is_finite(x.high) ? x.high + x.low : x.high; }
[[nodiscard]] inline double number_of(double x) { return x; }

/// What is made of the row_sums of one row, in double, or of rows of double in pairs.
template <class T>
struct row_loss {
    using W = kernels::wide<T>;

    W log_sum, others, inverse;
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

    /// Is −log softmax(x/T) of the logit x too large a number? Pairs of doubles would make NaN of it.
    [[nodiscard]] bool is_beyond_range(T x) const
    {
        const double distance = (top - static_cast<double>(x)) / terms.temperature;
        return !is_finite(distance) && distance == distance;
    }

    /// −log softmax(x/T) of the logit x, both terms of which are ≥ 0.
    [[nodiscard]] W negative_log(double x) const
    {
        const double_double apart = kernels::two_sum(top, -x);
        return over_temperature(kernels::wide_from<T>(sizeof(T) == 4 ? double_double{top - x, 0} : apart)) + log_sum;
    }

    /// The loss of targets whose part of it is this, with z_loss.
    [[nodiscard]] double with_z(W of_targets) const
    {
        const double plain = number_of(of_targets);
        if (terms.z_loss == 0) return plain;
        const W all = log_sum_exp();
        if (!is_finite(plain)) return plain + terms.z_loss * number_of(all) * number_of(all);
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

    /// What exponentials are multiplied by, given Σ t. Of floats the low part has four bits, so that it is not denormal: its
    /// bits, and the gradient's, would depend on what the exponentials are relative to.
    [[nodiscard]] kernels::split<T> factor(W total) const
    {
        const W factor = scale(total + z_share()) * inverse;
        if constexpr (sizeof(T) == 4)
            return kernels::split_into<T>({kernels::leading_bits(factor, 28), 0});
        else
            return kernels::split_into<T>(factor);
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
        return static_cast<T>(number_of(result)) + T(0);  // not −0 where there are no others
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

/// Losses of rows whose targets are one class each, and their gradients if `gradients`. `weights` of the classes may be null.
template <class T, bool IsRow>
void run_class_losses(chunk<T, IsRow>& part, const kernels::loss_terms& terms, bool gradients,
                      const std::size_t* classes, const T* weights, double* losses)
{
    constexpr std::size_t most = IsRow ? 1 : kernels::rows_at_once;
    T logit[most] = {};
    const auto of_class = [classes](const auto& rows, std::size_t r) {
        return rows.at(r) + static_cast<std::ptrdiff_t>(classes[r]) * rows.step;
    };
    const auto weight_of = [&](std::size_t r) {
        return weights == nullptr ? 1.0 : static_cast<double>(weights[classes[r]]);
    };
    for (std::size_t r = 0; r < part.count; ++r) logit[r] = *of_class(part.logits, r);
    part.template sum<true>(gradients);
    alignas(64) T high[most], low[most];
    for (std::size_t r = 0; r < part.count; ++r) {
        const double weight = weight_of(r);
        if (part.is_rare(r)) {
            losses[r] =
                kernels::rare_loss<T>(part.logits.at(r), part.logits.step, part.length, {nullptr, classes[r], weight},
                                      terms, gradients ? part.output.at(r) : nullptr, part.output.step);
            continue;
        }
        const row_loss<T> row(part, r, terms);
        const auto w = kernels::wide_from<T>(weight);
        // A class of weight 0 adds 0, also where its logit is −inf.
        if (weight == 0)
            losses[r] = row.with_z(w);
        else if (kernels::is_minus_infinity(logit[r]) || row.is_beyond_range(logit[r]))
            losses[r] = row.with_z(kernels::wide_from<T>(weight * kernels::infinity<double>));
        else
            losses[r] = row.with_z(w * row.negative_log(static_cast<double>(logit[r])));
        if (!gradients) continue;
        const kernels::split<T> factor = row.factor(w);
        high[r] = factor.high;
        low[r] = factor.low;
    }
    if (!gradients) return;
    part.write(kernels::scaled_exponentials<T>{high, low});
    for (std::size_t r = 0; r < part.count; ++r) {
        if (part.is_rare(r)) continue;
        T& at = *of_class(part.output, r);
        at = row_loss<T>(part, r, terms).at_target(weight_of(r), logit[r], at);
    }
}

/// Losses of rows with target probabilities, already mixed and weighted, and their gradients if `gradients`.
template <class T, bool IsRow>
void run_target_losses(chunk<T, IsRow>& part, const kernels::loss_terms& terms, bool gradients, double* losses)
{
    constexpr std::size_t most = IsRow ? 1 : kernels::rows_at_once;
    const std::size_t n = part.length;
    using W = kernels::wide<T>;
    const auto of_row = [](const double(&parts)[2]) {
        return kernels::wide_from<T>(double_double{parts[0], parts[1]});
    };
    kernels::target_sums<T> sums[most];
    std::size_t only[most] = {}, top_at[most] = {};
    T only_logit[most] = {};
    std::uint64_t rare = 0;
    const auto look = [&](std::size_t r, T top) {
        // Of numbers near the largest one differences overflow.
        constexpr double farthest = kernels::largest<double> * 0x1p-64;
        sums[r] = {};
        if (const auto at = static_cast<double>(top); !(at <= farthest && at >= -farthest)) {
            rare |= std::uint64_t{1} << r;
            return;
        }
        const T *const t = part.targets.at(r), *const x = part.logits.at(r);
        // Not std::find: of the standard library's functions the linker keeps one for units of all instruction sets.
        for (top_at[r] = gradients ? 0 : n; top_at[r] != n && x[top_at[r]] != top;) ++top_at[r];
        sums[r] = call<kernels::sum_targets_entry<T>>(x, t, n, top);
        const double total = sums[r].elsewhere[0] + sums[r].at_top;
        if (!is_ordinary_factor(total, n) ||
            !is_ordinary_factor(total * terms.gradient_scale.high / terms.temperature, n) ||
            !is_finite(sums[r].distance[0] / terms.temperature))
            rare |= std::uint64_t{1} << r;
    };
    for (std::size_t r = 0; r < part.count; ++r) {
        only[r] = call<kernels::only_nonzero_entry<T>>(part.targets.at(r), n);
        only_logit[r] = only[r] != n ? part.logits.at(r)[only[r]] : T(0);
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
    alignas(64) T high[most], low[most];
    for (std::size_t r = 0; r < part.count; ++r) {
        if (part.is_rare(r)) {
            losses[r] = kernels::rare_loss<T>(part.logits.at(r), 1, n, {part.targets.at(r)}, terms,
                                              gradients ? part.output.at(r) : nullptr, 1);
            continue;
        }
        const row_loss<T> row(part, r, terms);
        const W total = of_row(sums[r].elsewhere) + kernels::wide_from<T>(sums[r].at_top);
        // A single target is what a class of that weight is, bit for bit.
        if (only[r] != n)
            losses[r] = row.with_z(total * row.negative_log(static_cast<double>(only_logit[r])));
        else
            losses[r] = row.with_z(row.over_temperature(of_row(sums[r].distance)) + total * row.log_sum);
        if (!gradients) continue;
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
        else if (top_at[r] != n && row.is_dominated())
            gradient[top_at[r]] = row.at_dominant(of_row(sums[r].elsewhere), kernels::wide_from<T>(sums[r].at_top));
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

    /// Writes those of a row with targets t. `kept` is the row with −inf for what is left out, or null.
    void mix(const kernels::row_targets<T>& t, const T* kept, T* to) const
    {
        std::size_t count = classes_;
        if (kept != nullptr)
            for (std::size_t k = 0; k < classes_; ++k) count -= kernels::is_minus_infinity(kept[k]);
        const double_double uniform =
            double_double{options_.label_smoothing, 0} / double_double{static_cast<double>(count), 0};
        const double_double own = kernels::two_sum(1.0, -options_.label_smoothing);
        for (std::size_t k = 0; k < classes_; ++k) {
            double_double mixed = own * double_double{t(k), 0};
            if (options_.label_smoothing != 0 && !(kept != nullptr && kernels::is_minus_infinity(kept[k])))
                mixed = mixed + uniform;
            to[k] = static_cast<T>(kernels::to_double(mixed * double_double{weight(k), 0}));
        }
    }

private:
    const cross_entropy_options<T>& options_;
    std::size_t classes_;
};

/// Where the rows' losses go, if they are wanted one by one.
template <class T>
struct wanted_losses {
    std::span<T> to = {};
    bool reduce = true;
};

/// The targets of rows: a class for each, or probabilities, as the logits lie.
template <class T>
struct loss_targets {
    /// In place of the class of a row that is ignored.
    static constexpr std::size_t ignored = ~std::size_t{0};

    integer_list classes;
    operand<const T> probabilities;

    [[nodiscard]] bool are_classes() const { return probabilities.rank == 0; }
    [[nodiscard]] shape memory() const { return are_classes() ? shape_of(classes) : shape(probabilities); }

    [[nodiscard]] bool is_ignored(std::size_t r, std::int64_t ignore_index) const
    {
        return classes.extended(r) == static_cast<std::uint64_t>(ignore_index) &&
               (ignore_index >= 0 || classes.is_signed());
    }

    /// The class of row r, which has been checked; of probabilities, 0.
    [[nodiscard]] std::size_t class_of(std::size_t r, std::int64_t ignore_index) const
    {
        if (!are_classes()) return 0;
        return is_ignored(r, ignore_index) ? ignored : static_cast<std::size_t>(classes.extended(r));
    }

    /// They fit `rows` rows of logits.
    void check_shape(const char* function, const shape& logits, std::size_t rows) const
    {
        if (are_classes()) return check_count(function, "targets", classes.size(), rows, "rows");
        check_extents(function, "targets", probabilities, "logits", logits);
        check_countable(function, "targets", probabilities);
    }

    /// Every class is one of `of_classes`, or ignored. What a mean is taken over: Σ weights of the classes, or how many are not
    /// ignored.
    [[nodiscard]] double_double check_classes(const char* function, std::size_t rows, std::size_t of_classes,
                                              const cross_entropy_options<T>& options) const
    {
        if (!are_classes()) return {static_cast<double>(rows), 0};
        loss_sum weights;
        std::size_t count = 0;
        for (std::size_t r = 0; r < rows; ++r) {
            if (is_ignored(r, options.ignore_index)) continue;
            // Negative ones are large numbers here.
            const std::uint64_t k = classes.extended(r);
            if (k >= of_classes) [[unlikely]]
                fail_integer(function, "target of row %zu", r, classes[r], of_classes, ")");
            ++count;
            if (!options.class_weights.empty())
                weights.add(static_cast<double>(options.class_weights[static_cast<std::size_t>(k)]));
        }
        if (options.class_weights.empty()) return {static_cast<double>(count), 0};
        return weights.unrounded();
    }
};

/// Of gradient and losses those that are wanted have their places, and share no memory with what is read for other rows.
template <class T>
void check_results(const char* function, const operand<const T>& logits, const loss_targets<T>& targets,
                   const std::optional<row_masks<T>>& masks, const operand<T>& gradient, const wanted_losses<T>& losses,
                   std::size_t rows, const cross_entropy_options<T>& options)
{
    const operand<const T> weights(options.class_weights);
    const auto check_beside_logits = [&](const char* name, const shape& output) {
        check_apart(function, name, output, "targets", targets.memory());
        check_apart(function, name, output, "class_weights", weights);
        if (masks) masks->check_apart(name, output);
    };
    if (gradient.rank != 0) {
        check_output(function, "gradient", gradient, "logits", logits);
        check_beside_logits("gradient", gradient);
    }
    if (losses.reduce) return;
    const operand<T> list(losses.to);
    check_count(function, "losses", losses.to.size(), rows, "rows");
    check_apart(function, "losses", list, "logits", logits);
    if (gradient.rank != 0) check_apart(function, "losses", list, "gradient", gradient);
    check_beside_logits("losses", list);
}

/// The loss and the gradient of a fully masked row, whose targets sum to `weight`.
template <class T>
double loss_of_fully_masked(enum fully_masked what, T* gradient, std::ptrdiff_t step, std::size_t classes,
                            double weight)
{
    const bool nan = what == fully_masked::nan;
    for (std::size_t k = 0; gradient != nullptr && k < classes; ++k)
        gradient[static_cast<std::ptrdiff_t>(k) * step] = nan ? kernels::not_a_number<T> : T(0);
    if (nan) return kernels::not_a_number<double>;
    return what == fully_masked::uniform ? weight * ::log(static_cast<double>(classes)) : 0;
}

/// Are temperature, weights and factors such as the kernels compute with?
template <class T>
[[nodiscard]] bool are_ordinary(const cross_entropy_options<T>& options, const kernels::loss_terms& terms,
                                std::size_t n)
{
    const double factor = terms.gradient_scale.high / options.temperature;
    bool ordinary = kernels::is_ordinary<T>(options.temperature) && is_ordinary_factor(factor, n) &&
                    is_ordinary_factor(options.z_loss, 1) && is_ordinary_factor(options.label_smoothing, 1) &&
                    is_ordinary_factor(1 - options.label_smoothing, 1);
    for (const T w : options.class_weights)
        ordinary = ordinary && is_ordinary_factor(static_cast<double>(w), 1) &&
                   is_ordinary_factor(static_cast<double>(w) * factor, n);
    return ordinary;
}

/// All that the losses of a batch are made of, once it has been checked.
template <class T>
struct batch_losses {
    row_layout layout;  ///< of the logits, targets if they are probabilities, and the gradient if there is one
    pointers<T> data{};
    bool gradients;
    const row_masks<T>* masks;
    const loss_targets<T>& targets;
    const cross_entropy_options<T>& options;
    kernels::loss_terms terms;
    wanted_losses<T> losses;
    elements<double> of_rows{losses.reduce ? layout.rows() : 0};  ///< losses that are to be added up
    bool ordinary = are_ordinary(options, terms, layout.length);

    void run(rows_share share) const
    {
        const bool is_mixed =
            options.label_smoothing != 0 ||
            (!targets.are_classes() && (!options.class_weights.empty() || masks != nullptr || !layout.is_contiguous()));
        if (is_mixed || !ordinary)
            run_mixed(share);
        else
            for_each_chunk<T>(layout, data, gradients, gradients, masks, options.temperature, share,
                              [&](chunk<T>& part) { run_chunk(part); });
        if (layout.length == 0 && share.part == 0)
            for (std::size_t r = 0; r < layout.rows(); ++r) take(r, 0);
    }

private:
    void take(std::size_t row, double loss) const
    {
        if (losses.reduce)
            of_rows[row] = loss;
        else
            losses.to[row] = static_cast<T>(loss);
    }

    void run_chunk(chunk<T>& part) const
    {
        double of_part[kernels::rows_at_once];
        if (!targets.are_classes()) {
            run_target_losses(part, terms, gradients, of_part);
            for (std::size_t r = 0; r < part.count; ++r) take(part.number(r), of_part[r]);
            return;
        }
        std::size_t classes[kernels::rows_at_once];
        std::uint64_t ignored = 0;
        for (std::size_t r = 0; r < part.count; ++r) {
            classes[r] = targets.class_of(part.number(r), options.ignore_index);
            if (classes[r] != loss_targets<T>::ignored) continue;
            classes[r] = 0;
            ignored |= std::uint64_t{1} << r;
        }
        const T* const weights = options.class_weights.empty() ? nullptr : options.class_weights.data();
        run_class_losses(part, terms, gradients, classes, weights, of_part);
        for_each_bit(part.masked | ignored, [&](std::size_t r) {
            if (r >= part.count) return;
            const bool is_ignored = (ignored >> r & 1) != 0;
            of_part[r] = loss_of_fully_masked(is_ignored ? fully_masked::zeros : masks->fully_masked(),
                                              gradients ? part.output.at(r) : nullptr, part.output.step, part.length,
                                              weights == nullptr ? 1 : static_cast<double>(weights[classes[r]]));
        });
        for (std::size_t r = 0; r < part.count; ++r) take(part.number(r), of_part[r]);
    }

    /// A row at a time: its targets are mixed first, or lie apart.
    void run_mixed(rows_share share) const
    {
        const std::size_t n = layout.length;
        const mixed_targets<T> mixed(options, n);
        const elements<T> composed(masks != nullptr ? n : 0), own(n);
        chunk<T> part;
        part.temperature = options.temperature;
        part.length = n;
        for_each_row<T>(
            gradients, layout, data,
            [&](const pointers<T>& row, std::size_t r) {
                T* const gradient = gradients ? row[layout.operands - 1] : nullptr;
                const std::size_t k = targets.class_of(r, options.ignore_index);
                if (k == loss_targets<T>::ignored)
                    return take(r, loss_of_fully_masked(fully_masked::zeros, gradient, 1, n, 0));
                const kernels::row_targets<T> t{targets.are_classes() ? nullptr : row[1], k};
                const T* const x = masks != nullptr ? composed.data() : row[0];
                if (masks != nullptr && !masks->compose(r, row[0], composed.data())) {
                    mixed.mix(t, nullptr, own.data());
                    loss_sum weight;
                    for (std::size_t i = 0; i < n; ++i) weight.add(static_cast<double>(own[i]));
                    return take(r, loss_of_fully_masked(masks->fully_masked(), gradient, 1, n, weight.value()));
                }
                mixed.mix(t, masks != nullptr ? x : nullptr, own.data());
                double loss = 0;
                part.logits.first = x;
                part.targets.first = own.data();
                part.output.first = gradient;
                if (ordinary)
                    run_target_losses(part, terms, gradients, &loss);
                else
                    loss = kernels::rare_loss<T>(x, 1, n, {own.data()}, terms, gradient, 1);
                take(r, loss);
            },
            share);
    }
};

/// Losses of many rows, under a mask if there is one, and their gradient if it has axes: the mean or sum, or 0 where they are
/// wanted one by one.
template <class T>
T run_losses(executor_ref executor, const char* function, const operand<const T>& logits,
             const loss_targets<T>& targets, const operand<T>& gradient, const wanted_losses<T>& losses,
             const cross_entropy_options<T>& options, const mask<T>* given_mask)
{
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    check_countable(function, "logits", logits);
    check_loss_options(function, options, logits.extents[axis]);
    const auto of_logits = rows_along(axis, {&logits});
    const auto masks = masks_of(function, given_mask, logits, axis);
    targets.check_shape(function, logits, of_logits.rows());
    check_results(function, logits, targets, masks, gradient, losses, of_logits.rows(), options);
    const double_double total = targets.check_classes(function, of_logits.rows(), of_logits.length, options);
    if (masks)
        masks->check_kept(of_logits, data_of<T>(logits), [&](std::size_t r) {
            return targets.class_of(r, options.ignore_index) == loss_targets<T>::ignored;
        });
    const bool mean = losses.reduce && options.reduction == reduction::mean;
    // Where the weights sum to 0 there is no mean, whatever the losses are.
    const double undefined = kernels::to_double(total) == 0 ? kernels::not_a_number<double> : 0;
    const double_double divisor = !mean ? double_double{1, 0} : double_double{total.high + undefined, total.low};
    const bool gradients = gradient.rank != 0, classes = targets.are_classes();
    auto layout = of_logits;
    pointers<T> data = data_of<T>(logits);
    if (classes && gradients) {
        layout = rows_along(axis, {&logits, &gradient});
        data = data_of<T>(logits, gradient);
    }
    else if (!classes) {
        layout = gradients ? rows_along(axis, {&logits, &targets.probabilities, &gradient})
                           : rows_along(axis, {&logits, &targets.probabilities});
        data = data_of<T>(logits, targets.probabilities, gradient);
    }
    if (classes && !masks) layout = arranged(layout);
    const batch_losses<T> batch{layout,
                                data,
                                gradients,
                                masks ? &*masks : nullptr,
                                targets,
                                options,
                                {options.temperature, options.z_loss, kernels::reciprocal(divisor)},
                                losses};
    in_shares(executor, layout, [&](rows_share share) { batch.run(share); });
    // Added up in the order of the rows, whatever thread had them.
    loss_sum sum;
    for (std::size_t r = 0; r < batch.of_rows.size(); ++r) sum.add(batch.of_rows[r]);
    return static_cast<T>(sum.value() / kernels::to_double(divisor));
}

/// The loss of one contiguous row under no mask, and its gradient if it has an axis: as a batch of one row has it.
template <class T>
T run_row_loss(const operand<const T>& logits, const loss_targets<T>& targets, const operand<T>& gradient,
               const cross_entropy_options<T>& options)
{
    constexpr const char* function = "softmax_cross_entropy";
    const std::size_t n = logits.extents[0];
    static_cast<void>(check_axis(function, options.axis, 1));
    check_loss_options(function, options, n);
    const bool is_ignored = targets.are_classes() && targets.is_ignored(0, options.ignore_index);
    const std::size_t target = targets.class_of(0, options.ignore_index);
    if (!targets.are_classes())
        check_extents(function, "targets", targets.probabilities, "logits", logits);
    else if (!is_ignored && targets.classes.extended(0) >= n) [[unlikely]]
        fail_integer(function, "target", 0, targets.classes[0], n, "), the classes of logits");
    if (gradient.rank != 0) {
        check_extents(function, "gradient", gradient, "logits", logits);
        check_row_same_or_apart(function, "gradient", gradient, "logits", logits);
        if (!options.class_weights.empty())
            check_apart(function, "gradient", gradient, "class_weights", operand<const T>(options.class_weights));
        if (!targets.are_classes()) check_apart(function, "gradient", gradient, "targets", targets.probabilities);
    }
    const bool mean = options.reduction == reduction::mean;
    const T* const t = targets.probabilities.data;
    const mixed_targets<T> mixed(options, n);
    const double weight = !targets.are_classes() ? 1 : is_ignored ? 0 : mixed.weight(target);
    if (is_ignored || (mean && weight == 0) || n == 0) {
        const bool nan = mean && weight == 0;
        if (gradient.rank != 0)
            call<kernels::fill_entry<T>>(gradient.data, n, nan && !is_ignored ? kernels::not_a_number<T> : T(0));
        return nan ? kernels::not_a_number<T> : T(0);
    }
    const double_double scale = kernels::reciprocal(double_double{mean ? weight : 1, 0});
    const kernels::loss_terms terms{options.temperature, options.z_loss, scale};
    double loss = 0;
    const bool ordinary = are_ordinary(options, terms, n),
               is_mixed = options.label_smoothing != 0 || !options.class_weights.empty();
    chunk<T, true> part;
    set_row(part, logits, gradient.data, options.temperature);
    if (t == nullptr && ordinary && options.label_smoothing == 0) {
        const T* const weights = options.class_weights.empty() ? nullptr : options.class_weights.data();
        run_class_losses(part, terms, gradient.rank != 0, &target, weights, &loss);
    }
    else {
        const elements<T> own(t == nullptr || is_mixed ? n : 0);
        if (own.size() != 0) mixed.mix({t, target}, nullptr, own.data());
        part.targets.first = own.size() != 0 ? own.data() : t;
        if (ordinary)
            run_target_losses(part, terms, gradient.rank != 0, &loss);
        else
            loss = kernels::rare_loss<T>(logits.data, 1, n, {part.targets.first}, terms, gradient.data, 1);
    }
    return static_cast<T>(mean ? loss / weight : loss);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
