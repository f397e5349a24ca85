#pragma once

/// The operations: what each adds up over a row, keeps of an element, and writes for it.
///
/// The sweeps know these members and no operation by name:
///
///     sums                  how many sums the sweep over the exponentials keeps
///     exponential_sums      how many of them, the first ones, have terms in [0, 2^(stored_exponent + 3/2)], or, relative to
///                           a guess, e^guess_limit times that
///     uses_exponentials     does the writing sweep want the exponentials, rather than the logits?
///     takes_two_parts       does it take them as two_parts, if there are, and not only what kept() made of them?
///     writes                is there an output at all?
///     output                where it is, if there is
///     counts_winners        does it want to know of the winners (the elements equal to the maximum)?
///     add_up(x, e, max, window, terms)   the terms of one vector: logits x, exponentials e = 2^stored_exponent·exp(…)
///     kept(x, e, max)       what the writing sweep wants to know of an exponential
///     any_reference         may exponentials be relative to any reference near the maximum, which need then not be known
///                           in advance? add_up is then not to ask whether x is the maximum, where that is not known
///                           (knows_winners), and the winner is taken from the first sum afterwards (split_off_winner)
///     finish<C>(totals, max)    from row_totals to the row's coefficients, which writing needs, if it writes
///     finish_output<C>, finish_beside<C>, output_needs_logarithm()   where there is a result beside the output too, and
///                           writing need not wait for it (has_result_beside): finish() in two, and whether the totals'
///                           logarithm, whose computing is a long wait, is needed for the first
///     writer<B>(coefficients, max)    from those, as batches, to result(value, window) for each vector, value being
///                           kept(…), or x
///     complete()            after the last vector was written, but by overlap_rows, which puts in what complete() would, since
///                           what is written past the caches should not be written again (has_own_element)
///     at_zero(maximum, winners)          the limit of temperature 0: what the winners get, and the others
///     undefined(maximum)    the row has no finite maximum: +inf, −inf, or NaN where any element is NaN
///
/// To add an operation, add a type here, its lines in entry_points.hpp, and the function that calls it.
///
/// Operations pass between translation units of different targets, so they are outside of XSOFTMAX_TARGET, and all that they
/// have is forced inline.

#include "compiler.hpp"
#include "exp.hpp"
#include "logarithm.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {

/// What is written at temperature 0.
struct zero_limit {
    double winner;
    double other;
};

