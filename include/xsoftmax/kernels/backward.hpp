#pragma once

/// From a forward pass's results and the gradient by them to the gradient by the logits: one sweep that sums, one that
/// writes.
///
/// An element with more than half of the mass gets a sum of its own: what its probability lacks to 1 is the sum of the
/// others, of which its own rounding would leave nothing. Of logits {37.43, 0} the gradients are ±5.55e-17, not 0.

#include "compiler.hpp"
#include "exp.hpp"
#include "long_row.hpp"
#include "plain_data.hpp"
#include "search.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "tree_sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Has any element exceeded a bound?
template <class B>
class any_above {
public:
    XSOFTMAX_ALWAYS_INLINE explicit any_above(B bound) : bound_(bound), above_(bound > bound) {}
    XSOFTMAX_ALWAYS_INLINE void see(B x) { above_ = above_ | (x > bound_); }
    XSOFTMAX_ALWAYS_INLINE void see(const any_above& other) { above_ = above_ | other.above_; }
    XSOFTMAX_ALWAYS_INLINE bool is_any() const { return any_true<B>(above_); }

private:
    B bound_;
    mask_of<B> above_;
};

/// The same in an operation less, where a NaN may hide it, for sums that this makes NaN.
template <class B>
class maximum_above {
public:
    XSOFTMAX_ALWAYS_INLINE explicit maximum_above(B bound) : bound_(bound), most_(bound) {}
    XSOFTMAX_ALWAYS_INLINE void see(B x) { most_ = maximum(most_, x); }
    XSOFTMAX_ALWAYS_INLINE void see(const maximum_above& other) { see(other.most_); }
    XSOFTMAX_ALWAYS_INLINE bool is_any() const { return any_true<B>(most_ > bound_); }

private:
    B bound_;
    B most_;
};

/// None is looked for.
template <class B>
struct none_above {
    XSOFTMAX_ALWAYS_INLINE explicit none_above(B) {}
    XSOFTMAX_ALWAYS_INLINE void see(B) {}
    XSOFTMAX_ALWAYS_INLINE void see(const none_above&) {}
    XSOFTMAX_ALWAYS_INLINE bool is_any() const { return false; }
};

/// Adds Σ term(window) from a block of a row on. Blocks are added in trees, so that an operand is rounded three times at most
/// before it is in double: these sums are where terms of both signs cancel, and their operands have been rounded already.
///
/// Stops before the first block, or before what is left behind the last, in which `Above` has seen watched(window) exceed
/// `bound`. Returns where it has stopped, or n.
template <class Above, class B, class Term, class Watched>
XSOFTMAX_ALWAYS_INLINE std::size_t add_up_to(sum_of<B>& total, std::size_t from, std::size_t n, value_of<B> bound,
                                             const Term& term, const Watched& watched)
{
    constexpr std::size_t block = block_size * B::size;
    std::size_t i = from;
    for (; n - i >= block; i += block) {
        Above above{B(bound)}, above_too{B(bound)};  // one would be waited for
        B terms[block_size][1];
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < block_size; ++k) {
            const whole_window<B> window{i + k * B::size};
            (k % 2 == 0 ? above : above_too).see(watched(window));
            terms[k][0] = term(window);
        }
        above.see(above_too);
        if (above.is_any()) [[unlikely]]
            return i;
        total.add(tree_sum<block_size>(terms, 0));
    }
    const std::size_t last = i;
    sum_of<B> with_last = total;
    Above above{B(bound)};
    const auto add = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        above.see(watched(window));
        with_last.add(term(window));
    };
    for (; n - i >= B::size; i += B::size) add(whole_window<B>{i});
    if (i != n) add(part_window<B>{i, n - i});
    if (above.is_any()) return last;
    total = with_last;
    return n;
}

/// The same without stopping.
template <class B, class Term>
XSOFTMAX_ALWAYS_INLINE void add_up(sum_of<B>& total, std::size_t from, std::size_t n, const Term& term)
{
    add_up_to<none_above<B>>(total, from, n, value_of<B>(0), term, term);
}

/// Writes result(window) over a row. All stores of a block after all its loads: a load waits for an earlier store whose
/// address agrees in the last 12 bits, and operands are often allocated a multiple of a page apart.
template <class B, class T, class Result>
XSOFTMAX_ALWAYS_INLINE void write_row(T* row, std::size_t n, Result&& result)
{
    for_each_window<B>(
        n,
        [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            B results[block_size];
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) results[k] = result(whole_window<B>{i + k * B::size});
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) store_whole(row + i + k * B::size, results[k]);
        },
        [&](auto window) XSOFTMAX_INLINE_LAMBDA { window.store_to(row, result(window)); });
}

