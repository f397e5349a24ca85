#pragma once

/// What a user of xsimd writes without this library: three plain loops over xsimd::exp, with scalar loops for the
/// remainders. The maximum is subtracted; nothing else is done for accuracy or for special values.

#include <xsimd/xsimd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>
#include <span>

// g++ 12 takes the undefined operand of its own AVX-512 intrinsics for a mistake of their users (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace benchmarks::naive_xsimd {

template <class T>
T sum_of_lanes(const xsimd::batch<T>& x)
{
    if constexpr (requires { reduce_add(x); })
        return reduce_add(x);
    else
        return hadd(x);  // its name in xsimd 8.1
}

template <class T>
T largest_lane(const xsimd::batch<T>& x)
{
    if constexpr (requires { reduce_max(x); }) {
        return reduce_max(x);
    }
    else {  // xsimd 8.1 has none
        alignas(xsimd::batch<T>) T lanes[xsimd::batch<T>::size];
        x.store_aligned(lanes);
        return *std::max_element(std::begin(lanes), std::end(lanes));
    }
}

/// How many of n elements fill whole batches.
template <class T>
constexpr std::size_t whole_batches(std::size_t n)
{
    return n - n % xsimd::batch<T>::size;
}

template <class T>
T row_maximum(std::span<const T> logits)
{
    using batch = xsimd::batch<T>;
    const std::size_t n = logits.size();
    const std::size_t whole = whole_batches<T>(n);
    batch largest(-std::numeric_limits<T>::infinity());
    for (std::size_t i = 0; i < whole; i += batch::size)
        largest = xsimd::max(largest, batch::load_unaligned(logits.data() + i));
    T maximum = largest_lane(largest);
    for (std::size_t i = whole; i < n; ++i) maximum = std::max(maximum, logits[i]);
    return maximum;
}

/// Σ exp(x − max x)
template <class T>
T sum_of_exponentials(std::span<const T> logits, T maximum)
{
    using batch = xsimd::batch<T>;
    const std::size_t n = logits.size();
    const std::size_t whole = whole_batches<T>(n);
    batch sums(T(0));
    for (std::size_t i = 0; i < whole; i += batch::size)
        sums += xsimd::exp(batch::load_unaligned(logits.data() + i) - maximum);
    T sum = sum_of_lanes(sums);
    for (std::size_t i = whole; i < n; ++i) sum += std::exp(logits[i] - maximum);
    return sum;
}

/// The same, and the exponentials are stored.
template <class T>
T store_exponentials(std::span<const T> logits, T maximum, std::span<T> exponentials)
{
    using batch = xsimd::batch<T>;
    const std::size_t n = logits.size();
    const std::size_t whole = whole_batches<T>(n);
    batch sums(T(0));
    for (std::size_t i = 0; i < whole; i += batch::size) {
        const batch e = xsimd::exp(batch::load_unaligned(logits.data() + i) - maximum);
        e.store_unaligned(exponentials.data() + i);
        sums += e;
    }
    T sum = sum_of_lanes(sums);
    for (std::size_t i = whole; i < n; ++i) {
        exponentials[i] = std::exp(logits[i] - maximum);
        sum += exponentials[i];
    }
    return sum;
}

template <class T>
void scale(std::span<T> row, T factor)
{
    using batch = xsimd::batch<T>;
    const std::size_t n = row.size();
    const std::size_t whole = whole_batches<T>(n);
    for (std::size_t i = 0; i < whole; i += batch::size)
        (batch::load_unaligned(row.data() + i) * factor).store_unaligned(row.data() + i);
    for (std::size_t i = whole; i < n; ++i) row[i] *= factor;
}

template <class T>
void softmax(std::span<const T> logits, std::span<T> probabilities)
{
    const T sum = store_exponentials(logits, row_maximum(logits), probabilities);
    scale(probabilities, 1 / sum);
}

template <class T>
T log_sum_exp(std::span<const T> logits)
{
    const T maximum = row_maximum(logits);
    return maximum + std::log(sum_of_exponentials(logits, maximum));
}

template <class T>
void log_softmax(std::span<const T> logits, std::span<T> log_probabilities)
{
    using batch = xsimd::batch<T>;
    const std::size_t n = logits.size();
    const std::size_t whole = whole_batches<T>(n);
    const T normalizer = log_sum_exp(logits);
    for (std::size_t i = 0; i < whole; i += batch::size)
        (batch::load_unaligned(logits.data() + i) - normalizer).store_unaligned(log_probabilities.data() + i);
    for (std::size_t i = whole; i < n; ++i) log_probabilities[i] = logits[i] - normalizer;
}

template <class T>
T softmax_cross_entropy(std::span<const T> logits, std::size_t target)
{
    return log_sum_exp(logits) - logits[target];
}

template <class T>
T softmax_cross_entropy(std::span<const T> logits, std::size_t target, std::span<T> gradient)
{
    const T maximum = row_maximum(logits);
    const T target_logit = logits[target];
    const T sum = store_exponentials(logits, maximum, gradient);
    scale(gradient, 1 / sum);
    gradient[target] -= 1;
    return maximum + std::log(sum) - target_logit;
}

/// Takes the targets to sum to 1.
template <class T>
T softmax_cross_entropy(std::span<const T> logits, std::span<const T> targets, std::span<T> gradient)
{
    using batch = xsimd::batch<T>;
    const std::size_t n = logits.size();
    const std::size_t whole = whole_batches<T>(n);
    const T maximum = row_maximum(logits);
    const T sum = store_exponentials(logits, maximum, gradient);
    const T factor = 1 / sum;
    const T normalizer = maximum + std::log(sum);
    batch losses(T(0));
    for (std::size_t i = 0; i < whole; i += batch::size) {
        const batch t = batch::load_unaligned(targets.data() + i);
        losses += t * (normalizer - batch::load_unaligned(logits.data() + i));
        (batch::load_unaligned(gradient.data() + i) * factor - t).store_unaligned(gradient.data() + i);
    }
    T loss = sum_of_lanes(losses);
    for (std::size_t i = whole; i < n; ++i) {
        loss += targets[i] * (normalizer - logits[i]);
        gradient[i] = gradient[i] * factor - targets[i];
    }
    return loss;
}

/// gradient = upstream − exp(log_probabilities)·sum, given the sum, for a multiple of a vector's elements.
template <class T>
void log_softmax_backward(std::span<const T> log_probabilities, std::span<const T> upstream, T sum,
                          std::span<T> gradient)
{
    using batch = xsimd::batch<T>;
    for (std::size_t i = 0; i < whole_batches<T>(gradient.size()); i += batch::size) {
        const batch p = xsimd::exp(batch(batch::load_unaligned(log_probabilities.data() + i)));
        (batch::load_unaligned(upstream.data() + i) - p * sum).store_unaligned(gradient.data() + i);
    }
}

}  // namespace benchmarks::naive_xsimd

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