inline namespace XSOFTMAX_TARGET {

/// A sum of exponentials from which the winners (each exponential is `own`) are left out, so that nothing cancels:
/// log Σ exp((x − maximum)/T) = log1p(Σ others + (winners − 1)). Where one logit is 25 above the rest, the common form is
/// off by 10^7 ULP. Of a row, or of those in the lanes of batches.
template <class D>
struct split_sum {
    D others;   ///< Σ exponentials over all but the winners
    D winners;  ///< how many logits that equal the maximum are left out of `others`
    D own;      ///< the exponential of the maximum, with the digits that rounding took

    /// The terms of `others`; of all where the winners are not known.
    template <class B, class Maximum>
    XSOFTMAX_ALWAYS_INLINE static B term(B x, B e, const Maximum& maximum)
    {
        if constexpr (knows_winners<Maximum, B>)
            return zero_where(maximum.is_maximum(x), e);
        else
            return e;
    }

    /// Σ exponentials.
    XSOFTMAX_ALWAYS_INLINE D all() const { return others + winners * own; }

    XSOFTMAX_ALWAYS_INLINE D inverse() const { return reciprocal(all()); }

    /// log Σ exp((x − maximum)/T) ≥ 0.
    XSOFTMAX_ALWAYS_INLINE D logarithm() const
    {
        return log_one_plus(rounded(D(others / own + rounded(D(winners - number<D>(1))))));
    }
};

/// What is known of a row when all of it has been seen; all but the sums only of operations that count winners.
template <class C, std::size_t Sums>
struct row_totals {
    wide<C> sums[Sums];
    split_sum<wide<C>> exponentials;  ///< the first of the sums
    wide<C> logarithm;                ///< log Σ exp((x − maximum)/T)
    wide<C> inverse;                  ///< 1/Σ exponentials

    /// The first sum was split: what follows from it, but for the logarithm. By the same instructions as for many rows
    /// together.
    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE void split_off(double winners, wide<C> own)
    {
        exponentials = {sums[0], number<wide<C>>(winners), own};
        inverse = number_from(in_lanes<Arch>().inverse());
    }

    /// Of the sum as it was split, whatever was added to the exponentials since.
    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE void take_logarithm()
    {
        logarithm = number_from(in_lanes<Arch>().logarithm());
    }

    /// Is one logit left out of the others, which is then all that is wanted of them?
    XSOFTMAX_ALWAYS_INLINE bool one_winner() const { return to_double(exponentials.winners) == 1; }

private:
    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE auto in_lanes() const
    {
        if constexpr (sizeof(C) == 4) {
            using doubles = xsimd::batch<double, Arch>;
            return split_sum<doubles>{doubles(sums[0]), doubles(exponentials.winners), doubles(exponentials.own)};
        }
        else
            return split_sum<extended>{sums[0], exponentials.winners, exponentials.own};
    }

    template <class X>
    XSOFTMAX_ALWAYS_INLINE static wide<C> number_from(const X& x)
    {
        if constexpr (sizeof(C) == 4)
            return first_lane(x);
        else
            return x;
    }
};

/// The totals of rows that are lanes of B: of float, their logarithms and reciprocals are taken together. Refers to the sums and
/// winners.
template <class B>
class totals_of_lanes {
    using C = value_of<B>;
    using doubles = xsimd::batch<double, arch_of<B>>;

public:
    XSOFTMAX_ALWAYS_INLINE totals_of_lanes(const wide<C> (&sums)[B::size], const double (&winners)[B::size],
                                           const two_parts<B>& owns)
        : sums_(sums), winners_(winners)
    {
        alignas(B) C high[B::size], low[B::size];
        owns.high.store_aligned(high);
        owns.low.store_aligned(low);
        for (std::size_t r = 0; r < B::size; ++r) own_[r] = sum_of_parts(high[r], low[r]);
        if constexpr (sizeof(C) == 4)
            for (std::size_t at = 0; at < B::size; at += doubles::size) {
                const split_sum<doubles> of_rows{load_whole<doubles>(sums_ + at), load_whole<doubles>(winners_ + at),
                                                 load_whole<doubles>(own_ + at)};
                store_whole(logarithms_ + at, of_rows.logarithm());
                store_whole(inverses_ + at, of_rows.inverse());
            }
    }

    XSOFTMAX_ALWAYS_INLINE row_totals<C, 1> operator()(std::size_t r) const
    {
        if constexpr (sizeof(C) == 4)
            return {{sums_[r]}, {sums_[r], winners_[r], own_[r]}, logarithms_[r], inverses_[r]};
        else {
            row_totals<C, 1> totals{{sums_[r]}, {}, {}, {}};
            totals.template split_off<arch_of<B>>(winners_[r], own_[r]);
            totals.template take_logarithm<arch_of<B>>();
            return totals;
        }
    }

private:
    const wide<C>* sums_;
    const double* winners_;
    alignas(B) wide<C> own_[B::size];
    alignas(B) double logarithms_[B::size], inverses_[B::size];  // of float
};

}  // namespace XSOFTMAX_TARGET

// ---- softmax ---------------------------------------------------------------------------------------------------------

template <class T>
struct softmax_operation {
    static constexpr std::size_t sums = 1;
    static constexpr std::size_t exponential_sums = 1;
    static constexpr bool counts_winners = false;
    static constexpr bool any_reference = true;
    static constexpr bool uses_exponentials = true;
    static constexpr bool takes_two_parts = true;
    static constexpr bool writes = true;

    T* output;

    template <class B, class Maximum, class Window>
    XSOFTMAX_ALWAYS_INLINE void add_up(B, B e, const Maximum&, Window, B* terms) const
    {
        terms[0] = e;
    }

    template <class B, class Maximum>
    XSOFTMAX_ALWAYS_INLINE B kept(B, B e, const Maximum&) const
    {
        return e;
    }

    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE coefficients<C, 2> finish(const row_totals<C, sums>& totals, const Maximum&) const
    {
        return by_reciprocal::of<C>(totals.sums[0]);
    }