/// The end of what add_up_to has stopped before.
template <class B>
XSOFTMAX_ALWAYS_INLINE std::size_t end_of_block(std::size_t i, std::size_t n)
{
    constexpr std::size_t block = block_size * B::size;
    return n - i < block ? n : i + block;
}

/// The place of the only element from `from` to `to` that exceeds `bound`; `to` if there is none, or more than one.
template <class B, class T>
XSOFTMAX_ALWAYS_INLINE std::size_t only_element_above(const T* row, std::size_t from, std::size_t to, T bound)
{
    return from + only_element<B>(row + from, to - from, bound,
                                  [bound](B x) XSOFTMAX_INLINE_LAMBDA { return count_true<B>(x > B(bound)); });
}

/// x = mantissa·2^exponent, with a mantissa in [1/2, 1); 0 has an exponent below all others. NaN and infinity stay mantissas.
struct taken_apart {
    static constexpr int of_zero = -10000;

    int exponent = 0;  // before the mantissa, with which frexp sets it
    double mantissa;

    XSOFTMAX_ALWAYS_INLINE explicit taken_apart(double x) : mantissa(::frexp(x, &exponent))
    {
        if (x == 0) exponent = of_zero;
    }
};

/// The power of 2 by which operands are multiplied before they are divided by T times it, which is in [1/2, 1): a product
/// may be denormal, and have lost its digits, where its quotient by T < 1 is not. Nothing overflows but what then does anyway.
XSOFTMAX_ALWAYS_INLINE double lift_of(double temperature)
{
    return temperature < 1 ? ::ldexp(1.0, -taken_apart(temperature).exponent) : 1;
}

/// Did products in T that make up a mean of this size lose digits, which a quotient by T lays open?
template <class T>
XSOFTMAX_ALWAYS_INLINE bool lost_digits(double mean, double temperature)
{
    constexpr double bound =
        sizeof(T) == 4 ? 0x1p-100 : 0x1p-960;  // 2^24 roundings of the least numbers are nothing to it
    return temperature < 1 && mean > -bound && mean < bound;
}

/// softmax_backward of one row at any temperature and of any magnitudes, rather right than fast: all exponents are kept apart,
/// so that nothing but the result can leave the range of its type. c is the dominant element's gradient, or 0.
template <class T>
XSOFTMAX_NEVER_INLINE void softmax_backward_by_exponents(const backward_operands<T>& at, std::size_t n,
                                                         double temperature, double c)
{
    const auto p_of = [&](std::size_t i) {
        return static_cast<double>(*at.forward_at(i));
    };
    const auto difference_of = [&](std::size_t i) {
        return static_cast<double>(*at.upstream_at(i)) - c;
    };
    int highest = taken_apart::of_zero;
    double plain_mean = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const double p = p_of(i), d = difference_of(i);
        plain_mean += p * d;
        if (p == 0 || d == 0) continue;
        const int exponent = taken_apart(p).exponent + taken_apart(d).exponent;
        if (exponent > highest) highest = exponent;
    }
    if (highest == taken_apart::of_zero || !(plain_mean - plain_mean == 0)) {  // all is 0, or NaN, or infinite
        for (std::size_t i = 0; i < n; ++i)
            *at.gradient_at(i) = static_cast<T>(p_of(i) * (difference_of(i) - plain_mean) / temperature);
        return;
    }
    extended sum{0, 0};
    for (std::size_t i = 0; i < n; ++i) {
        const taken_apart p(p_of(i)), d(difference_of(i));
        sum = sum + to_extended(::ldexp(p.mantissa * d.mantissa, p.exponent + d.exponent - highest));
    }
    taken_apart mean(to_double(sum));
    mean.exponent += highest;
    const taken_apart over(temperature);
    for (std::size_t i = 0; i < n; ++i) {
        const taken_apart p(p_of(i)), d(difference_of(i));
        const int larger = d.exponent > mean.exponent ? d.exponent : mean.exponent;
        const double difference =
            ::ldexp(d.mantissa, d.exponent - larger) - ::ldexp(mean.mantissa, mean.exponent - larger);
        *at.gradient_at(i) =
            static_cast<T>(::ldexp(p.mantissa * difference / over.mantissa, p.exponent + larger - over.exponent));
    }
}

/// p·(g − c), which a sum is not to see more digits of in one place than in another.
template <class B>
XSOFTMAX_ALWAYS_INLINE B weighted(B p, B g, B c)
{
    return rounded(B(p * kept_together(B(g - c))));
}

/// (g − c) − m, of which -ffast-math would add up c and m first.
template <class B>
XSOFTMAX_ALWAYS_INLINE B centered(B g, B c, B m)
{
    return kept_together(B(g - c)) - m;
}

/// p·d/T, for an ordinary T of which lost_digits is false.
template <class B>
class backward_division {
    using T = value_of<B>;

public:
    XSOFTMAX_ALWAYS_INLINE explicit backward_division(double temperature)
        : lift_(static_cast<T>(lift_of(temperature))),
          over_temperature_(in_all_lanes<B>(by_reciprocal::of<T>(wide_from<T>(temperature * lift_of(temperature)))))
    {
    }

