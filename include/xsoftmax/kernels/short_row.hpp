#pragma once

/// A row of a few vectors, held in registers from the first load to the last store.
///
/// Such a row is bound by latency: two reductions across lanes and a division, one after the other. So the polynomials are
/// computed before the maximum is known, softmax of floats mostly does without it, and nothing goes through memory.

#include "compiler.hpp"
#include "exp.hpp"
#include "long_row.hpp"
#include "operations.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "tree_sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Longest row, in vectors. Operations with several sums run out of registers sooner, and each length is one more copy of
/// the kernel for compilers to chew on. Doubles gain from it longest, since the sums of long rows split no terms: 128 take
/// 0.5 to 0.8 of the time.
template <class Operation, class T>
inline constexpr std::size_t short_row_vectors = Operation::sums != 1 ? 4
                                                 : sizeof(T) == 8     ? 16
                                                                      : 8;

/// 130 floats take 31 ns in place of 55 (AVX-512), 66 on AVX2 31 in place of 63. In batches 16 vectors are a sixth slower than
/// rows that are overlapped.
template <>
inline constexpr std::size_t short_row_vectors<softmax_operation<float>, float> = 12;

/// Σ_k terms[k][j] over a few vectors, of terms that are unevaluated sums, up to the sum of the lanes: one batch of doubles
/// for float, to be unscaled(), two for double, whose sums add up. The low terms, which are small, are added in the row's own
/// type.
///
/// A sum of doubles splits its terms, none of which exceeds an exponential, at a fixed bit instead of tracking what each
/// addition loses: the high parts add exactly in any order (Rump, Ogita & Oishi, SIAM J. Sci. Comput. 31 (2008)), 14 ns
/// faster in a row of 16.
template <class B>
struct short_sum {
    static constexpr std::size_t parts = sizeof(value_of<B>) == 4 ? 1 : 2;
    using doubles = xsimd::batch<double, arch_of<B>>;

    doubles part[parts];
    B low;  ///< float: the low terms; they are in `part` already for double

    template <std::size_t Vectors, std::size_t Sums>
    XSOFTMAX_ALWAYS_INLINE static short_sum of(const B (&terms)[Vectors][Sums], const B (&low_terms)[Vectors][Sums],
                                               std::size_t j)
    {
        using T = value_of<B>;
        const B low_sum = tree_sum<Vectors>(low_terms, j);
        if constexpr (sizeof(T) == 8) {
            // The high parts are multiples of the last bit of 128 exponentials' sum, each at most 2^1.5 stored_factor.
            const B split(exp_constants<T>::stored_factor * T(256 * 1.5));
            B high[Vectors][1], low[Vectors][1];
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < Vectors; ++k) {
                high[k][0] = rounded(B(rounded(B(terms[k][j] + split)) - split));
                low[k][0] = rounded(B(terms[k][j] - high[k][0]));
            }
            return {{tree_sum<Vectors>(high, 0), tree_sum<Vectors>(low, 0) + low_sum}, low_sum};
        }
        else {
            exponential_sum_of<B> running(terms[0][j]);
            XSOFTMAX_UNROLL
            for (std::size_t k = 1; k < Vectors; ++k) running.add(terms[k][j]);
            return {{running.scaled_lanes()}, low_sum};
        }
    }

    XSOFTMAX_ALWAYS_INLINE wide<value_of<B>> total() const
    {
        if constexpr (parts == 1)
            return unscaled<arch_of<B>>(horizontal_sum(part[0])) + static_cast<double>(horizontal_sum(low));
        else
            return two_sum(horizontal_sum(part[0]), horizontal_sum(part[1]));
    }
};

/// Are sums of an operation those of others than winners, which a fixed bit may leave in the low parts, where additions round?
template <class Operation, class T>
inline constexpr bool leaves_thin_sums = Operation::counts_winners && sizeof(T) == 8;