    /// finish() for as many rows as a batch has lanes, from the lanes' sums.
    template <class B, class Lanes>
    XSOFTMAX_ALWAYS_INLINE static coefficients<B, 2> finish_lanes(const Lanes& sums_of_rows)
    {
        return by_reciprocal::of_lanes<B>(sums_of_rows);
    }

    template <class B, class Maximum>
    XSOFTMAX_ALWAYS_INLINE static auto writer(const coefficients<B, 2>& sum, const Maximum&)
    {
        return [sum](const auto& e, auto) XSOFTMAX_INLINE_LAMBDA {
            return by_reciprocal::divide(e, sum);
        };
    }

    XSOFTMAX_ALWAYS_INLINE void complete() const {}
    XSOFTMAX_ALWAYS_INLINE zero_limit at_zero(double, double winners) const { return {1 / winners, 0}; }
    XSOFTMAX_ALWAYS_INLINE void undefined(double) const {}
};

// ---- Operations that take a logarithm --------------------------------------------------------------------------------

inline namespace XSOFTMAX_TARGET {

/// (a − b)/T for finite a ≥ b, also where a − b overflows.
template <class C>
XSOFTMAX_ALWAYS_INLINE wide<C> difference_over(double a, double b, double temperature)
{
    if constexpr (sizeof(C) == 4)
        return (a - b) / temperature;
    else
        return a - b <= largest<double> ? quotient(two_sum(a, -b), temperature)
                                        : quotient(two_sum(a / 4, -b / 4), temperature / 4);
}

/// log Σ exp(x/T), from log Σ exp((x − maximum)/T).
template <class C, class Maximum>
XSOFTMAX_ALWAYS_INLINE wide<C> log_sum_exp_of(wide<C> logarithm, const Maximum& maximum, double temperature)
{
    return difference_over<C>(maximum.value(), 0, temperature) + logarithm;
}

/// The number that a sum stands for, also where it is infinite: the low part of such a one is NaN.
template <class Wide>
XSOFTMAX_ALWAYS_INLINE double number_of(Wide x)
{
    return leading(x) - leading(x) == 0 ? to_double(x) : leading(x);
}

/// Is the low part of such a factor a normal number, so that it keeps its digits?
template <class C>
XSOFTMAX_ALWAYS_INLINE bool is_normal_split(double factor)
{
    constexpr double least = sizeof(C) == 4 ? 0x1p-102 : 0x1p-969;
    return factor >= least || factor <= -least || factor == 0;
}

/// The power of two that a factor of exponentials, inverse·share, is multiplied by, and their products divided by. It lifts a
/// small factor whose low part would not be normal. It lowers a large one: low parts of exponentials, which may be negative,
/// times it would overflow before the products do.
template <class C>
XSOFTMAX_ALWAYS_INLINE double factor_lift(double inverse, double share)
{
    constexpr bool is_float = sizeof(C) == 4;
    constexpr double most = is_float ? 0x1p60 : 0x1p700;
    const double factor = inverse * share;
    if (!is_normal_split<C>(factor) || (factor == 0 && share != 0)) [[unlikely]]
        return is_float ? 0x1p100 : 0x1p900;
    return factor <= most && factor >= -most ? 1 : is_float ? 0x1p-60 : 0x1p-500;
}

/// part·inverse·share, where a part of the exponentials and 1 over their sum are both far from 1, and a large share is brought in
/// by steps: neither overflows before the product does, nor is denormal, without its digits, before a large share lifts it.
template <class C>
XSOFTMAX_ALWAYS_INLINE wide<C> product_of(wide<C> part, wide<C> inverse, extended share)
{
    if constexpr (sizeof(C) == 8)
        if (share.high > 1 || share.high < -1)
            return part * (inverse * to_extended(0x1p200)) * (share * to_extended(0x1p-200));
    return part * inverse * wide_from<C>(share);
}

/// A factor of probabilities, in two parts. One that overflows becomes the largest number: a probability of 0 times it is 0.
template <class C>
XSOFTMAX_ALWAYS_INLINE split<C> factor_from(wide<C> x)
{
    const split<C> factor = split_into<C>(x);
    if (factor.high == infinity<C>) [[unlikely]]
        return {largest<C>, 0};
    if (factor.high == -infinity<C>) [[unlikely]]
        return {-largest<C>, 0};
    return factor;
}

}  // namespace XSOFTMAX_TARGET

