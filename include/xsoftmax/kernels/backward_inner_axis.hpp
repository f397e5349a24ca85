#pragma once

/// The backward passes of rows along an axis whose neighbours are contiguous: as in backward.hpp, but each lane is a row.

#include "backward.hpp"
#include "compiler.hpp"
#include "exp.hpp"
#include "plain_data.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// A sweep over the rows: the sums, lane by lane, of what terms(i, x, g) makes of element i's forward result x and upstream
/// gradient g, without a lane's elements above a bound, which are kept by themselves. Such an element is in nearly every
/// batch of rows, so that looking for one afterwards would be another sweep.
template <class B, std::size_t Sums>
struct sums_of_lanes {
    using T = value_of<B>;

    double others[Sums][B::size];
    alignas(B) T forward[B::size] = {};   ///< of the last element above the bound
    alignas(B) T upstream[B::size] = {};  ///< likewise
    alignas(B) T count[B::size];          ///< how many there are

    template <class Window, class Terms>
    XSOFTMAX_ALWAYS_INLINE sums_of_lanes(const backward_operands<T>& at, std::size_t n, Window window, T bound,
                                         Terms&& terms)
    {
        sum_of<B> totals[Sums];
        B x_above(T(0)), g_above(T(0)), found(T(0));
        const auto visit = [&](std::size_t i, B(&to)[Sums]) XSOFTMAX_INLINE_LAMBDA {
            const B x = window.load_from(at.forward_at(i), bound);
            const B g = window.load_from(at.upstream_at(i), T(0));
            const auto above = x > B(bound);
            x_above = where(above, x, x_above);
            g_above = where(above, g, g_above);
            found = found + where(above, B(T(1)), B(T(0)));
            terms(x, g, to);
            XSOFTMAX_UNROLL
            for (std::size_t j = 0; j < Sums; ++j) to[j] = zero_where(above, to[j]);
        };
        std::size_t i = 0;
        for (; i + 2 <= n; i += 2) {
            B first[Sums], second[Sums];
            visit(i, first);
            visit(i + 1, second);
            XSOFTMAX_UNROLL
            for (std::size_t j = 0; j < Sums; ++j) totals[j].add(first[j] + second[j]);
        }
        if (i < n) {
            B last[Sums];
            visit(i, last);
            XSOFTMAX_UNROLL
            for (std::size_t j = 0; j < Sums; ++j) totals[j].add(last[j]);
        }
        x_above.store_aligned(forward);
        g_above.store_aligned(upstream);
        found.store_aligned(count);
        for (std::size_t j = 0; j < Sums; ++j) {
            wide<T> lanes[B::size];
            totals[j].totals(lanes);
            for (std::size_t k = 0; k < B::size; ++k) others[j][k] = to_double(lanes[k]);
        }
    }
};

template <class B, class Window>
XSOFTMAX_ALWAYS_INLINE void softmax_backward_of_lanes(const backward_operands<value_of<B>>& at, std::size_t n,
                                                      Window window, std::size_t lanes, double temperature)
{
    using T = value_of<B>;
    const auto product = [](B p, B g, B(&terms)[1]) XSOFTMAX_INLINE_LAMBDA {
        terms[0] = p * g;
    };
    const sums_of_lanes<B, 1> row(at, n, window, T(0.5), product);
    alignas(B) T reference[B::size];
    double means[B::size];
    bool any_dominant = false;
    for (std::size_t k = 0; k < B::size; ++k) {
        double m = row.others[0][k];
        reference[k] = row.count[k] == T(1) ? row.upstream[k] : T(0);
        any_dominant = any_dominant || row.count[k] == T(1);
        if (row.count[k] > T(1)) [[unlikely]]  // no probabilities: their sum exceeds 1
            for (std::size_t i = 0; i < n; ++i)
                if (const T p = at.forward_at(i)[window.at + k]; p > T(0.5))
                    m += static_cast<double>(p) * static_cast<double>(at.upstream_at(i)[window.at + k]);
        means[k] = m;
    }
    if (any_dominant) {
        const B c = B::load_aligned(reference);
        const auto relative = [c](B p, B g, B(&terms)[1]) XSOFTMAX_INLINE_LAMBDA {
            terms[0] = weighted(p, g, c);
        };
        const sums_of_lanes<B, 1> again(at, n, window, T(0.5), relative);
        for (std::size_t k = 0; k < B::size; ++k)
            if (row.count[k] == T(1)) means[k] = again.others[0][k];
    }
    bool any_lost = false;
    for (std::size_t k = 0; k < lanes; ++k) any_lost = any_lost || lost_digits<T>(means[k], temperature);
    if (any_lost) [[unlikely]] {
        for (std::size_t k = 0; k < lanes; ++k) {
            const std::size_t lane = window.at + k;
            softmax_backward_by_exponents<T>(
                {at.forward + lane, at.upstream + lane, at.gradient + lane, {at.steps[0], at.steps[1], at.steps[2]}}, n,
                temperature, static_cast<double>(reference[k]));
        }
        return;
    }
    alignas(B) T mean[B::size];
    for (std::size_t k = 0; k < B::size; ++k) mean[k] = static_cast<T>(means[k]);
    const B c = B::load_aligned(reference), m = B::load_aligned(mean);
    const backward_division<B> by_temperature(temperature);
    const auto write = [&](auto result) XSOFTMAX_INLINE_LAMBDA {
        for (std::size_t i = 0; i < n; ++i) {
            const B p = window.load_from(at.forward_at(i), T(0));
            const B g = window.load_from(at.upstream_at(i), T(0));
            window.store_to(at.gradient_at(i), result(p, centered(g, c, m)));
        }
    };
    if (temperature == 1)
        write([](B p, B difference) XSOFTMAX_INLINE_LAMBDA { return B(p * difference); });
    else
        write([&](B p, B difference) XSOFTMAX_INLINE_LAMBDA { return by_temperature(p, difference); });
}