    XSOFTMAX_ALWAYS_INLINE B operator()(B p, B difference) const
    {
        return by_reciprocal::divide(B(kept_together(B(p * lift_)) * difference), over_temperature_);
    }

private:
    B lift_;
    coefficients<B, 2> over_temperature_;
};

/// gradient = p·(g − Σ p·g)/T, for probabilities p and the gradient g by them, at any temperature.
///
/// As p·((g − c) − Σ p·(g − c))/T with c the dominant element's g, whose own term is then 0.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void softmax_backward(const T* probabilities, const T* upstream, T* gradient, std::size_t n,
                                            double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const T half(0.5);
    const auto p_at = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        return B(window.load_from(probabilities, T(0)));
    };
    const auto g_at = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        return B(window.load_from(upstream, T(0)));
    };
    const auto product = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        return rounded(B(p_at(window) * g_at(window)));
    };
    T reference = 0;
    sum_of<B> total;
    if (const std::size_t stop = add_up_to<maximum_above<B>>(total, 0, n, half, product, p_at); stop != n) {
        const std::size_t next = end_of_block<B>(stop, n);
        const std::size_t dominant = only_element_above<B>(probabilities, stop, next, half);
        bool is_only = false;
        if (dominant != next) [[likely]] {
            const T c = upstream[dominant] + T(0);  // as in a group, where -0 becomes 0
            const auto relative = [&, c = B(c)](auto window) XSOFTMAX_INLINE_LAMBDA {
                return weighted(p_at(window), g_at(window), c);
            };
            sum_of<B> again;
            add_up<B>(again, 0, next, relative);
            is_only = add_up_to<maximum_above<B>>(again, next, n, half, relative, p_at) == n;
            if (is_only) {
                reference = c;
                total = again;
            }
        }
        if (!is_only) [[unlikely]]  // no probabilities
            add_up<B>(total, stop, n, product);
    }
    const double mean = to_double(total.total());

    if (!is_ordinary<T>(temperature) || lost_digits<T>(static_cast<double>(static_cast<T>(mean)), temperature))
        [[unlikely]]
        return softmax_backward_by_exponents<T>({probabilities, upstream, gradient, {1, 1, 1}}, n, temperature,
                                                static_cast<double>(reference));

    const B c(reference), m(static_cast<T>(mean));
    const auto write = [&](auto result) XSOFTMAX_INLINE_LAMBDA {
        write_row<B>(gradient, n,
                     [&](auto window) XSOFTMAX_INLINE_LAMBDA { return result(p_at(window), g_at(window)); });
    };
    if (temperature == 1) return write([&](B p, B g) XSOFTMAX_INLINE_LAMBDA { return B(p * centered(g, c, m)); });
    const backward_division<B> by_temperature(temperature);
    write([&](B p, B g) XSOFTMAX_INLINE_LAMBDA { return by_temperature(p, centered(g, c, m)); });
}

/// Do all lanes stay far from overflow when they are multiplied?
template <class T, class D>
XSOFTMAX_ALWAYS_INLINE bool have_room(D x, double factor)
{
    const D most(static_cast<double>(largest<T>) / 4 / factor);
    return all_true<D>(x < most) && all_true<D>(x > -most);
}

/// log p of a dominant element is above least_dominant<T>; what is above largest_log_probability is none, even if rounded.
template <class T>
inline constexpr T least_dominant = static_cast<T>(-ln_2.high);
inline constexpr double largest_log_probability = 0x1p-10;

/// log_softmax's gradient at a dominant element with log-probability y, as (−Σ g elsewhere − (exp(y) − 1)·Σ g)/T. Of a row, or
/// of those in the lanes of batches. exp(y) − 1 is y·(1 + y/2·(1 + y/3·(…))), Taylor's series.
template <class T, class D>
XSOFTMAX_ALWAYS_INLINE D gradient_at_dominant(D y, D elsewhere, D all, double temperature)
{
    constexpr int terms = sizeof(T) == 4 ? 12 : 18;
    const D one(1.0);
    D series = one;
    XSOFTMAX_UNROLL
    for (int k = terms; k > 1; --k) series = rounded_multiply_add(series, rounded(D(y * D(1.0 / k))), one);
    const D lacking = rounded(D(series * -y));
    return rounded_multiply_add(lacking, all, D(-elsewhere)) / D(temperature);
}