/// Of such sums but 0, the least of which a 32nd at most is in the low parts. A winner that leads by 23 leaves less.
inline constexpr double least_sum_of_others = exp_constants<double>::stored_factor * 0x1p-33;

/// The same for terms that may exceed an exponential.
template <std::size_t Vectors, class B, std::size_t Sums>
XSOFTMAX_ALWAYS_INLINE wide<value_of<B>> unbounded_short_sum(const B (&terms)[Vectors][Sums], std::size_t j)
{
    sum_of<B> running(terms[0][j]);
    XSOFTMAX_UNROLL
    for (std::size_t k = 1; k < Vectors; ++k) running.add(terms[k][j]);
    return running.total();
}

/// May exponentials be relative to any power of two near a row's maximum? It then changes no bit of the results. Not for winners,
/// which are found by the maximum, nor for sums that are split at a bit below it.
template <class Operation, class T>
inline constexpr bool takes_guesses = !Operation::counts_winners && sizeof(T) == 4;

/// Where winners are found by the maximum, may exponentials at least be relative to a larger power of two? Those of a smaller one
/// would fall below the least normal number above the cutoff. Not where results are exponentials times a factor, which would
/// be a smaller one and might lose digits.
template <class Operation, class T>
inline constexpr bool takes_larger_references =
    Operation::any_reference && !Operation::uses_exponentials && sizeof(T) == 4;

/// May exponentials be relative to 1? `best` has the maximum in one lane; of operations that count winners `top` is it.
template <class Operation, class B>
XSOFTMAX_ALWAYS_INLINE bool is_relative_to_one(B best, value_of<B> top, const scale_for<B>& scale)
{
    using T = value_of<B>;
    if constexpr (takes_guesses<Operation, T>)
        return scale.is_zero_good_guess(best);
    else if constexpr (takes_larger_references<Operation, T>)
        return top >= T(0) && top <= scale.guess_limit();
    else
        return false;
}

/// A row of `Vectors` vectors, the last of which may be a part. Each has a frame of its own: the largest one's would cost
/// the smallest 1 of 10 ns.
template <std::size_t Vectors, class Arch, class Operation, class T>
XSOFTMAX_NEVER_INLINE void short_row_of(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    constexpr std::size_t last = Vectors - 1;
    const part_window<B> end{last * B::size, n - last * B::size};
    const auto for_each = [&](auto&& visit) XSOFTMAX_INLINE_LAMBDA {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k + 1 < Vectors; ++k) visit(k, whole_window<B>{k * B::size});
        visit(last, end);
    };

    const auto scale = scale_for<B>::make(temperature, 1);
    B x[Vectors];
    exponential_parts<B> parts[Vectors];
    B best(-infinity<T>);
    for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
        x[k] = window.load_from(logits, -infinity<T>);
        parts[k] = exponential_parts<B>::of(x[k], scale);
        best = k == 0 ? x[k] : maximum(best, x[k]);
    });
    // Relative to 1, if it is near enough, the exponentials need not wait for the maximum.
    const T known_top = Operation::counts_winners ? horizontal_maximum(best) : T(0);
    const bool is_near_one = is_relative_to_one<Operation>(best, known_top, scale);
    if (!is_near_one && !scale.is_near(horizontal_maximum(best))) [[unlikely]]
        return far_row<T, Arch>(operation, logits, n, temperature, horizontal_maximum(best));

    const near_maximum<B> maximum = is_near_one ? near_maximum<B>::relative_to_one(known_top, scale)
                                                : near_maximum<B>(horizontal_maximum(best), scale);
    B terms[Vectors][Operation::sums], low_terms[Vectors][Operation::sums];
    two_parts<B> exponentials[Vectors];
    row_totals<T, Operation::sums> totals;
    [[maybe_unused]] std::size_t winners = 0;
    // Picked from a winner, since the polynomial of the maximum would be 10 ns behind.
    picked_lane<B> own, own_low;
    for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
        exponentials[k] = maximum.unrounded_exponential(x[k], maximum.relative(parts[k]));
        operation.add_up(x[k], exponentials[k].high, maximum, window, terms[k]);
        operation.add_up(x[k], exponentials[k].low, maximum, window, low_terms[k]);
        if constexpr (Operation::counts_winners) {
            const auto is_winner = maximum.is_maximum(x[k]);
            winners += count_true<B>(is_winner);
            own.look_in(is_winner, exponentials[k].high);
            own_low.look_in(is_winner, exponentials[k].low);
        }
    });
    XSOFTMAX_UNROLL
    for (std::size_t j = 0; j < Operation::exponential_sums; ++j)
        totals.sums[j] = short_sum<B>::of(terms, low_terms, j).total();
    if constexpr (leaves_thin_sums<Operation, T>)
        if (const double others = leading(totals.sums[0]); !(others >= least_sum_of_others || others == 0)) [[unlikely]]
            return three_pass<Arch>(operation, logits, n, temperature);
    XSOFTMAX_UNROLL
    for (std::size_t j = Operation::exponential_sums; j < Operation::sums; ++j)
        totals.sums[j] = unbounded_short_sum(terms, j);
    if constexpr (Operation::counts_winners) {
        totals.template split_off<Arch>(static_cast<double>(winners), sum_of_parts(own.value(), own_low.value()));
        totals.template take_logarithm<Arch>();
    }
    if constexpr (Operation::writes) {
        const auto row_coefficients = operation.template finish<T>(totals, maximum);
        const auto result = operation.template writer<B>(in_all_lanes<B>(row_coefficients), maximum);
        for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
            if constexpr (Operation::takes_two_parts)
                window.store_to(operation.output, result(exponentials[k], window));
            else if constexpr (Operation::uses_exponentials) {
                const B e = exponentials[k].high + exponentials[k].low;
                window.store_to(operation.output, result(operation.kept(x[k], e, maximum), window));
            }
            else
                window.store_to(operation.output, result(x[k], window));
        });
    }
    else
        operation.template finish<T>(totals, maximum);
    operation.complete();
}