template <class B, class Window>
XSOFTMAX_ALWAYS_INLINE void log_softmax_backward_of_lanes(const backward_operands<value_of<B>>& at, std::size_t n,
                                                          Window window, double temperature)
{
    using T = value_of<B>;
    using doubles = xsimd::batch<double, arch_of<B>>;
    const sums_of_lanes<B, 1> row(at, n, window, least_dominant<T>,
                                  [](B, B g, B(&terms)[1]) XSOFTMAX_INLINE_LAMBDA { terms[0] = g; });
    // What is written where a lane's only element above −log 2 is. Nothing is above infinity.
    alignas(B) T total[B::size], units[B::size], fixed[B::size], fixed_above[B::size];
    alignas(B) double sums[B::size], log_p[B::size], at_log_p[B::size];
    double lift = lift_of(temperature);
    for (std::size_t k = 0; k < B::size; ++k) {
        const bool dominated = row.count[k] == T(1) && row.forward[k] <= static_cast<T>(largest_log_probability);
        double all = row.others[0][k] + static_cast<double>(row.upstream[k]);
        if (row.count[k] > T(1)) [[unlikely]] {
            all = 0;
            for (std::size_t i = 0; i < n; ++i) all += static_cast<double>(at.upstream_at(i)[window.at + k]);
        }
        sums[k] = all;
        log_p[k] = dominated ? static_cast<double>(row.forward[k]) : 0;
        fixed_above[k] = dominated ? least_dominant<T> : infinity<T>;
    }
    for (std::size_t k = 0; k < B::size; k += doubles::size)
        store_whole(at_log_p + k,
                    gradient_at_dominant<T>(load_whole<doubles>(log_p + k), load_whole<doubles>(row.others[0] + k),
                                            load_whole<doubles>(sums + k), temperature));
    for (std::size_t k = 0; k < B::size; ++k) fixed[k] = static_cast<T>(at_log_p[k]);
    for (std::size_t k = 0; k < B::size; k += doubles::size)
        if (!have_room<T>(load_whole<doubles>(sums + k), lift)) lift = 1;
    const log_softmax_backward_writer<B> result(temperature, lift);
    for (std::size_t k = 0; k < B::size; ++k) {
        const doubles unit_of_lane = result.units_of(doubles(sums[k]));
        total[k] = static_cast<T>(sums[k] * first_lane(result.factor_of(unit_of_lane, lift)));
        units[k] = static_cast<T>(first_lane(unit_of_lane));
    }
    const B all = B::load_aligned(total), unit = B::load_aligned(units), at_dominant = B::load_aligned(fixed);
    const B dominant_above = B::load_aligned(fixed_above);
    for (std::size_t i = 0; i < n; ++i) {
        const B y = window.load_from(at.forward_at(i), -infinity<T>);
        const B g = window.load_from(at.upstream_at(i), T(0));
        window.store_to(at.gradient_at(i), where(y > dominant_above, at_dominant, result(y, g, all, unit)));
    }
}

/// `rows` neighbouring rows of length n.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void softmax_backward_inner_axis(const backward_operands<T>& at, std::size_t n, std::size_t rows,
                                                       double temperature)
{
    using B = xsimd::batch<T, Arch>;
    for_each_window<B, false>(rows, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const std::size_t left = rows - window.at;
        softmax_backward_of_lanes<B>(at, n, window, left < B::size ? left : B::size, temperature);
    });
}

template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void log_softmax_backward_inner_axis(const backward_operands<T>& at, std::size_t n,
                                                           std::size_t rows, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    for_each_window<B, false>(rows, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        log_softmax_backward_of_lanes<B>(at, n, window, temperature);
    });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
