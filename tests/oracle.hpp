#pragma once

/// What the library's results are held against: the definitions in long double, without cancellation, and the distance
/// from them in units in the last place.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace oracle {

/// Σ terms, pairwise: the oracle's own rounding stays below 2^-58 at 2^24 terms.
inline long double pairwise_sum(std::span<const long double> terms)
{
    if (terms.size() <= 8) {
        long double sum = 0;
        for (const long double term : terms) sum += term;
        return sum;
    }
    const std::size_t half = terms.size() / 2;
    return pairwise_sum(terms.first(half)) + pairwise_sum(terms.subspan(half));
}

/// One row at a temperature > 0, with a finite maximum.
template <class T>
class row {
public:
    row(std::span<const T> logits, double temperature) : logits_(logits), temperature_(temperature)
    {
        maximum_ = *std::max_element(logits.begin(), logits.end());
        exponentials_.reserve(logits.size());
        std::vector<long double> others;
        others.reserve(logits.size());
        for (const T x : logits) {
            exponentials_.push_back(exponential(x));
            if (x == maximum_)
                ++winners_;
            else
                others.push_back(exponentials_.back());
        }
        others_ = pairwise_sum(others);
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
        std::vector<long double> terms;
        for (std::size_t i = 0; i < targets.size(); ++i)
            if (targets[i] != 0) terms.push_back(targets[i] * cross_entropy(i));
        return pairwise_sum(terms);
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
        const long double rest =
            (std::fma(-argument, static_cast<long double>(temperature_), apart) + apart_rest) / temperature_;
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
    int exponent = limits::min_exponent;
    if (x != 0) std::frexp(x, &exponent);
    return std::ldexp(1.0L, std::max(exponent, limits::min_exponent) - limits::digits);
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
