#pragma once

/// One simple path for what no fast one needs to know: temperature 0 and extreme ones, maxima that are not finite or so far
/// from 0 that float has no digits for a difference, NaN, weights and upstream gradients of extreme size. An element at a time,
/// as slow as it likes, with exponents of their own, so that nothing but a result can leave the range of its type.

#include "math/double_double.hpp"
#include "math/exp.hpp"
#include "row_sum.hpp"

#include <cmath>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// m·2^e, where m has a leading bit in [1/2, 1), or is 0, infinite or NaN.
struct scaled {
    double_double m{0, 0};
    long e = 0;

    scaled() = default;
    XSOFTMAX_COLD explicit scaled(double_double x, long exponent = 0) : m(x), e(exponent)
    {
        int shift = 0;
        if (!is_finite()) {
            m = {x.high, 0};
            return;
        }
        if (x.high == 0) {
            m = {0, 0};
            e = 0;
            return;
        }
        m.high = ::frexp(x.high, &shift);
        m.low = ::ldexp(x.low, -shift);
        e += shift;
    }
    explicit scaled(double x) : scaled(double_double{x, 0}) {}

    [[nodiscard]] bool is_finite() const { return m.high <= largest<double> && m.high >= -largest<double>; }

    /// Rounded once, also to a denormal number.
    template <class T>
    [[nodiscard]] XSOFTMAX_COLD T to() const
    {
        const long within = e > 5000 ? 5000 : e < -5000 ? -5000 : e;
        return static_cast<T>(::ldexp(m.high + m.low, static_cast<int>(within)));
    }
};

XSOFTMAX_COLD inline scaled operator*(const scaled& a, const scaled& b)
{
    if (!a.is_finite() || !b.is_finite()) return scaled(a.m.high * b.m.high);
    return scaled(a.m * b.m, a.e + b.e);
}
XSOFTMAX_COLD inline scaled operator/(const scaled& a, const scaled& b)
{
    if (!a.is_finite() || !b.is_finite()) return scaled(a.m.high / b.m.high);
    return scaled(a.m / b.m, a.e - b.e);
}
XSOFTMAX_COLD inline scaled operator-(const scaled& a)
{
    scaled result = a;
    result.m = -a.m;
    return result;
}
XSOFTMAX_COLD inline scaled operator+(const scaled& a, const scaled& b)
{
    if (!a.is_finite() || !b.is_finite()) return scaled(a.m.high + b.m.high);
    if (a.m.high == 0) return b;
    if (b.m.high == 0) return a;
    if (a.e < b.e) return b + a;
    const int shift = static_cast<int>(b.e - a.e < -300 ? -300 : b.e - a.e);
    return scaled(a.m + double_double{::ldexp(b.m.high, shift), ::ldexp(b.m.low, shift)}, a.e);
}
XSOFTMAX_COLD inline scaled operator-(const scaled& a, const scaled& b) { return a + -b; }

/// exp(−d) for d ≥ 0.
XSOFTMAX_COLD inline scaled exponential_of_minus(const scaled& d)
{
    if (!d.is_finite() || d.e > 24) return d.m.high > 0 ? scaled(0.0) : scaled(d.m.high);
    const double high = ::ldexp(d.m.high, static_cast<int>(d.e < -200 ? -200 : d.e));
    const double low = ::ldexp(d.m.low, static_cast<int>(d.e < -200 ? -200 : d.e));
    const double n = ::rint(high * log2_e.high);
    const double_double r = double_double{high, low} - double_double{n, 0} * ln_2;
    const double y = ::exp(-r.high);
    return scaled(double_double{y, -y * r.low}, -static_cast<long>(n));
}

/// A row and its sums, at any temperature ≥ 0. x is read `step` elements apart.
template <class T>
class rare_row {
public:
    XSOFTMAX_COLD rare_row(const T* x, std::ptrdiff_t step, std::size_t n, double temperature)
        : x_(x), step_(step), temperature_(temperature)
    {
        bool is_nan = false;
        for (std::size_t i = 0; i < n; ++i) {
            is_nan = is_nan || !(at(i) == at(i));
            if (at(i) > top_) top_ = at(i);
        }
        if (is_nan) top_ = not_a_number<double>;
        if (!is_defined()) return;
        scaled others;
        double_double winners{-1, 0};
        for (std::size_t i = 0; i < n; ++i) {
            if (at(i) == top_)
                winners = winners + double_double{1, 0};
            else
                others = others + exponential(i);
        }
        others_ = others + scaled(winners);
        sum_ = others_ + scaled(1.0);
        const double_double x1{others_.template to<double>(), 0};
        logarithm_ = x1.high < 0x1p-30
                         ? others_ - others_ * others_ * scaled(0.5) + others_ * others_ * others_ * scaled(1.0 / 3)
                         : scaled(log_of(sum_));
    }

