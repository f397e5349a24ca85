#pragma once

/// The textbook algorithms in plain scalar C++: what the functions of this library mean, readable as their definition.
///
/// They define and do not compete: every difference, exponential, logarithm and sum is rounded to the row's type T
/// (float or double), so that errors are tens of ULP where logits are far apart, and grow with the length of the row.
/// They check nothing: lengths, overlaps and options must be what the library's functions demand.
///
/// T is named by the caller, reference::softmax<float>(logits, probabilities), so that any contiguous range converts.

#include "kernels/target.hpp"
#include "options.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace xsoftmax::reference {
inline namespace XSOFTMAX_TARGET {

namespace detail {

/// a/temperature, with 0/0 = 0: the maximum is at distance 0 of itself at temperature 0 as well.
template <class T>
[[nodiscard]] T over(T a, double temperature)
{
    return a == 0 ? T(0) : static_cast<T>(static_cast<double>(a) / temperature);
}

/// The largest element; −inf for an empty row, NaN if any element is.
template <class T>
[[nodiscard]] T maximum(std::span<const T> row)
{
    T largest = -std::numeric_limits<T>::infinity();
    for (const T x : row)
        if (x > largest || std::isnan(x)) largest = x;
    return largest;
}

/// Σ_j exp((x[j] − maximum)/temperature)
template <class T>
[[nodiscard]] T sum_of_exponentials(std::span<const T> row, T maximum, double temperature)
{
    T sum = 0;
    for (const T x : row) sum += std::exp(over(x - maximum, temperature));
    return sum;
}

}  // namespace detail

/// Softmax: p[i] = exp((x[i] − max x)/T) / Σ_j exp((x[j] − max x)/T).
///
/// `probabilities` may be the logits. T = 0 is the limit: the maxima share the mass.
/// Error: that of the rounded difference, |x[i] − max x|/(2T) ULP, and that of the sum, up to n/2 ULP.
template <class T>
void softmax(std::span<const T> logits, std::span<T> probabilities, softmax_options options = {})
{
    const T maximum = detail::maximum(logits);
    const T sum = detail::sum_of_exponentials(logits, maximum, options.temperature);
    for (std::size_t i = 0; i < logits.size(); ++i)
        probabilities[i] = std::exp(detail::over(logits[i] - maximum, options.temperature)) / sum;
}

/// Logarithm of softmax: y[i] = (x[i] − max x)/T − log Σ_j exp((x[j] − max x)/T).
///
/// `log_probabilities` may be the logits. T = 0 is the limit: −log(how many) at the maxima, −inf elsewhere.
/// Error: that of the sum, up to n/2 units in the last place of 1. A winner far ahead of the others gets 0, as their
/// exponentials vanish beside its own.
template <class T>
void log_softmax(std::span<const T> logits, std::span<T> log_probabilities, softmax_options options = {})
{
    const T maximum = detail::maximum(logits);
    const T log_sum = std::log(detail::sum_of_exponentials(logits, maximum, options.temperature));
    for (std::size_t i = 0; i < logits.size(); ++i)
        log_probabilities[i] = detail::over(logits[i] - maximum, options.temperature) - log_sum;
}

/// Logarithm of the sum of exponentials: max x/T + log Σ_i exp((x[i] − max x)/T).
///
/// −inf for an empty row. T = 0 is the limit: ±inf by the sign of the maximum, or log(how many zeros) where it is 0.
/// Error: that of the sum, up to n/2 units in the last place of 1; where max x/T is negative the two terms may cancel.
template <class T>
[[nodiscard]] T log_sum_exp(std::span<const T> logits, softmax_options options = {})
{
    const T maximum = detail::maximum(logits);
    if (std::isinf(maximum)) return maximum;
    return detail::over(maximum, options.temperature) +
           std::log(detail::sum_of_exponentials(logits, maximum, options.temperature));
}

/// Cross-entropy with a class: −log softmax(x/T)[target] = log Σ_j exp((x[j] − max x)/T) − (x[target] − max x)/T.
///
/// Error: as for log_softmax.
template <class T>
T softmax_cross_entropy(std::span<const T> logits, std::size_t target, cross_entropy_options<T> options = {})
{
    const T maximum = detail::maximum(logits);
    return std::log(detail::sum_of_exponentials(logits, maximum, options.temperature)) -
           detail::over(logits[target] - maximum, options.temperature);
}

/// The same loss, and its gradient: (softmax(x/T)[i] − (i = target ? 1 : 0))/T.
///
/// `gradient` may be the logits.
/// Error: as for softmax; at the target, p − 1 keeps only the digits that p had behind the point.
template <class T>
T softmax_cross_entropy(std::span<const T> logits, std::size_t target, std::span<T> gradient,
                        cross_entropy_options<T> options = {})
{
    const T loss = softmax_cross_entropy(logits, target, options);
    reference::softmax(logits, gradient, {options.temperature});
    for (std::size_t i = 0; i < gradient.size(); ++i)
        gradient[i] = detail::over(gradient[i] - T(i == target ? 1 : 0), options.temperature);
    return loss;
}

/// Cross-entropy with target probabilities: −Σ_i t[i]·log softmax(x/T)[i], in which t[i] = 0 adds 0.
///
/// 0 for an empty row.
/// Error: as for log_softmax, and that of the sum over the targets.
template <class T>
T softmax_cross_entropy(std::span<const T> logits, std::span<const T> targets, cross_entropy_options<T> options = {})
{
    const T maximum = detail::maximum(logits);
    const T log_sum = std::log(detail::sum_of_exponentials(logits, maximum, options.temperature));
    T loss = logits.empty() ? T(0) : log_sum * 0;  // NaN also where every target is 0
    for (std::size_t i = 0; i < logits.size(); ++i)
        if (targets[i] != 0) loss -= targets[i] * (detail::over(logits[i] - maximum, options.temperature) - log_sum);
    return loss;
}

/// The same loss, and its gradient: ((Σ_j t[j])·softmax(x/T)[i] − t[i])/T.
///
/// `gradient` may be the logits.
/// Error: as for softmax, relative to the larger of the two terms that are subtracted.
template <class T>
T softmax_cross_entropy(std::span<const T> logits, std::span<const T> targets, std::span<T> gradient,
                        cross_entropy_options<T> options = {})
{
    const T loss = softmax_cross_entropy(logits, targets, options);
    T sum = 0;
    for (const T t : targets) sum += t;
    reference::softmax(logits, gradient, {options.temperature});
    for (std::size_t i = 0; i < gradient.size(); ++i)
        gradient[i] = detail::over(sum * gradient[i] - targets[i], options.temperature);
    return loss;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::reference
