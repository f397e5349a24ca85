#pragma once

/// What one writes without this library: three plain loops over somebody's vectorised exponential, four batches at a time,
/// the last batch padded (by this library's loads and stores of a part, which are the quickest). The maximum is subtracted;
/// nothing else is done for accuracy or for special values.

#include "../suite/contender.hpp"
#include "rows.hpp"

#include <xsimd/xsimd.hpp>
#include <xsoftmax/kernels/lanes/batch.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
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

/// Exp is a function object on batches of T. In an unnamed namespace, it keeps everything here within its file: another file,
/// compiled for another instruction set, shares nothing with it.
template <class Exp, class T>
class plain_loops {
    using batch = xsimd::batch<T>;
    using row = row_operands<T>;

public:
    /// Does the operation with each row of a problem<T>, which is its state; null for what there is not.
    using function = void (*)(const void* problem);

    static constexpr function of(operation what)
    {
        switch (what) {
            case operation::softmax: return each_row<softmax_row>;
            case operation::log_softmax: return each_row<log_softmax>;
            case operation::log_sum_exp: return each_row<log_sum_exp_row>;
            case operation::cross_entropy:
            case operation::cross_entropy_losses: return each_row<cross_entropy>;
            case operation::cross_entropy_gradient: return each_row<cross_entropy_gradient>;
            case operation::cross_entropy_targets_gradient: return each_row<cross_entropy_targets_gradient>;
            case operation::softmax_backward: return each_row<softmax_backward>;
            case operation::log_softmax_backward: return each_row<log_softmax_backward>;
            case operation::exp_map: return each_row<exp_map>;
            default: return nullptr;
        }
    }

    static call prepare(const problem<T>& p)
    {
        const function f = of(p.operation);
        return f == nullptr || p.of.inner != 1 ? call{} : call{f, std::make_shared<const problem<T>>(p)};
    }

    static void softmax(std::span<const T> logits, std::span<T> probabilities)
    {
        const T sum = store_exponentials(logits, maximum(logits), probabilities);
        scale(probabilities, 1 / sum);
    }

private:
    template <void (*Do)(const row&)>
    static void each_row(const void* state)
    {
        const auto& p = *static_cast<const problem<T>*>(state);
        for (std::size_t r = 0; r < p.of.rows; ++r) Do(row_of(p, r));
    }

    // A batch, or the part of one that is left at the end of a row, with something harmless behind it.

    struct whole {
        batch load(const T* at, T) const { return batch::load_unaligned(at); }
        void store(T* at, const batch& x) const { x.store_unaligned(at); }
    };

    struct part {
        std::size_t count;

        batch load(const T* at, T padding) const { return xsoftmax::kernels::load_part(at, count, batch(padding)); }
        void store(T* at, const batch& x) const { xsoftmax::kernels::store_part(at, count, x); }
    };

    static constexpr T lowest = -std::numeric_limits<T>::infinity();

    /// Four results of a sweep, so that none waits for the one before.
    using results = batch[4];

    /// use(io, i, k, make(io, i, k)) for all of n elements: io is whole or part, i its first element, k which of the results it
    /// adds to. Four are made before any is used, since a load waits for the store before it whose address has the same last
    /// 12 bits: twice the time for a row of 4096 floats and another for its result.
    template <class Make, class Use>
    static void sweep(std::size_t n, Make make, Use use)
    {
        std::size_t i = 0;
        for (; n - i >= 4 * batch::size; i += 4 * batch::size) {
            batch made[4];
            for (std::size_t k = 0; k < 4; ++k) made[k] = make(whole{}, i + k * batch::size, k);
            for (std::size_t k = 0; k < 4; ++k) use(whole{}, i + k * batch::size, k, made[k]);
        }
        for (; n - i >= batch::size; i += batch::size)
            use(whole{}, i, std::size_t{0}, make(whole{}, i, std::size_t{0}));
        if (i < n) use(part{n - i}, i, std::size_t{1}, make(part{n - i}, i, std::size_t{1}));
    }

    /// Stores what is made of each element.
    template <class Make>
    static void store_each(std::span<T> to, Make make)
    {
        sweep(to.size(), make,
              [to = to.data()](auto io, std::size_t i, std::size_t, const batch& x)
                  XSOFTMAX_INLINE_LAMBDA { io.store(to + i, x); });
    }

    /// The sum of what is made of n elements.
    template <class Make>
    static T sum_of(std::size_t n, Make make)
    {
        results sums{batch(T(0)), batch(T(0)), batch(T(0)), batch(T(0))};
        sweep(n, make, [&](auto, std::size_t, std::size_t k, const batch& x) XSOFTMAX_INLINE_LAMBDA { sums[k] += x; });
        return total(sums);
    }

    static T total(const results& sums)
    {
        const batch x = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        if constexpr (requires { reduce_add(x); })
            return reduce_add(x);
        else
            return hadd(x);  // its name in xsimd 8.1
    }

    /// The elements themselves.
    static auto elements(const T* x, T padding)
    {
        return [=](auto io, std::size_t i, std::size_t) XSOFTMAX_INLINE_LAMBDA {
            return io.load(x + i, padding);
        };
    }

