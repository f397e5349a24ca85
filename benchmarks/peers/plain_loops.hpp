#pragma once

/// What one writes without this library: three plain loops over somebody's vectorised exponential, with scalar loops for
/// the remainders. The maximum is subtracted; nothing else is done for accuracy or for special values.

#include "../suite/contender.hpp"
#include "rows.hpp"

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

namespace benchmarks {

struct xsimd_exp {
    template <class T>
    xsimd::batch<T> operator()(const xsimd::batch<T>& x) const
    {
        return xsimd::exp(x);
    }
};

/// Exp is a function object on batches of T.
template <class Exp, class T>
class plain_loops {
    using batch = xsimd::batch<T>;
    using row = row_operands<T>;

public:
    static call prepare(const problem<T>& p)
    {
        switch (p.operation) {
            case operation::softmax: return for_rows(p, [](const row& r) { softmax(r.first, r.output); });
            case operation::log_softmax: return for_rows(p, [](const row& r) { log_softmax(r); });
            case operation::log_sum_exp: return for_rows(p, [](const row& r) { r.value = log_sum_exp(r.first); });
            case operation::cross_entropy:
            case operation::cross_entropy_losses:
                return for_rows(p, [](const row& r) { r.value = log_sum_exp(r.first) - r.first[r.target]; });
            case operation::cross_entropy_gradient: return for_rows(p, [](const row& r) { cross_entropy_gradient(r); });
            case operation::cross_entropy_targets_gradient:
                return for_rows(p, [](const row& r) { cross_entropy_targets_gradient(r); });
            case operation::softmax_backward: return for_rows(p, [](const row& r) { softmax_backward(r); });
            case operation::log_softmax_backward: return for_rows(p, [](const row& r) { log_softmax_backward(r); });
            case operation::exp_map:
                return for_rows(p, [](const row& r) { store_exponentials(r.first, T(0), r.output); });
            default: return {};
        }
    }

    static void softmax(std::span<const T> logits, std::span<T> probabilities)
    {
        const T sum = store_exponentials(logits, maximum(logits), probabilities);
        scale(probabilities, 1 / sum);
    }

private:
    static batch load(const T* at) { return batch::load_unaligned(at); }

    static T sum_of_lanes(const batch& x)
    {
        if constexpr (requires { reduce_add(x); })
            return reduce_add(x);
        else
            return hadd(x);  // its name in xsimd 8.1
    }

    static T largest_lane(const batch& x)
    {
        if constexpr (requires { reduce_max(x); }) {
            return reduce_max(x);
        }
        else {  // xsimd 8.1 has none
            alignas(batch) T lanes[batch::size];
            x.store_aligned(lanes);
            return *std::max_element(std::begin(lanes), std::end(lanes));
        }
    }

    /// How many of n elements fill whole batches.
    static std::size_t whole_batches(std::size_t n) { return n - n % batch::size; }

    static T maximum(std::span<const T> logits)
    {
        const std::size_t n = logits.size(), whole = whole_batches(n);
        batch largest(-std::numeric_limits<T>::infinity());
        for (std::size_t i = 0; i < whole; i += batch::size) largest = xsimd::max(largest, load(&logits[i]));
        T result = largest_lane(largest);
        for (std::size_t i = whole; i < n; ++i) result = std::max(result, logits[i]);
        return result;
    }

    /// Σ exp(x − top)
    static T sum_of_exponentials(std::span<const T> logits, T top)
    {
        const std::size_t n = logits.size(), whole = whole_batches(n);
        batch sums(T(0));
        for (std::size_t i = 0; i < whole; i += batch::size) sums += Exp{}(batch(load(&logits[i]) - top));
        T sum = sum_of_lanes(sums);
        for (std::size_t i = whole; i < n; ++i) sum += std::exp(logits[i] - top);
        return sum;
    }