/// A row of 1 to short_row_vectors vectors at an ordinary temperature.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void short_row(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    const std::size_t vectors = (n - 1) / xsimd::batch<T, Arch>::size + 1;
    if (vectors == 1) return short_row_of<1, Arch>(operation, logits, n, temperature);
    if (vectors == 2) return short_row_of<2, Arch>(operation, logits, n, temperature);
    if (vectors == 3) return short_row_of<3, Arch>(operation, logits, n, temperature);
    if (vectors == 4) return short_row_of<4, Arch>(operation, logits, n, temperature);
    if constexpr (short_row_vectors<Operation, T> >= 8) {
        if (vectors == 5) return short_row_of<5, Arch>(operation, logits, n, temperature);
        if (vectors == 6) return short_row_of<6, Arch>(operation, logits, n, temperature);
        if (vectors == 7) return short_row_of<7, Arch>(operation, logits, n, temperature);
        if (vectors == 8) return short_row_of<8, Arch>(operation, logits, n, temperature);
    }
    if constexpr (short_row_vectors<Operation, T> >= 12) {
        if (vectors == 9) return short_row_of<9, Arch>(operation, logits, n, temperature);
        if (vectors == 10) return short_row_of<10, Arch>(operation, logits, n, temperature);
        if (vectors == 11) return short_row_of<11, Arch>(operation, logits, n, temperature);
        if (vectors == 12) return short_row_of<12, Arch>(operation, logits, n, temperature);
    }
    if constexpr (short_row_vectors<Operation, T> == 16) {
        if (vectors == 13) return short_row_of<13, Arch>(operation, logits, n, temperature);
        if (vectors == 14) return short_row_of<14, Arch>(operation, logits, n, temperature);
        if (vectors == 15) return short_row_of<15, Arch>(operation, logits, n, temperature);
        if (vectors == 16) return short_row_of<16, Arch>(operation, logits, n, temperature);
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
