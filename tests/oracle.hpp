#pragma once

/// What the library's results are held against: the definitions in long double, without cancellation, and the distance
/// from them in units in the last place.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace oracle {

/// Σ term(i) for i in [first, last), pairwise: the oracle's own rounding stays below 2^-58 at 2^24 terms.
template <class Term>
long double pairwise_sum(std::size_t first, std::size_t last, const Term& term)
{
    if (last - first <= 8) {
        long double sum = 0;
        for (std::size_t i = first; i < last; ++i) sum += term(i);
        return sum;
    }
    const std::size_t middle = first + (last - first) / 2;
    return pairwise_sum(first, middle, term) + pairwise_sum(middle, last, term);
}

inline long double pairwise_sum(std::span<const long double> terms)
{
    return pairwise_sum(0, terms.size(), [=](std::size_t i) { return terms[i]; });
}

/// a·b − product, exactly, where product is a·b rounded (Dekker, Numer. Math. 18, 1971). std::fma of long double takes five
/// times as long: C libraries do it in software. Where a factor overflows the result is NaN.
inline long double product_error(long double a, long double b, long double product)
{
    constexpr int digits = std::numeric_limits<long double>::digits;
    constexpr long double splitter = static_cast<long double>(std::uint64_t{1} << (digits + 1) / 2) + 1;
    const auto upper_half = [=](long double x) {
        const long double c = splitter * x;
        return c - (c - x);
    };
    const long double a_up = upper_half(a), a_low = a - a_up, b_up = upper_half(b), b_low = b - b_up;
    return ((a_up * b_up - product) + a_up * b_low + a_low * b_up) + a_low * b_low;
}

/// One row at a temperature > 0, with a finite maximum.
template <class T>
class row {
public:
    row(std::span<const T> logits, double temperature) : logits_(logits), temperature_(temperature)
    {
        maximum_ = *std::max_element(logits.begin(), logits.end());
        exponentials_.reserve(logits.size());
        for (const T x : logits) {
            exponentials_.push_back(exponential(x));
            if (x == maximum_) ++winners_;
        }
        others_ =
            pairwise_sum(0, logits.size(), [&](std::size_t i) { return logits[i] == maximum_ ? 0 : exponentials_[i]; });
        sum_ = others_ + static_cast<long double>(winners_);
        // winners − 1 first: where one element wins, the others may be far below the last bit of 1.
        log_sum_ = std::log1p(others_ + static_cast<long double>(winners_ - 1));
    }

    long double softmax(std::size_t i) const { return exponentials_[i] / sum_; }
    long double log_softmax(std::size_t i) const { return difference(logits_[i]) - log_sum_; }
    long double log_sum_exp() const { return top() + log_sum_; }
    /// maximum/T
    long double top() const { return static_cast<long double>(maximum_) / temperature_; }
    long double cross_entropy(std::size_t target) const { return log_sum_ - difference(logits_[target]); }

    long double cross_entropy_gradient(std::size_t i, std::size_t target) const
    {
        if (i != target) return softmax(i) / temperature_;
        const bool alone = logits_[i] == maximum_ && winners_ == 1;
        return -(alone ? others_ : sum_ - exponentials_[i]) / sum_ / temperature_;
    }

    long double cross_entropy(std::span<const T> targets) const
    {
        return pairwise_sum(0, targets.size(),
                            [&](std::size_t i) { return targets[i] != 0 ? targets[i] * cross_entropy(i) : 0; });
    }

    /// (Σ t)·p − t at i, given Σ t; where p > 1/2 from the other targets, so that nothing cancels.
    long double cross_entropy_gradient(std::size_t i, std::span<const T> targets, long double target_sum) const
    {
        if (softmax(i) <= 0.5L) return (target_sum * softmax(i) - targets[i]) / temperature_;
        long double elsewhere = 0;
        for (std::size_t k = 0; k < targets.size(); ++k)
            if (k != i) elsewhere += targets[k];
        return (elsewhere - target_sum * others_ / sum_) / temperature_;
    }

private:
    /// exp((x − maximum)/T). What rounding the argument took from it is given back: at −700 it would be 0.3 ULP of a double.
    long double exponential(T x) const
    {
        const long double top = maximum_, apart = x - top, x_seen = apart + top;
        const long double apart_rest = (x - x_seen) - (top - (x_seen - apart));
        const long double argument = difference(x);
        const long double product = argument * temperature_;
        const long double quotient_rest = (apart - product) - product_error(argument, temperature_, product);
        const long double rest = (quotient_rest + apart_rest) / temperature_;
        const long double y = std::exp(argument);
        return std::isfinite(rest) ? y + y * rest : y;
    }

    long double difference(T x) const
    {
        return (static_cast<long double>(x) - static_cast<long double>(maximum_)) / temperature_;
    }

    std::span<const T> logits_;
    long double temperature_;
    T maximum_{};
    std::vector<long double> exponentials_;
    std::size_t winners_ = 0;
    long double others_ = 0;
    long double sum_ = 0;
    long double log_sum_ = 0;
};

/// One unit in the last place of T at x.
template <class T>
long double ulp(long double x)
{
    using limits = std::numeric_limits<T>;
    const long double size = std::abs(x);
    const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(size));
    // By the bits of a double, where they do: std::frexp and std::ldexp take as long as the rest of a comparison. A size just
    // below a power of 2 was rounded to it.
    int exponent = static_cast<int>(bits >> 52) - 1022;
    if (exponent > 1023)
        std::frexp(size, &exponent);
    else if (std::bit_cast<double>(bits) > size && (bits << 12) == 0)
        --exponent;
    const int power = std::max(exponent, limits::min_exponent) - limits::digits;
    if (power >= -1022 && power <= 1023) return std::bit_cast<double>(static_cast<std::uint64_t>(power + 1023) << 52);
    return std::ldexp(1.0L, power);
}

/// |got − expected| in units in the last place of `scale`; infinite where one is NaN or infinite and the other is not.
template <class T>
double ulp_error(long double expected, T got, long double scale)
{
    if (std::isnan(expected) || std::isnan(got))
        return std::isnan(expected) && std::isnan(got) ? 0 : std::numeric_limits<double>::infinity();
    const T rounded = static_cast<T>(expected);
    if (rounded == got) return std::isinf(got) ? 0 : static_cast<double>(std::abs(got - expected) / ulp<T>(scale));
    if (std::isinf(got) || std::isinf(rounded)) return std::numeric_limits<double>::infinity();
    return static_cast<double>(std::abs(got - expected) / ulp<T>(scale));
}

template <class T>
double ulp_error(long double expected, T got)
{
    return ulp_error(expected, got, expected);
}

}  // namespace oracle