    /// Is there a finite maximum, and no NaN?
    [[nodiscard]] bool is_defined() const { return top_ <= largest<double> && top_ >= -largest<double>; }
    /// NaN if any element is.
    [[nodiscard]] double maximum() const { return top_; }

    /// (maximum − x)/T
    [[nodiscard]] XSOFTMAX_COLD scaled distance(std::size_t i) const
    {
        if (at(i) == top_) return scaled(0.0);
        if (at(i) == -infinity<double> || temperature_ == 0) return scaled(infinity<double>);
        return (scaled(top_) - scaled(at(i))) / scaled(temperature_);
    }
    [[nodiscard]] scaled exponential(std::size_t i) const { return exponential_of_minus(distance(i)); }
    [[nodiscard]] scaled probability(std::size_t i) const { return exponential(i) / sum_; }
    /// 1 − probability(i), in which nothing cancels.
    [[nodiscard]] XSOFTMAX_COLD scaled complement(std::size_t i) const
    {
        return (at(i) == top_ ? others_ : sum_ - exponential(i)) / sum_;
    }
    /// log Σ exp((x − maximum)/T)
    [[nodiscard]] const scaled& logarithm() const { return logarithm_; }
    [[nodiscard]] scaled log_sum_exp() const
    {
        if (top_ == 0) return logarithm_;
        return (temperature_ == 0 ? scaled(top_ * infinity<double>) : scaled(top_) / scaled(temperature_)) + logarithm_;
    }

private:
    [[nodiscard]] double at(std::size_t i) const
    {
        return static_cast<double>(x_[static_cast<std::ptrdiff_t>(i) * step_]);
    }

    XSOFTMAX_COLD static double_double log_of(const scaled& x)
    {
        const double high = x.template to<double>(), low = ::ldexp(x.m.low, static_cast<int>(x.e));
        const double value = ::log(high);
        return fast_two_sum(value, ((::ldexp(x.m.high, static_cast<int>(x.e)) - high) + low) / high);
    }

    const T* x_;
    std::ptrdiff_t step_;
    double temperature_;
    double top_ = -infinity<double>;
    scaled others_, sum_, logarithm_;  ///< Σ exp((x − maximum)/T) of all but one maximum, and of all
};

/// What a loss is made of beside logits and targets.
struct loss_terms {
    double temperature;
    double z_loss;
    double_double gradient_scale;  ///< gradients are multiplied by it
};

/// Softmax or its logarithm of a rare row.
template <class T>
XSOFTMAX_COLD void rare_softmax(const T* x, std::ptrdiff_t step, std::size_t n, double temperature, T* to,
                                std::ptrdiff_t to_step, bool logarithms)
{
    const rare_row<T> row(x, step, n, temperature);
    for (std::size_t i = 0; i < n; ++i) {
        T& result = to[static_cast<std::ptrdiff_t>(i) * to_step];
        if (!row.is_defined())
            result = not_a_number<T>;
        else if (logarithms)
            result = (-(row.distance(i) + row.logarithm())).template to<T>();
        else
            result = row.probability(i).template to<T>();
    }
}

/// The target probabilities of a row; or, where there are none, a single class of a weight.
template <class T>
struct row_targets {
    const T* probabilities;
    std::size_t only = 0;
    double weight = 1;

    [[nodiscard]] double operator()(std::size_t i) const
    {
        if (probabilities != nullptr) return static_cast<double>(probabilities[i]);
        return i == only ? weight : 0;
    }
};