template <class T>
struct log_softmax_operation {
    static constexpr std::size_t sums = 1;
    static constexpr std::size_t exponential_sums = 1;
    static constexpr bool counts_winners = true;
    static constexpr bool any_reference = true;
    static constexpr bool takes_two_parts = false;
    static constexpr bool uses_exponentials = false;
    static constexpr bool writes = true;

    T* output;

    template <class B, class Maximum, class Window>
    XSOFTMAX_ALWAYS_INLINE void add_up(B x, B e, const Maximum& maximum, Window, B* terms) const
    {
        terms[0] = split_sum<B>::term(x, e, maximum);
    }

    /// −log Σ exp((x − maximum)/T)
    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE coefficients<C, 1> finish(const row_totals<C, sums>& totals, const Maximum&) const
    {
        return {static_cast<C>(-to_double(totals.logarithm))};
    }

    /// (x − maximum)/T − log Σ exp((x − maximum)/T): both terms have the same sign, so nothing cancels.
    template <class B, class Maximum>
    XSOFTMAX_ALWAYS_INLINE static auto writer(const coefficients<B, 1>& negative_log_sum, const Maximum& maximum)
    {
        using C = value_of<B>;
        const auto inverse = split_into<C>(maximum.scale().inverse);
        const bool undivided = inverse.high == C(1) && inverse.low == C(0);
        return [maximum, undivided, high = B(inverse.high), low = B(inverse.low), shift = negative_log_sum.part[0]](
                   B x, auto) XSOFTMAX_INLINE_LAMBDA {
            const B d = maximum.difference(x);
            if (undivided) return B(d + shift);
            // An infinite quotient stays what it is, but for a NaN of the sum: its low part would make it NaN.
            const B quotient = d * high;
            return B(where(not_below(quotient, B(-largest<C>)), multiply_add(d, high, multiply_add(d, low, shift)),
                           B(quotient + shift)));
        };
    }

    XSOFTMAX_ALWAYS_INLINE void complete() const {}
    XSOFTMAX_ALWAYS_INLINE zero_limit at_zero(double, double winners) const
    {
        return {-::log(winners), -infinity<double>};
    }
    XSOFTMAX_ALWAYS_INLINE void undefined(double) const {}
};

struct log_sum_exp_operation {
    static constexpr std::size_t sums = 1;
    static constexpr std::size_t exponential_sums = 1;
    static constexpr bool counts_winners = true;
    static constexpr bool any_reference = true;
    static constexpr bool takes_two_parts = false;
    static constexpr bool uses_exponentials = false;
    static constexpr bool writes = false;

    double temperature = 1;
    double result = 0;

    template <class B, class Maximum, class Window>
    XSOFTMAX_ALWAYS_INLINE void add_up(B x, B e, const Maximum& maximum, Window, B* terms) const
    {
        terms[0] = split_sum<B>::term(x, e, maximum);
    }

    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE void finish(const row_totals<C, sums>& totals, const Maximum& maximum)
    {
        result = to_double(log_sum_exp_of<C>(totals.logarithm, maximum, temperature));
    }

    XSOFTMAX_ALWAYS_INLINE void complete() const {}
    XSOFTMAX_ALWAYS_INLINE zero_limit at_zero(double maximum, double winners)
    {
        result = maximum == 0 ? ::log(winners) : maximum * infinity<double>;
        return {};
    }
    XSOFTMAX_ALWAYS_INLINE void undefined(double maximum) { result = maximum; }
};

// ---- Cross-entropy ---------------------------------------------------------------------------------------------------

/// What a loss has beside its targets.
struct loss_terms {
    double temperature = 1;
    double z_loss = 0;  ///< adds z_loss·(log Σ exp(x/T))²