/// (g − exp(y)·Σ g)/T for every element, with T·lift in [1/2, 1) for T < 1.
template <class B>
class log_softmax_backward_writer {
    using T = value_of<B>;

public:
    XSOFTMAX_ALWAYS_INLINE log_softmax_backward_writer(double temperature, double lift)
        : scale_(scale_for<B>::make(1, 1)),
          reference_(T(0), scale_),
          lift_(static_cast<T>(lift)),
          over_temperature_(in_all_lanes<B>(by_reciprocal::of<T>(wide_from<T>(temperature * lift))))
    {
    }
    log_softmax_backward_writer(const log_softmax_backward_writer&) = delete;
    log_softmax_backward_writer& operator=(const log_softmax_backward_writer&) = delete;

    /// What a row's exponentials are multiplied by, which are as they were stored: 1, so that small ones keep their digits, or
    /// where a small Σ g would lose its own to it, what makes them probabilities. Of the rows in lanes.
    template <class D>
    XSOFTMAX_ALWAYS_INLINE static D units_of(D totals)
    {
        const D large(1.0), small(1 / stored);
        return D(where(totals < D(least), D(where(totals > D(-least), small, large)), large));
    }

    /// What Σ g is multiplied by for such a unit.
    template <class D>
    XSOFTMAX_ALWAYS_INLINE static D factor_of(D unit, double lift)
    {
        return D(-lift / stored) / unit;
    }

    /// At T = 1.
    XSOFTMAX_ALWAYS_INLINE B undivided(B y, B g, B total, B unit) const
    {
        return multiply_add(B(reference_.exponential(y) * unit), total, g);
    }

    XSOFTMAX_ALWAYS_INLINE B operator()(B y, B g, B total, B unit) const
    {
        return by_reciprocal::divide(multiply_add(B(reference_.exponential(y) * unit), total, B(g * lift_)),
                                     over_temperature_);
    }

private:
    static constexpr double stored = static_cast<double>(exp_constants<T>::stored_factor);
    static constexpr double least = sizeof(T) == 4 ? 0x1p-30 : 0x1p-700;

    const scale_for<B> scale_;
    const near_maximum<B> reference_;
    B lift_;
    coefficients<B, 2> over_temperature_;
};

/// gradient = (g − exp(y)·Σ g)/T, for log-probabilities y and the gradient g by them.
///
/// At a dominant element by gradient_at_dominant.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void log_softmax_backward(const T* log_probabilities, const T* upstream, T* gradient,
                                                std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    using doubles = xsimd::batch<double, Arch>;
    const T least = least_dominant<T>;
    const auto y_at = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        return B(window.load_from(log_probabilities, -infinity<T>));
    };
    const auto g_at = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        return B(window.load_from(upstream, T(0)));
    };
    std::size_t dominant = n;
    sum_of<B> sum;
    if (const std::size_t stop = add_up_to<any_above<B>>(sum, 0, n, least, g_at, y_at); stop != n) {
        const std::size_t next = end_of_block<B>(stop, n);
        const std::size_t found = only_element_above<B>(log_probabilities, stop, next, least);
        if (found != next && log_probabilities[found] <= static_cast<T>(largest_log_probability)) {
            sum_of<B> elsewhere = sum;
            add_up<B>(elsewhere, stop, next, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
                return zero_where(y_at(window) > B(least), g_at(window));
            });
            if (add_up_to<any_above<B>>(elsewhere, next, n, least, g_at, y_at) == n) {
                dominant = found;
                sum = elsewhere;
            }
        }
        if (dominant == n) [[unlikely]]
            add_up<B>(sum, stop, n, g_at);
    }
    double all = to_double(sum.total()), at_dominant = 0;
    if (dominant != n) {
        const double elsewhere = all;
        all = elsewhere + static_cast<double>(upstream[dominant]);
        at_dominant = first_lane(
            gradient_at_dominant<T>(doubles(static_cast<double>(log_probabilities[dominant] + T(0))),  // as in a group
                                    doubles(elsewhere), doubles(all), temperature));
    }

    // Where the second term keeps its digits anyway, a lift might only make both terms infinite, and their difference NaN.
    const double lift = have_room<T>(doubles(all), lift_of(temperature)) ? lift_of(temperature) : 1;
    const log_softmax_backward_writer<B> result(temperature, lift);
    const doubles units = result.units_of(doubles(all));
    const B total(static_cast<T>(all * first_lane(result.factor_of(units, lift))));
    const B unit(static_cast<T>(first_lane(units)));
    const auto write = [&](auto of) XSOFTMAX_INLINE_LAMBDA {
        write_row<B>(gradient, n, [&](auto window) XSOFTMAX_INLINE_LAMBDA { return of(y_at(window), g_at(window)); });
    };
    if (temperature == 1)
        write([&](B y, B g) XSOFTMAX_INLINE_LAMBDA { return result.undivided(y, g, total, unit); });
    else
        write([&](B y, B g) XSOFTMAX_INLINE_LAMBDA { return result(y, g, total, unit); });
    if (dominant != n) gradient[dominant] = static_cast<T>(at_dominant);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