    /// exp(x − top)
    static auto exponentials(const T* x, T top)
    {
        return [=](auto io, std::size_t i, std::size_t) XSOFTMAX_INLINE_LAMBDA {
            return Exp{}(batch(io.load(x + i, lowest) - batch(top)));
        };
    }

    static T maximum(std::span<const T> logits)
    {
        results largest{batch(lowest), batch(lowest), batch(lowest), batch(lowest)};
        sweep(logits.size(), elements(logits.data(), lowest),
              [&](auto, std::size_t, std::size_t k, const batch& x)
                  XSOFTMAX_INLINE_LAMBDA { largest[k] = xsimd::max(largest[k], x); });
        const batch all = xsimd::max(xsimd::max(largest[0], largest[1]), xsimd::max(largest[2], largest[3]));
        if constexpr (requires { reduce_max(all); }) {
            return reduce_max(all);
        }
        else {  // xsimd 8.1 has none
            alignas(batch) T lanes[batch::size];
            all.store_aligned(lanes);
            for (std::size_t width = batch::size / 2; width > 0; width /= 2)
                for (std::size_t k = 0; k < width; ++k)
                    lanes[k] = lanes[k] < lanes[k + width] ? lanes[k + width] : lanes[k];
            return lanes[0];
        }
    }

    /// Σ exp(x − top), and the exponentials are stored.
    static T store_exponentials(std::span<const T> logits, T top, std::span<T> to)
    {
        results sums{batch(T(0)), batch(T(0)), batch(T(0)), batch(T(0))};
        const auto store_and_add = [&, to = to.data()](auto io, std::size_t i, std::size_t k, const batch& e)
                                       XSOFTMAX_INLINE_LAMBDA {
                                           io.store(to + i, e);
                                           sums[k] += e;
                                       };
        sweep(logits.size(), exponentials(logits.data(), top), store_and_add);
        return total(sums);
    }

    static void scale(std::span<T> values, T factor)
    {
        store_each(values, [factor, x = values.data()](auto io, std::size_t i, std::size_t)
                               XSOFTMAX_INLINE_LAMBDA { return io.load(x + i, T(0)) * batch(factor); });
    }

    static T log_sum_exp(std::span<const T> logits)
    {
        const T top = maximum(logits);
        return top + std::log(sum_of(logits.size(), exponentials(logits.data(), top)));
    }

    static void softmax_row(const row& r) { softmax(r.first, r.output); }

    static void log_sum_exp_row(const row& r) { r.value = log_sum_exp(r.first); }

    static void cross_entropy(const row& r) { r.value = log_sum_exp(r.first) - r.first[r.target]; }

    static void exp_map(const row& r) { store_exponentials(r.first, T(0), r.output); }

    static void log_softmax(const row& r)
    {
        const T normalizer = log_sum_exp(r.first);
        store_each(r.output, [normalizer, x = r.first.data()](auto io, std::size_t i, std::size_t)
                                 XSOFTMAX_INLINE_LAMBDA { return io.load(x + i, T(0)) - batch(normalizer); });
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
        const T top = maximum(r.first);
        const T sum = store_exponentials(r.first, top, r.output);
        const T factor = 1 / sum, normalizer = top + std::log(sum);
        const T *const x = r.first.data(), *const targets = r.second.data(), *const e = r.output.data();
        results losses{batch(T(0)), batch(T(0)), batch(T(0)), batch(T(0))};
        store_each(r.output, [&, factor, normalizer, x, targets, e](auto io, std::size_t i, std::size_t k)
                                 XSOFTMAX_INLINE_LAMBDA {
                                     const batch t = io.load(targets + i, T(0));
                                     losses[k] += t * (batch(normalizer) - io.load(x + i, T(0)));
                                     return batch(io.load(e + i, T(0)) * batch(factor) - t);
                                 });
        r.value = total(losses);
    }

    /// p·(u − Σ p·u)
    static void softmax_backward(const row& r)
    {
        const T *const p = r.first.data(), *const u = r.second.data();
        const T sum = sum_of(r.first.size(), [=](auto io, std::size_t i, std::size_t) XSOFTMAX_INLINE_LAMBDA {
            return io.load(p + i, T(0)) * io.load(u + i, T(0));
        });
        store_each(r.output, [=](auto io, std::size_t i, std::size_t) XSOFTMAX_INLINE_LAMBDA {
            return io.load(p + i, T(0)) * (io.load(u + i, T(0)) - batch(sum));
        });
    }

    /// u − exp(y)·Σ u
    static void log_softmax_backward(const row& r)
    {
        const T *const y = r.first.data(), *const u = r.second.data();
        const T sum = sum_of(r.first.size(), elements(u, T(0)));
        store_each(r.output, [=](auto io, std::size_t i, std::size_t) XSOFTMAX_INLINE_LAMBDA {
            return io.load(u + i, T(0)) - Exp{}(io.load(y + i, lowest)) * batch(sum);
        });
    }
};

}  // namespace benchmarks

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