    /// The targets' part of a loss, in plain numbers too, and what z_loss adds to it.
    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE double loss(wide<C> of_targets, double plain, wide<C> logarithm,
                                       const Maximum& maximum) const
    {
        if (z_loss == 0) return plain;
        const wide<C> all = log_sum_exp_of<C>(logarithm, maximum, temperature);
        const double plain_sum = plain + z_loss * to_double(all) * to_double(all);
        // The low parts of infinite numbers would make NaN of them.
        if (!(plain_sum - plain_sum == 0)) return plain_sum;
        const bool is_finite = leading(of_targets) - leading(of_targets) == 0;
        return to_double((is_finite ? of_targets : wide_from<C>(plain)) + wide_from<C>(z_loss) * (all * all));
    }

    /// What z_loss adds to the probabilities' factor in the gradient: 2·z_loss·log Σ exp(x/T).
    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE extended z_share(wide<C> logarithm, const Maximum& maximum) const
    {
        if (z_loss == 0) return {0, 0};  // also where the logarithm is infinite
        return to_extended(2 * z_loss) * to_extended(to_double(log_sum_exp_of<C>(logarithm, maximum, temperature)));
    }
};

/// Loss of one class: weight·((maximum − x[target])/T + log Σ exp((x − maximum)/T)), both terms ≥ 0.
struct index_loss_operation {
    static constexpr std::size_t sums = 1;
    static constexpr std::size_t exponential_sums = 1;
    static constexpr bool counts_winners = true;
    static constexpr bool any_reference = true;
    static constexpr bool takes_two_parts = false;
    static constexpr bool uses_exponentials = false;
    static constexpr bool writes = false;

    loss_terms terms_beside;
    double target_logit;
    double weight = 1;
    double loss = 0;

    template <class B, class Maximum, class Window>
    XSOFTMAX_ALWAYS_INLINE void add_up(B x, B e, const Maximum& maximum, Window, B* terms) const
    {
        terms[0] = split_sum<B>::term(x, e, maximum);
    }

    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE void finish(const row_totals<C, sums>& totals, const Maximum& maximum)
    {
        const auto distance = difference_over<C>(maximum.value(), target_logit, terms_beside.temperature);
        const auto negative_log = distance + totals.logarithm;
        // A class of weight 0 adds 0, also where its logit is −inf.
        const double plain = to_double(negative_log);
        loss = terms_beside.loss<C>(wide_from<C>(weight) * negative_log,
                                    weight == 0 && has_bits_of(plain, infinity<double>) ? 0 : weight * plain,
                                    totals.logarithm, maximum);
    }

    XSOFTMAX_ALWAYS_INLINE void complete() const {}
    XSOFTMAX_ALWAYS_INLINE void undefined(double) { loss = not_a_number<double>; }
};

/// The same, and its gradient (weight·(p − onehot(target)) + 2·z_loss·(log Σ exp(x/T))·p)/T, times gradient_scale.
template <class T>
struct index_gradient_operation : index_loss_operation {
    static constexpr bool uses_exponentials = true;
    static constexpr bool takes_two_parts = true;
    static constexpr bool writes = true;
    static constexpr std::size_t lift_coefficient = 2;

    T* output;
    std::size_t target;
    extended gradient_scale = {1, 0};
    std::ptrdiff_t step = 1;  ///< from an element of the gradient to the next
    T target_gradient = 0;

    template <class B, class Maximum>
    XSOFTMAX_ALWAYS_INLINE B kept(B, B e, const Maximum&) const
    {
        return e;
    }

    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE coefficients<C, 3> finish(const row_totals<C, sums>& totals, const Maximum& maximum)
    {
        finish_beside<C>(totals, maximum);
        return finish_output<C>(totals, maximum);
    }

    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE void finish_beside(const row_totals<C, sums>& totals, const Maximum& maximum)
    {
        index_loss_operation::finish<C>(totals, maximum);
    }

    XSOFTMAX_ALWAYS_INLINE bool output_needs_logarithm() const { return terms_beside.z_loss != 0; }

