#pragma once

/// The backward passes of many rows of contiguous elements. Short ones go by groups of as many rows as a vector has lanes, for
/// the reasons of short_rows.hpp; every bit is as in backward.hpp.

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

/// B::size rows of `Vectors` vectors, from `first_row` on. `end` has the lanes of the last vector.
template <std::size_t Vectors, class B>
class backward_group {
protected:
    using T = value_of<B>;
    using doubles = xsimd::batch<double, arch_of<B>>;
    static constexpr std::size_t rows = B::size;
    static constexpr std::size_t halves = rows / doubles::size;

    XSOFTMAX_ALWAYS_INLINE backward_group(const backward_rows<T>& at, std::size_t first_row,
                                          const leading_lanes<B>& end)
        : at_(at), first_row_(first_row), end_(end)
    {
    }

    template <class Visit>
    XSOFTMAX_ALWAYS_INLINE void for_each(Visit&& visit) const
    {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k + 1 < Vectors; ++k) visit(k, whole_window<B>{k * B::size});
        visit(Vectors - 1, shared_part_window<B>{(Vectors - 1) * B::size, end_});
    }

    XSOFTMAX_ALWAYS_INLINE const T* forward(std::size_t r) const { return at_.forward(first_row_ + r); }
    XSOFTMAX_ALWAYS_INLINE const T* upstream(std::size_t r) const { return at_.upstream(first_row_ + r); }

    /// Writes result(r, forward, upstream) for every element of every row. All of a row is read before any of it is written.
    template <class Result>
    XSOFTMAX_ALWAYS_INLINE void write_rows(const Result& result) const
    {
        for (std::size_t r = 0; r < rows; ++r) {
            const T *x = forward(r), *g = upstream(r);
            T* const to = at_.gradient(first_row_ + r);
            B results[Vectors];
            for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
                results[k] = result(r, B(window.load_from(x, T(0))), B(window.load_from(g, T(0))));
            });
            for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA { window.store_to(to, results[k]); });
        }
    }

    /// sum_of_row(r) of all rows, of which row r's total is lane r.
    template <class SumOfRow>
    XSOFTMAX_ALWAYS_INLINE void add_up_rows(const SumOfRow& sum_of_row, doubles (&totals)[halves]) const
    {
        if constexpr (sizeof(T) == 8) {
            alignas(B) double of_rows[rows];
            for (std::size_t r = 0; r < rows; ++r) of_rows[r] = to_double(sum_of_row(r).total());
            totals[0] = doubles::load_aligned(of_rows);
        }
        else {
            XSOFTMAX_UNROLL
            for (std::size_t h = 0; h < halves; ++h)
                totals[h] = reduce_across_computed<doubles, true>(
                    [&](std::size_t q) XSOFTMAX_INLINE_LAMBDA { return sum_of_row(h * doubles::size + q).lanes(); },
                    [](doubles a, doubles b) XSOFTMAX_INLINE_LAMBDA { return doubles(a + b); });
        }
    }

    /// The one lane that is not 0 of found(r), in lane r.
    template <class Found>
    XSOFTMAX_ALWAYS_INLINE static B only_lanes(const Found& found)
    {
        return reduce_across_computed<B, true>(found, [](B a, B b) XSOFTMAX_INLINE_LAMBDA { return B(a + b); });
    }

    XSOFTMAX_ALWAYS_INLINE static void to_double_halves(B x, doubles (&to)[halves])
    {
        if constexpr (sizeof(T) == 8)
            to[0] = x;
        else {
            const auto wide = to_doubles(x);
            to[0] = wide.low;
            to[1] = wide.high;
        }
    }

    XSOFTMAX_ALWAYS_INLINE static B to_elements(const doubles (&x)[halves])
    {
        if constexpr (sizeof(T) == 8)
            return x[0];
        else
            return to_floats<arch_of<B>>({x[0], x[1]});
    }

