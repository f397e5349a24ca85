#pragma once

/// The backward passes of many rows of contiguous elements. Short ones of softmax's go by groups of as many rows as a vector
/// has lanes, for the reasons of short_rows.hpp; every bit is as in backward.hpp.

#include "backward.hpp"
#include "compiler.hpp"
#include "exp.hpp"
#include "plain_data.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

#include <cstddef>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Longest row of a group, in vectors.
inline constexpr std::size_t backward_group_vectors = 4;

/// B::size rows of `Vectors` vectors, from `first_row` on, at an ordinary temperature. `end` has the lanes of the last vector.
template <std::size_t Vectors, class B>
class softmax_backward_group {
    using T = value_of<B>;
    using doubles = xsimd::batch<double, arch_of<B>>;
    static constexpr std::size_t rows = B::size;

public:
    XSOFTMAX_ALWAYS_INLINE softmax_backward_group(const backward_rows<T>& at, std::size_t first_row,
                                                  const leading_lanes<B>& end)
        : at_(at), first_row_(first_row), end_(end)
    {
        find_dominant();
        add_up();
    }

    /// Does any row need softmax_backward_by_exponents?
    XSOFTMAX_ALWAYS_INLINE bool lost_digits(double temperature) const
    {
        bool any = false;
        for (const T mean : means_) any = any || kernels::lost_digits<T>(static_cast<double>(mean), temperature);
        return any;
    }

    /// result(p, g − c − m) for every element.
    template <class Result>
    XSOFTMAX_ALWAYS_INLINE void write(const Result& result) const
    {
        for (std::size_t r = 0; r < rows; ++r) {
            const T *p = at_.forward(first_row_ + r), *g = at_.upstream(first_row_ + r);
            const B c(references_[r]), m(means_[r]);
            B results[Vectors];
            for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
                results[k] = result(window.load_from(p, T(0)), B((window.load_from(g, T(0)) - c) - m));
            });
            for_each([&](std::size_t k, auto window)
                         XSOFTMAX_INLINE_LAMBDA { window.store_to(at_.gradient(first_row_ + r), results[k]); });
        }
    }

private:
    template <class Visit>
    XSOFTMAX_ALWAYS_INLINE void for_each(Visit&& visit) const
    {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k + 1 < Vectors; ++k) visit(k, whole_window<B>{k * B::size});
        visit(Vectors - 1, shared_part_window<B>{(Vectors - 1) * B::size, end_});
    }

    /// The upstream gradient of a row's only element above 1/2, or 0.
    XSOFTMAX_ALWAYS_INLINE void find_dominant()
    {
        const auto add = [](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return B(a + b);
        };
        bool one[rows];
        const auto found_in = [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
            std::size_t count = 0;
            B found;
            for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
                const auto above = window.load_from(at_.forward(first_row_ + r), T(0)) > B(T(0.5));
                const B g = kept_where(above, B(window.load_from(at_.upstream(first_row_ + r), T(0))));
                count += count_true<B>(above);
                found = k == 0 ? g : add(found, g);
            });
            one[r] = count == 1;
            return found;
        };
        reduce_across_computed<B, true>(found_in, add).store_aligned(references_);
        for (std::size_t r = 0; r < rows; ++r)
            if (!one[r]) references_[r] = 0;
    }

    XSOFTMAX_ALWAYS_INLINE void add_up()
    {
        const auto sum_of_row = [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
            sum_of<B> sum;
            for_each([&](std::size_t, auto window) XSOFTMAX_INLINE_LAMBDA {
                const B p = window.load_from(at_.forward(first_row_ + r), T(0));
                sum.add(weighted(p, B(window.load_from(at_.upstream(first_row_ + r), T(0))), references_[r]));
            });
            return sum;
        };
        if constexpr (sizeof(T) == 8)
            for (std::size_t r = 0; r < rows; ++r) means_[r] = to_double(sum_of_row(r).total());
        else {
            const auto means_from = [&](std::size_t first) XSOFTMAX_INLINE_LAMBDA {
                return reduce_across_computed<doubles, true>(
                    [&](std::size_t q) XSOFTMAX_INLINE_LAMBDA { return sum_of_row(first + q).lanes(); },
                    [](doubles a, doubles b) XSOFTMAX_INLINE_LAMBDA { return doubles(a + b); });
            };
            to_floats<arch_of<B>>({means_from(0), means_from(doubles::size)}).store_aligned(means_);
        }
    }

    const backward_rows<T>& at_;
    const std::size_t first_row_;
    const leading_lanes<B>& end_;
    alignas(B) T references_[rows];
    alignas(B) T means_[rows];
};

/// As many rows of `Vectors` vectors as fill groups; returns how many those are.
template <std::size_t Vectors, class Arch, class T>
XSOFTMAX_NEVER_INLINE std::size_t softmax_backward_groups(const backward_rows<T>& at, std::size_t rows, std::size_t n,
                                                          double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const leading_lanes<B> end(n - (Vectors - 1) * B::size);
    const backward_division<B> by_temperature(temperature);
    std::size_t r = 0;
    for (; r + B::size <= rows; r += B::size) {
        const softmax_backward_group<Vectors, B> group(at, r, end);
        if (temperature == 1)
            group.write([](B p, B difference) XSOFTMAX_INLINE_LAMBDA { return B(p * difference); });
        else if (!group.lost_digits(temperature))
            group.write([&](B p, B difference) XSOFTMAX_INLINE_LAMBDA { return by_temperature(p, difference); });
        else
            for (std::size_t k = r; k < r + B::size; ++k)
                softmax_backward<Arch, T>(at.forward(k), at.upstream(k), at.gradient(k), n, temperature);
    }
    return r;
}

/// `rows` rows of n ≥ 1 contiguous elements, at any temperature.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void softmax_backward_rows(const backward_rows<T>& at, std::size_t rows, std::size_t n,
                                                 double temperature)
{
    const std::size_t vectors = (n - 1) / xsimd::batch<T, Arch>::size + 1;
    std::size_t r = 0;
    if (vectors <= backward_group_vectors && is_ordinary<T>(temperature)) {
        if (vectors == 1) r = softmax_backward_groups<1, Arch>(at, rows, n, temperature);
        if (vectors == 2) r = softmax_backward_groups<2, Arch>(at, rows, n, temperature);
        if (vectors == 3) r = softmax_backward_groups<3, Arch>(at, rows, n, temperature);
        if (vectors == 4) r = softmax_backward_groups<4, Arch>(at, rows, n, temperature);
    }
    for (; r < rows; ++r) softmax_backward<Arch, T>(at.forward(r), at.upstream(r), at.gradient(r), n, temperature);
}

/// The same of log_softmax, one row at a time, at a temperature whose reciprocal T can hold.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void log_softmax_backward_rows(const backward_rows<T>& at, std::size_t rows, std::size_t n,
                                                     double temperature)
{
    for (std::size_t r = 0; r < rows; ++r)
        log_softmax_backward<Arch, T>(at.forward(r), at.upstream(r), at.gradient(r), n, temperature);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