    /// What exponentials are multiplied by, a factor in two parts, and then a power of two.
    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE coefficients<C, 3> finish_output(const row_totals<C, sums>& totals, const Maximum& maximum)
    {
        const auto& scale = maximum.scale();
        const auto inverse = scale.inverse * totals.inverse;

        // p − 1 = −(the sum of the others)/(the sum of all), which keeps every digit where p rounds to 1.
        const bool winner = static_cast<C>(target_logit) == static_cast<C>(maximum.value()) && totals.one_winner();
        const auto own = maximum.precise_exponential(static_cast<C>(target_logit));
        const auto others = winner ? totals.exponentials.others : totals.exponentials.all() - own;
        extended share = to_extended(weight) * gradient_scale;
        auto at_target = -product_of<C>(others, inverse, share);
        if (terms_beside.z_loss != 0) {
            const extended z_share = terms_beside.z_share<C>(totals.logarithm, maximum) * gradient_scale;
            // An infinite share of a target whose probability is 0 is 0.
            if (leading(own) != 0) at_target = at_target + product_of<C>(own, inverse, z_share);
            share = share + z_share;
        }
        target_gradient = static_cast<T>(number_of(at_target) * scale.unit);
        const double lift = factor_lift<C>(leading(inverse), leading(share));
        const split<C> factor = factor_from<C>(inverse * wide_from<C>(share * to_extended(lift)));
        return {factor.high, factor.low, static_cast<C>(scale.unit / lift)};
    }

    template <class B, class Maximum>
    XSOFTMAX_ALWAYS_INLINE static auto writer(const coefficients<B, 3>& by, const Maximum&)
    {
        return [by](const auto& e, auto) XSOFTMAX_INLINE_LAMBDA {
            return compensated_product::of(e, by.part[0], by.part[1]) * by.part[2];
        };
    }

    XSOFTMAX_ALWAYS_INLINE void complete() const
    {
        output[static_cast<std::ptrdiff_t>(target) * step] = target_gradient;
    }
};

/// Has an element of the row, the target, another result than what the writer gives?
template <class Operation>
inline constexpr bool has_own_element = requires(const Operation& operation)
{
    operation.target_gradient;
};

/// Loss of target probabilities t: Σ t·(maximum − x)/T + (Σ t)·log Σ exp((x − maximum)/T). A target of 0 adds 0, whatever
/// its logit.
template <class T>
struct probabilities_loss_operation {
    static constexpr std::size_t sums = 4;
    static constexpr std::size_t exponential_sums = 1;
    static constexpr bool counts_winners = true;
    static constexpr bool any_reference = false;
    static constexpr bool takes_two_parts = false;
    static constexpr bool uses_exponentials = false;
    static constexpr bool writes = false;

    /// Differences are summed divided by it: t·(maximum − x) may overflow where its quotient by T does not.
    static constexpr double headroom = 1024;

    loss_terms terms_beside;
    const T* targets;
    double loss = 0;

    template <class B, class Maximum, class Window>
    XSOFTMAX_ALWAYS_INLINE void add_up(B x, B e, const Maximum& maximum, Window window, B* terms) const
    {
        const B zero(value_of<B>(0));
        const B t = window.load_from(targets, value_of<B>(0));
        terms[0] = split_sum<B>::term(x, e, maximum);
        terms[1] = where(maximum.is_maximum(x), t, zero);
        terms[2] = zero_where(maximum.is_maximum(x), t);
        terms[3] = zero_where(t == zero, B(t * (maximum.difference(x) * B(value_of<B>(1 / headroom)))));
    }

    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE void finish(const row_totals<C, sums>& totals, const Maximum& maximum)
    {
        const auto sum = totals.sums[1] + totals.sums[2];
        const auto inverse = maximum.scale().inverse * wide_from<C>(headroom);
        const double distance = -to_double(totals.sums[3]) * to_double(inverse);
        const auto of_targets = -totals.sums[3] * inverse + sum * totals.logarithm;
        // In plain numbers where it is not finite: the low parts of extended ones would make an infinite loss NaN.
        const double plain =
            distance - distance != 0 ? distance + to_double(sum) * to_double(totals.logarithm) : to_double(of_targets);
        loss = terms_beside.loss<C>(of_targets, plain, totals.logarithm, maximum);
    }

    XSOFTMAX_ALWAYS_INLINE void complete() const {}
    XSOFTMAX_ALWAYS_INLINE void undefined(double) { loss = not_a_number<double>; }
};

/// The same, and its gradient ((Σ t + 2·z_loss·log Σ exp(x/T))·p − t)/T, times gradient_scale.
template <class T>
struct probabilities_gradient_operation : probabilities_loss_operation<T> {
    static constexpr bool uses_exponentials = true;
    static constexpr bool writes = true;