private:
    const backward_rows<T>& at_;
    const std::size_t first_row_;
    const leading_lanes<B>& end_;
};

/// Such rows of softmax at an ordinary temperature.
template <std::size_t Vectors, class B>
class softmax_backward_group : backward_group<Vectors, B> {
    using group = backward_group<Vectors, B>;
    using group::rows, group::halves, group::for_each, group::forward, group::upstream;
    using typename group::doubles, typename group::T;

public:
    XSOFTMAX_ALWAYS_INLINE softmax_backward_group(const backward_rows<T>& at, std::size_t first_row,
                                                  const leading_lanes<B>& end)
        : group(at, first_row, end)
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
        group::write_rows([&](std::size_t r, B p, B g) XSOFTMAX_INLINE_LAMBDA {
            return result(p, centered(g, B(references_[r]), B(means_[r])));
        });
    }

private:
    /// The upstream gradient of a row's only element above 1/2, or 0.
    XSOFTMAX_ALWAYS_INLINE void find_dominant()
    {
        bool one[rows];
        const auto found_in = [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
            std::size_t count = 0;
            B found;
            for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
                const auto above = window.load_from(forward(r), T(0)) > B(T(0.5));
                const B g = kept_where(above, B(window.load_from(upstream(r), T(0))));
                count += count_true<B>(above);
                found = k == 0 ? g : B(found + g);
            });
            one[r] = count == 1;
            return found;
        };
        group::only_lanes(found_in).store_aligned(references_);
        for (std::size_t r = 0; r < rows; ++r)
            if (!one[r]) references_[r] = 0;
    }

    XSOFTMAX_ALWAYS_INLINE void add_up()
    {
        const auto sum_of_row = [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
            sum_of<B> sum;
            for_each([&](std::size_t, auto window) XSOFTMAX_INLINE_LAMBDA {
                const B p = window.load_from(forward(r), T(0));
                sum.add(weighted(p, B(window.load_from(upstream(r), T(0))), B(references_[r])));
            });
            return sum;
        };
        doubles means[halves];
        group::add_up_rows(sum_of_row, means);
        group::to_elements(means).store_aligned(means_);
    }

    alignas(B) T references_[rows];
    alignas(B) T means_[rows];
};

/// Such rows of log_softmax.
template <std::size_t Vectors, class B>
class log_softmax_backward_group : backward_group<Vectors, B> {
    using group = backward_group<Vectors, B>;
    using group::rows, group::halves, group::for_each, group::forward, group::upstream;
    using typename group::doubles, typename group::T;

public:
    XSOFTMAX_ALWAYS_INLINE log_softmax_backward_group(const backward_rows<T>& at, std::size_t first_row,
                                                      const leading_lanes<B>& end, double temperature, double lift)
        : group(at, first_row, end)
    {
        const B least(least_dominant<T>);
        B log_probabilities[rows], upstreams[rows];
        std::size_t most = 0;
        const auto sum_elsewhere = [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
            sum_of<B> sum;
            std::size_t count = 0;
            for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
                const B y = window.load_from(forward(r), -infinity<T>), g = window.load_from(upstream(r), T(0));
                const auto above = y > least;
                const B y_above = kept_where(above, y), g_above = kept_where(above, g);
                count += count_true<B>(above);
                log_probabilities[r] = k == 0 ? y_above : B(log_probabilities[r] + y_above);
                upstreams[r] = k == 0 ? g_above : B(upstreams[r] + g_above);
                sum.add(zero_where(above, g));
            });
            least_[r] = count == 0 ? infinity<T> : least_dominant<T>;
            most = count > most ? count : most;
            return sum;
        };
        doubles elsewhere[halves], all[halves], at_dominant[halves], totals[halves], units[halves];
        group::add_up_rows(sum_elsewhere, elsewhere);
        const auto of = [](const B* batches) XSOFTMAX_INLINE_LAMBDA {
            return [batches](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
                return batches[r];
            };
        };
        const B y = group::only_lanes(of(log_probabilities));
        doubles ys[halves], gs[halves];
        group::to_double_halves(y, ys);
        group::to_double_halves(group::only_lanes(of(upstreams)), gs);
        is_regular_ = most <= 1 && all_true<B>(y <= B(static_cast<T>(largest_log_probability)));
        using writer = log_softmax_backward_writer<B>;
        XSOFTMAX_UNROLL
        for (std::size_t h = 0; h < halves; ++h) {
            all[h] = elsewhere[h] + gs[h];
            at_dominant[h] = gradient_at_dominant<T>(ys[h], elsewhere[h], all[h], temperature);
            units[h] = writer::units_of(all[h]);
            totals[h] = all[h] * writer::factor_of(units[h], lift);
            is_regular_ = is_regular_ && (lift == 1 || have_room<T>(all[h], lift));
        }
        group::to_elements(at_dominant).store_aligned(at_dominant_);
        group::to_elements(totals).store_aligned(totals_);
        group::to_elements(units).store_aligned(units_);
    }

    /// Or is any row to be done by itself?
    XSOFTMAX_ALWAYS_INLINE bool is_regular() const { return is_regular_; }

    /// result(y, g, total, unit) for every element but dominant ones, as of log_softmax_backward_writer.
    template <class Result>
    XSOFTMAX_ALWAYS_INLINE void write(const Result& result) const
    {
        group::write_rows([&](std::size_t r, B y, B g) XSOFTMAX_INLINE_LAMBDA {
            return where(y > B(least_[r]), B(at_dominant_[r]), B(result(y, g, B(totals_[r]), B(units_[r]))));
        });
    }