/// The loss of a rare row, and its gradient, times gradient_scale, unless `to` is null, which may be the logits.
template <class T>
XSOFTMAX_COLD double rare_loss(const T* x, std::ptrdiff_t step, std::size_t n, const row_targets<T>& t,
                               const loss_terms& terms, T* to, std::ptrdiff_t to_step)
{
    const rare_row<T> row(x, step, n, terms.temperature);
    if (!row.is_defined()) {
        for (std::size_t i = 0; to != nullptr && i < n; ++i)
            to[static_cast<std::ptrdiff_t>(i) * to_step] = not_a_number<T>;
        return not_a_number<double>;
    }
    // Beside the largest target, what others sum to would be lost of their sum.
    std::size_t largest_at = 0;
    for (std::size_t i = 1; i < n; ++i)
        if (t(i) > t(largest_at)) largest_at = i;
    scaled loss, rest;
    for (std::size_t i = 0; i < n; ++i) {
        const scaled weight(t(i));
        if (weight.m.high == 0) continue;  // adds 0 whatever its logit
        loss = loss + weight * (row.distance(i) + row.logarithm());
        if (i != largest_at) rest = rest + weight;
    }
    const scaled total = n == 0 ? rest : rest + scaled(t(largest_at));
    const scaled z(terms.z_loss), all = row.log_sum_exp();
    if (terms.z_loss != 0) loss = loss + z * all * all;
    const scaled of_z = terms.z_loss == 0 ? scaled(0.0) : scaled(2.0) * z * all;
    const scaled factor = scaled(terms.gradient_scale) / scaled(terms.temperature);
    // Probabilities are read from the logits until they are written over.
    for (std::size_t i = 0; to != nullptr && i < n; ++i) {
        const scaled own(t(i)), p = row.probability(i);
        // (Σ t)·p − t = (Σ other t)·p − t·(1 − p); what is multiplied by a probability of 0 is 0.
        scaled gradient = -(own * row.complement(i));
        if (p.m.high != 0) gradient = (i == largest_at ? rest : total - own) * p + gradient + of_z * p;
        to[static_cast<std::ptrdiff_t>(i) * to_step] = (gradient * factor).template to<T>();
    }
    return loss.template to<double>();
}

/// log Σ exp(x/T) of a rare row.
template <class T>
XSOFTMAX_COLD double rare_log_sum_exp(const T* x, std::ptrdiff_t step, std::size_t n, double temperature)
{
    const rare_row<T> row(x, step, n, temperature);
    return row.is_defined() ? row.log_sum_exp().template to<double>() : row.maximum();
}

/// The backward passes of a rare row, as in backward.hpp.
template <class T>
XSOFTMAX_COLD void rare_softmax_backward(const T* p, std::ptrdiff_t p_step, const T* u, std::ptrdiff_t u_step, T* to,
                                         std::ptrdiff_t to_step, std::size_t n, double temperature)
{
    const auto p_at = [&](std::size_t i) {
        return static_cast<double>(p[static_cast<std::ptrdiff_t>(i) * p_step]);
    };
    const auto u_at = [&](std::size_t i) {
        return static_cast<double>(u[static_cast<std::ptrdiff_t>(i) * u_step]);
    };
    scaled mean;
    for (std::size_t i = 0; i < n; ++i) mean = mean + scaled(p_at(i)) * scaled(u_at(i));
    for (std::size_t i = 0; i < n; ++i)
        to[static_cast<std::ptrdiff_t>(i) * to_step] =
            (scaled(p_at(i)) * (scaled(u_at(i)) - mean) / scaled(temperature)).template to<T>();
}

template <class T>
XSOFTMAX_COLD void rare_log_softmax_backward(const T* y, std::ptrdiff_t y_step, const T* u, std::ptrdiff_t u_step,
                                             T* to, std::ptrdiff_t to_step, std::size_t n, double temperature)
{
    const auto y_at = [&](std::size_t i) {
        return static_cast<double>(y[static_cast<std::ptrdiff_t>(i) * y_step]);
    };
    const auto u_at = [&](std::size_t i) {
        return static_cast<double>(u[static_cast<std::ptrdiff_t>(i) * u_step]);
    };
    scaled all, elsewhere;
    std::size_t dominant = n, count = 0;
    for (std::size_t i = 0; i < n; ++i) {
        all = all + scaled(u_at(i));
        if (y_at(i) > -ln_2.high) {
            ++count;
            dominant = y_at(i) <= 0x1p-10 ? i : n;
        }
        else
            elsewhere = elsewhere + scaled(u_at(i));
    }
    for (std::size_t i = 0; i < n; ++i) {
        scaled gradient;
        if (count == 1 && i == dominant)
            gradient = -elsewhere - scaled(::expm1(y_at(i))) * all;
        else
            gradient =
                scaled(u_at(i)) - (y_at(i) > 0 ? scaled(::exp(y_at(i))) : exponential_of_minus(scaled(-y_at(i)))) * all;
        to[static_cast<std::ptrdiff_t>(i) * to_step] = (gradient / scaled(temperature)).template to<T>();
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