    T* output;
    extended gradient_scale = {1, 0};

    /// The sign marks the winners for the writing sweep.
    template <class B, class Maximum>
    XSOFTMAX_ALWAYS_INLINE B kept(B x, B e, const Maximum& maximum) const
    {
        return where(maximum.is_maximum(x), -e, e);
    }

    template <class C, class Maximum>
    XSOFTMAX_ALWAYS_INLINE coefficients<C, 7> finish(const row_totals<C, probabilities_loss_operation<T>::sums>& totals,
                                                     const Maximum& maximum)
    {
        probabilities_loss_operation<T>::template finish<C>(totals, maximum);
        // 1/T is in the factors, not applied to p, which may be denormal.
        const auto inverse = maximum.scale().inverse * wide_from<C>(gradient_scale);
        const extended z_share = this->terms_beside.template z_share<C>(totals.logarithm, maximum);
        const auto sum = totals.sums[1] + totals.sums[2] + wide_from<C>(z_share);

        // At a winner with p > 1/2, (Σ t)·p − t = (Σ t elsewhere) − (Σ t)·(Σ others)/(Σ all): as for a class index, nothing
        // of a small difference is lost. At smaller p the plain form is the better one.
        const bool dominant =
            to_double(totals.exponentials.others) < to_double(totals.exponentials.own) && totals.one_winner();
        const auto at_winner = z_share.high - z_share.high == 0
                                   ? totals.sums[2] + wide_from<C>(z_share) -
                                         product_of<C>(totals.exponentials.others, totals.inverse, to_extended(sum))
                                   : wide_from<C>(z_share);
        const auto of_sum = inverse * totals.inverse;
        const double lift = factor_lift<C>(leading(of_sum), leading(sum));
        const split<C> factor = factor_from<C>(of_sum * (sum * wide_from<C>(lift)));
        const split<C> target_factor = split_into<C>(inverse);
        // The winner's gradient is written where what was kept is below the last.
        return {factor.high,
                factor.low,
                static_cast<C>(1 / lift),
                target_factor.high,
                target_factor.low,
                static_cast<C>(number_of(at_winner * inverse)),
                dominant ? C(0) : -infinity<C>};
    }

    template <class B, class Maximum>
    XSOFTMAX_ALWAYS_INLINE auto writer(const coefficients<B, 7>& c, const Maximum& maximum) const
    {
        using C = value_of<B>;
        return [c, unit = B(static_cast<C>(maximum.scale().unit)), targets = this->targets](B kept, auto window)
                   XSOFTMAX_INLINE_LAMBDA {
                       const auto& [high, low, unlift, target_high, target_low, at_winner, marks_below] = c.part;
                       const B t = window.load_from(targets, C(0));
                       const B plain = compensated_product::of(magnitude(kept), high, low) * unlift -
                                       compensated_product::of(t, target_high, target_low);
                       return B(where(kept < marks_below, at_winner, plain) * unit);
                   };
    }
};

inline namespace XSOFTMAX_TARGET {

/// What operations(r), given for many rows, is for row r.
template <class Operations>
using operation_of = std::remove_cvref_t<decltype(std::declval<const Operations&>()(std::size_t{}))>;

/// Is one of the coefficients of an operation that takes guesses a power of two that is mostly 1 (lift_coefficient)?
template <class Operation>
inline constexpr bool has_lift = requires
{
    Operation::lift_coefficient;
};

/// Has an operation a result beside its output, for which writing need not wait?
template <class Operation>
inline constexpr bool has_result_beside = requires(const Operation& operation)
{
    operation.output_needs_logarithm();
};

/// How many coefficients finish() gives; none where nothing is written.
template <class Operation, class T>
inline constexpr std::size_t coefficients_count = [] {
    if constexpr (!Operation::writes)
        return std::size_t{0};
    else
        return std::extent_v<decltype(std::declval<Operation&>()
                                          .template finish<T>(
                                              std::declval<const row_totals<T, Operation::sums>&>(),
                                              std::declval<const near_maximum<xsimd::batch<T, default_arch>>&>())
                                          .part)>;
}();

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
