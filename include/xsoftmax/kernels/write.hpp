#pragma once

/// From the sums of rows to results: one writing sweep for each kind of result.
///
/// A kind, see way_of_writing, is the numbers that it needs for a row, as pointers to as many as there are rows, and
/// `reads_other`; its with_result makes of them what becomes of an exponential or a logit, and of what is in its place in
/// `other`, if it reads that. README.md has the steps to add one.

#include "row_sum.hpp"
#include "sum_row.hpp"

#include <algorithm>
#include <concepts>
#include <cstdint>

namespace xsoftmax::kernels {

/// e·(high + low): probabilities of exponentials, and gradients that are in proportion to them.
template <class T>
struct scaled_exponentials {
    static constexpr bool reads_other = false;
    const T* high;
    const T* low;
};

/// (x − maximum)/T − logarithm: log-probabilities of logits.
template <class T>
struct shifted_logits {
    static constexpr bool reads_other = false;
    const T* maximum;
    const T* minus_logarithm;
    T inverse_high, inverse_low;  ///< 1/T
};

/// e·(high + low) − t·(other_high + other_low): gradients of the cross-entropy with target probabilities t.
template <class T>
struct scaled_less_targets {
    static constexpr bool reads_other = true;
    const T* high;
    const T* low;
    T other_high, other_low;
};

inline namespace XSOFTMAX_TARGET {

/// run(result), with what makes results: of one row, or of the rows in the lanes of a batch, whose numbers `load` takes from
/// where the kind has them.
template <class B, class Load, class Run>
XSOFTMAX_INLINE void with_result(const scaled_exponentials<value_of<B>>& kind, const Load& load, const Run& run)
{
    run([high = load(kind.high), low = load(kind.low)](B e, B)
            XSOFTMAX_INLINE_LAMBDA { return compensated_product(e, high, low); });
}

template <class B, class Load, class Run>
XSOFTMAX_INLINE void with_result(const shifted_logits<value_of<B>>& kind, const Load& load, const Run& run)
{
    using T = value_of<B>;
    const B top = load(kind.maximum), minus_log = load(kind.minus_logarithm);
    // Both terms have the same sign, so nothing cancels.
    const auto distance = [top](B x) XSOFTMAX_INLINE_LAMBDA {
        return kept_together(B(x - top));
    };
    if (kind.inverse_high == T(1) && kind.inverse_low == T(0))
        return run([=](B x, B) XSOFTMAX_INLINE_LAMBDA { return B(distance(x) + minus_log); });
    run([=, high = B(kind.inverse_high), low = B(kind.inverse_low)](B x, B) XSOFTMAX_INLINE_LAMBDA {
        const B d = distance(x), plain = d * high + minus_log;
        // An infinite quotient stays what it is: the low part would make NaN of it.
        return B(where(plain < B(-largest<T>), plain, multiply_add(d, high, multiply_add(d, low, minus_log))));
    });
}

template <class B, class Load, class Run>
XSOFTMAX_INLINE void with_result(const scaled_less_targets<value_of<B>>& kind, const Load& load, const Run& run)
{
    run([high = load(kind.high), low = load(kind.low), other_high = B(kind.other_high), other_low = B(kind.other_low)](
            B e, B t) XSOFTMAX_INLINE_LAMBDA {
        return B(compensated_product(e, high, low) - compensated_product(t, other_high, other_low));
    });
}

/// A way of writing: pointers to a number for each row, and a with_result() for them.
template <class Kind, class B>
concept way_of_writing = requires(const Kind& kind, B (*load)(const value_of<B>* of_rows),
                                  void (*run)(B (*result)(B x, B other)))
{
    requires std::same_as<decltype(Kind::reads_other), const bool>;
    with_result<B>(kind, load, run);
};

/// Results of one row of n contiguous elements, `to` which may be what they are made of.
template <class B, bool ReadsOther, class Result>
XSOFTMAX_INLINE void write_row(const Result& result, const value_of<B>* x, const value_of<B>* other, value_of<B>* to,
                               std::size_t n)
{
    const B zero(value_of<B>(0));
    if (n < B::size) {
        B t = zero;
        if constexpr (ReadsOther) t = load_part(other, n, zero);
        return store_part(to, n, result(load_part(x, n, zero), t));
    }
    const auto at = [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
        B t = zero;
        if constexpr (ReadsOther) t = load_whole<B>(other + i);
        return result(load_whole<B>(x + i), t);
    };
    // The last vector overlaps the one before, which may take the place of what it is made of. Of storing a part of a vector
    // some processors make 40 steps.
    constexpr std::size_t vectors = ReadsOther ? block_size / 2 : block_size;
    const std::size_t last = n - B::size;
    const B end = at(last);
    if (n <= 2 * B::size) {
        store_whole(to, at(0));
        return store_whole(to + last, end);
    }
    std::size_t i = 0;
    for (; n - i >= vectors * B::size; i += vectors * B::size) {
        B block[vectors];
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < vectors; ++k) block[k] = at(i + k * B::size);
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < vectors; ++k) store_whole(to + i + k * B::size, block[k]);
    }
    for (; i < last; i += B::size) store_whole(to + i, at(i));
    store_whole(to + last, end);
}