    /// The same, and the exponentials are stored.
    static T store_exponentials(std::span<const T> logits, T top, std::span<T> exponentials)
    {
        const std::size_t n = logits.size(), whole = whole_batches(n);
        batch sums(T(0));
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const batch e = Exp{}(batch(load(&logits[i]) - top));
            e.store_unaligned(&exponentials[i]);
            sums += e;
        }
        T sum = sum_of_lanes(sums);
        for (std::size_t i = whole; i < n; ++i) {
            exponentials[i] = std::exp(logits[i] - top);
            sum += exponentials[i];
        }
        return sum;
    }

    static void scale(std::span<T> row, T factor)
    {
        const std::size_t n = row.size(), whole = whole_batches(n);
        for (std::size_t i = 0; i < whole; i += batch::size) (load(&row[i]) * factor).store_unaligned(&row[i]);
        for (std::size_t i = whole; i < n; ++i) row[i] *= factor;
    }

    static T log_sum_exp(std::span<const T> logits)
    {
        const T top = maximum(logits);
        return top + std::log(sum_of_exponentials(logits, top));
    }

    static void log_softmax(const row& r)
    {
        const std::size_t n = r.first.size(), whole = whole_batches(n);
        const T normalizer = log_sum_exp(r.first);
        for (std::size_t i = 0; i < whole; i += batch::size)
            (load(&r.first[i]) - normalizer).store_unaligned(&r.output[i]);
        for (std::size_t i = whole; i < n; ++i) r.output[i] = r.first[i] - normalizer;
    }

    static void cross_entropy_gradient(const row& r)
    {
        const T top = maximum(r.first);
        const T sum = store_exponentials(r.first, top, r.output);
        scale(r.output, 1 / sum);
        r.output[r.target] -= 1;
        r.value = top + std::log(sum) - r.first[r.target];
    }

    /// Takes the targets to sum to 1.
    static void cross_entropy_targets_gradient(const row& r)
    {
        const std::size_t n = r.first.size(), whole = whole_batches(n);
        const T top = maximum(r.first);
        const T sum = store_exponentials(r.first, top, r.output);
        const T factor = 1 / sum, normalizer = top + std::log(sum);
        batch losses(T(0));
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const batch t = load(&r.second[i]);
            losses += t * (normalizer - load(&r.first[i]));
            (load(&r.output[i]) * factor - t).store_unaligned(&r.output[i]);
        }
        T loss = sum_of_lanes(losses);
        for (std::size_t i = whole; i < n; ++i) {
            loss += r.second[i] * (normalizer - r.first[i]);
            r.output[i] = r.output[i] * factor - r.second[i];
        }
        r.value = loss;
    }

    /// p·(u − Σ p·u)
    static void softmax_backward(const row& r)
    {
        const std::size_t n = r.first.size(), whole = whole_batches(n);
        batch sums(T(0));
        for (std::size_t i = 0; i < whole; i += batch::size) sums += load(&r.first[i]) * load(&r.second[i]);
        T sum = sum_of_lanes(sums);
        for (std::size_t i = whole; i < n; ++i) sum += r.first[i] * r.second[i];
        for (std::size_t i = 0; i < whole; i += batch::size)
            (load(&r.first[i]) * (load(&r.second[i]) - sum)).store_unaligned(&r.output[i]);
        for (std::size_t i = whole; i < n; ++i) r.output[i] = r.first[i] * (r.second[i] - sum);
    }

    /// u − exp(y)·Σ u
    static void log_softmax_backward(const row& r)
    {
        const std::size_t n = r.first.size(), whole = whole_batches(n);
        batch sums(T(0));
        for (std::size_t i = 0; i < whole; i += batch::size) sums += load(&r.second[i]);
        T sum = sum_of_lanes(sums);
        for (std::size_t i = whole; i < n; ++i) sum += r.second[i];
        for (std::size_t i = 0; i < whole; i += batch::size)
            (load(&r.second[i]) - Exp{}(load(&r.first[i])) * sum).store_unaligned(&r.output[i]);
        for (std::size_t i = whole; i < n; ++i) r.output[i] = r.second[i] - std::exp(r.first[i]) * sum;
    }
};

}  // namespace benchmarks

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