private:
    bool is_regular_;
    alignas(B) T least_[rows];        ///< what a dominant element exceeds
    alignas(B) T at_dominant_[rows];  ///< its gradient
    alignas(B) T totals_[rows];
    alignas(B) T units_[rows];
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

/// As many rows of `Vectors` vectors as fill groups, at a temperature whose reciprocal T can hold; returns how many those are.
template <std::size_t Vectors, class Arch, class T>
XSOFTMAX_NEVER_INLINE std::size_t log_softmax_backward_groups(const backward_rows<T>& at, std::size_t rows,
                                                              std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const leading_lanes<B> end(n - (Vectors - 1) * B::size);
    const double lift = lift_of(temperature);
    const log_softmax_backward_writer<B> result(temperature, lift);
    std::size_t r = 0;
    for (; r + B::size <= rows; r += B::size) {
        const log_softmax_backward_group<Vectors, B> group(at, r, end, temperature, lift);
        if (!group.is_regular()) [[unlikely]]
            for (std::size_t k = r; k < r + B::size; ++k)
                log_softmax_backward<Arch, T>(at.forward(k), at.upstream(k), at.gradient(k), n, temperature);
        else if (temperature == 1)
            group.write([&](B y, B g, B total, B unit)
                            XSOFTMAX_INLINE_LAMBDA { return result.undivided(y, g, total, unit); });
        else
            group.write(result);
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

/// The same of log_softmax, at a temperature whose reciprocal T can hold.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void log_softmax_backward_rows(const backward_rows<T>& at, std::size_t rows, std::size_t n,
                                                     double temperature)
{
    const std::size_t vectors = (n - 1) / xsimd::batch<T, Arch>::size + 1;
    std::size_t r = 0;
    if (vectors == 1) r = log_softmax_backward_groups<1, Arch>(at, rows, n, temperature);
    if (vectors == 2) r = log_softmax_backward_groups<2, Arch>(at, rows, n, temperature);
    if (vectors == 3) r = log_softmax_backward_groups<3, Arch>(at, rows, n, temperature);
    if (vectors == 4) r = log_softmax_backward_groups<4, Arch>(at, rows, n, temperature);
    for (; r < rows; ++r) log_softmax_backward<Arch, T>(at.forward(r), at.upstream(r), at.gradient(r), n, temperature);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