/// Rows of n contiguous elements. `other` may be null where it is not read. With `padded`, whole vectors may be read at a row's
/// end of `from`, which is then apart from `to`.
template <class Arch, class Kind, class T>
XSOFTMAX_NEVER_INLINE void write_rows(const Kind& kind, strided_rows<const T> from, bool padded,
                                      strided_rows<const T> other, strided_rows<T> to, std::size_t first,
                                      std::size_t count, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    static_assert(way_of_writing<Kind, B>);
    const std::size_t end = first + count;
    // Of tiny rows that lie close, where what is read is elsewhere, a vector may reach into the next ones, which are written
    // later.
    const bool reaches = !Kind::reads_other && padded && n < B::size && to.stride == static_cast<std::ptrdiff_t>(n);
    const std::size_t reaching = reaches ? end - (std::min)(count, (B::size - 1) / n) : first;
    for (std::size_t r = first; r < end; ++r) {
        const auto numbers = [r](const T* of_rows) XSOFTMAX_INLINE_LAMBDA {
            return B(of_rows[r]);
        };
        with_result<B>(kind, numbers, [&](const auto& result) XSOFTMAX_INLINE_LAMBDA {
            if (r < reaching)
                store_whole(to(r), result(load_whole<B>(from(r)), B(T(0))));
            else
                write_row<B, Kind::reads_other>(result, from(r), other(r), to(r), n);
        });
    }
}

/// The same past the caches, for rows of at least a line each whose results do not stay in one: their lines are not read first,
/// and not kept. end_of_stores_past_caches() is to follow. Whole vectors may be read at a row's end of `from`.
template <class Arch, class Kind, class T>
XSOFTMAX_NEVER_INLINE void stream_rows(const Kind& kind, strided_rows<const T> from, strided_rows<T> to,
                                       std::size_t first, std::size_t count, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    constexpr std::size_t line_bytes = cache_regime::line_bytes, line = line_bytes / sizeof(T);
    for (std::size_t r = first; r < first + count; ++r) {
        const auto numbers = [r](const T* of_rows) XSOFTMAX_INLINE_LAMBDA {
            return B(of_rows[r]);
        };
        with_result<B>(kind, numbers, [&](const auto& result) XSOFTMAX_INLINE_LAMBDA {
            const T* const x = from(r);
            T* const y = to(r);
            const B zero(T(0));
            const auto part = [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; i += B::size) {
                    const std::size_t left = end - i < B::size ? end - i : B::size;
                    store_part(y + i, left, result(load_part(x + i, left, zero), zero));
                }
            };
            std::size_t i = (0 - reinterpret_cast<std::uintptr_t>(y)) % line_bytes / sizeof(T);
            part(0, i);
            for (; n - i >= line; i += line) {
                XSOFTMAX_UNROLL
                for (std::size_t k = 0; k < line / B::size; ++k) {
                    const std::size_t at = i + k * B::size;
                    store_past_caches(y + at, B(result(load_whole<B>(x + at), zero)));
                }
            }
            part(i, n);
        });
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
