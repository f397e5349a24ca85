#pragma once

/// One row in three sweeps: the maximum; the exponentials and their sums; the results.
///
/// Written once over operations (operations.hpp), architectures and element types.

#include "compiler.hpp"
#include "exp.hpp"
#include "operations.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "tree_sum.hpp"
#include "windows.hpp"

#include <cstddef>
#include <type_traits>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// What the caches read and write at once.
inline constexpr std::size_t line_bytes = 64;

/// How far ahead of the exponentials their logits are asked for. The processor's own prefetching stops at the end of a page,
/// and a row of a page is then slower than three sweeps are. Rows of 32000 are a seventh slower at 2 KB, and rows of 1000 to
/// 4096 by 2 to 6 % at 4 KB.
inline constexpr std::size_t prefetch_bytes = 8192;

/// What a block of as many elements as B has begins prefetch_bytes behind.
template <class B, class T>
XSOFTMAX_ALWAYS_INLINE void prefetch_block_ahead(const T* logits)
{
    constexpr std::size_t line = line_bytes / sizeof(T), ahead = prefetch_bytes / sizeof(T);
    XSOFTMAX_UNROLL
    for (std::size_t k = 0; k < block_size * B::size; k += line) prefetch(logits + ahead + k);
}

/// The largest element; −inf for an empty row. Undefined where the row holds a NaN: the sums find it.
template <class B, class T>
XSOFTMAX_ALWAYS_INLINE value_of<B> row_maximum(const T* logits, std::size_t n)
{
    B best(-infinity<value_of<B>>);
    if (n >= block_size * B::size) {
        B tops[4] = {best, best, best, best};
        std::size_t i = 0;
        for (; n - i >= block_size * B::size; i += block_size * B::size) {
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k)
                tops[k % 4] = maximum(tops[k % 4], load_whole<B>(logits + i + k * B::size));
        }
        best = maximum(maximum(tops[0], tops[1]), maximum(tops[2], tops[3]));
        logits += i;
        n -= i;
    }
    for_each_window<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        best = maximum(best, window.load_from(logits, -infinity<value_of<B>>));
    });
    return horizontal_maximum(best);
}

template <class T>
XSOFTMAX_COLD bool contains_nan(const T* row, std::size_t n)
{
    for (std::size_t i = 0; i < n; ++i)
        if (!(row[i] == row[i])) return true;
    return false;
}

template <class T>
XSOFTMAX_COLD void fill(T* row, std::size_t n, T value)
{
    for (std::size_t i = 0; i < n; ++i) row[i] = value;
}

/// A row without a finite maximum: NaN wherever something is written.
template <class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void undefined_row(Operation& operation, const T* logits, std::size_t n, double maximum)
{
    operation.undefined(contains_nan(logits, n) ? not_a_number<double> : maximum);
    if constexpr (Operation::writes) fill(operation.output, n, not_a_number<T>);
}

/// A row's exponentials, of which a part at the end is not to be asked for.
template <class B>
struct stored_exponentials {
    const value_of<B>* from;

    XSOFTMAX_ALWAYS_INLINE B operator()(whole_window<B> window) const { return load_whole<B>(from + window.at); }
};

template <class B, class T, class Reference>
struct computed_exponentials {
    const T* logits;
    Reference reference;

    XSOFTMAX_ALWAYS_INLINE B operator()(whole_window<B> window) const
    {
        return reference.exponential(load_whole<B>(logits + window.at));
    }
};

/// First sweep: exponentials relative to `Reference`, which wait at `to` if they are stored, and their sums.
///
/// A block is added in a tree in the row's own type before it meets the running sum: sums in double, or in pairs of doubles,
/// of every vector would cost 20 to 30 % of the sweep. The tree's three roundings count only where a few elements make up
/// most of the row, and are given back there (mend).
template <class B, bool Stores, bool FindsMaximum, class Operation, class T, class Reference>
class exponential_sweep {
    using C = value_of<B>;
    static constexpr std::size_t sums = Operation::sums;

public:
    XSOFTMAX_ALWAYS_INLINE exponential_sweep(const Operation& operation, const T* logits, T* to,
                                             const Reference& reference, largest_trees<B>* trees,
                                             bool prefetches = false)
        : operation_(operation), logits_(logits), to_(to), reference_(reference), trees_(trees), prefetches_(prefetches)
    {
    }

    /// All of a row's n elements.
    template <bool Blocks = true>
    XSOFTMAX_ALWAYS_INLINE void row(std::size_t n)
    {
        const auto sweep = [&](auto in_trees) XSOFTMAX_INLINE_LAMBDA {
            with_division<B>(reference_, [&](auto divides) XSOFTMAX_INLINE_LAMBDA {
                for_each_window<B, Blocks>(
                    n, [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA { block<in_trees, divides>(i); },
                    [&](auto window) XSOFTMAX_INLINE_LAMBDA { single(window); });
            });
        };
        if constexpr (Operation::any_reference)
            if (!trees_->are_used()) return sweep(std::false_type{});
        sweep(std::true_type{});
    }

    /// A block of them.
    template <bool InTree, bool Divides>
    XSOFTMAX_ALWAYS_INLINE void block(std::size_t i)
    {
        if (prefetches_) prefetch_block_ahead<B>(logits_ + i);
        B kept[block_size], terms[block_size][sums];
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < block_size; ++k)
            kept[k] = terms_of<Divides>(whole_window<B>{i + k * B::size}, terms[k], tops_[k % 2]);
        XSOFTMAX_UNROLL
        for (std::size_t j = 0; j < Operation::exponential_sums; ++j) {
            if constexpr (InTree) {
                const B tree = tree_sum<block_size>(terms, j);
                exponentials_[j].add(tree);
                if constexpr (Operation::any_reference) trees_->note(i / (block_size * B::size), tree);
            }
            else {
                XSOFTMAX_UNROLL
                for (const auto& of_vector : terms) exponentials_[j].add(of_vector[j]);
            }
        }
        XSOFTMAX_UNROLL
        for (std::size_t j = Operation::exponential_sums; j < sums; ++j) {
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; k += 2) others(j).add(terms[k][j] + terms[k + 1][j]);
        }
        // All stores of a block after all its loads: a load waits for an earlier store whose address agrees in the last 12
        // bits, and rows are often allocated a multiple of a page apart.
        if constexpr (Stores) {
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) store_whole(to_ + i + k * B::size, kept[k]);
        }
    }

    template <class Window>
    XSOFTMAX_ALWAYS_INLINE void single(Window window)
    {
        B terms[sums];
        const B kept = terms_of<true>(window, terms, tops_[0]);
        // A part stored and loaded again at another width stalls for 20 ns, so the ragged end stays in a register.
        if constexpr (std::is_same_v<Window, part_window<B>>)
            end_ = kept;
        else if constexpr (Stores)
            window.store_to(to_, kept);
        XSOFTMAX_UNROLL
        for (std::size_t j = 0; j < Operation::exponential_sums; ++j) exponentials_[j].add(terms[j]);
        XSOFTMAX_UNROLL
        for (std::size_t j = Operation::exponential_sums; j < sums; ++j) others(j).add(terms[j]);
    }

    /// What has been added up. Nothing is split_off() yet.
    XSOFTMAX_ALWAYS_INLINE row_totals<C, sums> totals() const
    {
        row_totals<C, sums> result;
        XSOFTMAX_UNROLL
        for (std::size_t j = 0; j < Operation::exponential_sums; ++j) result.sums[j] = exponentials_[j].total();
        XSOFTMAX_UNROLL
        for (std::size_t j = Operation::exponential_sums; j < sums; ++j)
            result.sums[j] = others_[j - Operation::exponential_sums].total();
        return result;
    }

    XSOFTMAX_ALWAYS_INLINE std::size_t winners() const { return winners_; }

    /// The largest element, if it was looked for. Undefined where the row holds a NaN.
    XSOFTMAX_ALWAYS_INLINE C top() const { return horizontal_maximum(maximum(tops_[0], tops_[1])); }

    XSOFTMAX_ALWAYS_INLINE const Reference& reference() const { return reference_; }

    /// What was kept of the ragged end, or 0.
    XSOFTMAX_ALWAYS_INLINE B end() const { return end_; }

    /// The exponentials, as they were. (By value: out of registers and into memory goes what anything points to.)
    XSOFTMAX_ALWAYS_INLINE auto exponentials() const
    {
        if constexpr (Stores)
            return stored_exponentials<B>{to_};
        else
            return computed_exponentials<B, T, Reference>{logits_, reference_};
    }

    /// The same, the ragged end too, which is not stored.
    template <class Window>
    XSOFTMAX_ALWAYS_INLINE B kept(Window window) const
    {
        if constexpr (std::is_same_v<Window, part_window<B>>)
            return end_;
        else
            return exponentials()(window);
    }

private:
    static constexpr std::size_t plain_sums = sums - Operation::exponential_sums;

    XSOFTMAX_ALWAYS_INLINE sum_of<B>& others(std::size_t j) { return others_[j - Operation::exponential_sums]; }

    template <bool Divides, class Window>
    XSOFTMAX_ALWAYS_INLINE B terms_of(Window window, B* terms, B& top)
    {
        const B x = window.load_from(logits_, -infinity<C>);
        if constexpr (FindsMaximum) top = maximum(top, x);
        const B e = reference_.template exponential<Divides>(x);
        operation_.add_up(x, e, reference_, window, terms);
        if constexpr (Operation::counts_winners && knows_winners<Reference, B>)
            winners_ += count_true<B>(reference_.is_maximum(x));
        if constexpr (Operation::uses_exponentials)
            return operation_.kept(x, e, reference_);
        else
            return e;
    }

    const Operation& operation_;
    const T* logits_;
    T* to_;
    const Reference reference_;  // by value: g++ 16 keeps in memory what an object of its own refers to
    largest_trees<B>* trees_;
    const bool prefetches_;
    exponential_sum_of<B> exponentials_[Operation::exponential_sums];
    sum_of<B> others_[plain_sums == 0 ? 1 : plain_sums];
    B tops_[2] = {B(-infinity<C>), B(-infinity<C>)};
    B end_ = B(C(0));
    std::size_t winners_ = 0;
};

/// Last sweep: what kept(window) gives, an exponential or a logit, becomes result(kept, window).
template <class B, bool Blocks = true, class T, class Kept, class Result>
XSOFTMAX_ALWAYS_INLINE void write_results(T* output, std::size_t n, const Kept& kept, const Result& result)
{
    for_each_window<B, Blocks>(
        n, [&](auto window) XSOFTMAX_INLINE_LAMBDA { window.store_to(output, result(kept(window), window)); });
}

/// What has more than half of the mass becomes exactly 1.
template <class B, class T>
XSOFTMAX_COLD void give_winner_one(T* row, std::size_t n)
{
    for_each_window<B, false>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const B p = window.load_from(row, value_of<B>(0));
        window.store_to(row, where(p > B(value_of<B>(0.5)), B(value_of<B>(1)), p));
    });
}

/// Completes the totals of a row with this maximum: what its trees have lost is given back, and where one element has more
/// than half of the mass, what rounding took from its exponential, which would be an error of every other's share too. Where
/// it has less it is left: equal logits get exactly 1/n.
///
/// With `Asks`, it is asked first whether there is such an element, whose polynomial would be waited for; without, there is no
/// branch. Returns whether the element's share rounds to 1 (give_winner_one): the sum knows its exponential better than it was
/// stored.
template <class B, bool Asks = true, class Maximum, class Exponentials>
XSOFTMAX_ALWAYS_INLINE bool mend(row_totals<value_of<B>, 1>& totals, value_of<B> top, const Maximum& maximum,
                                 const largest_trees<B>& trees, const Exponentials& exponentials)
{
    using T = value_of<B>;
    const double sum = leading(totals.sums[0]);
    totals.sums[0] = totals.sums[0] + trees.lost(sum, heavy_share_of_divisor, exponentials);
    const double all = to_double(totals.sums[0]);
    if constexpr (Asks)
        if (static_cast<double>(maximum.rough_exponential(top)) * 1.5 <= sum / 2) [[likely]]
            return false;
    const auto own = static_cast<double>(first_lane(maximum.exponential(B(top))));
    const auto rest = to_double(maximum.precise_exponential(top) - wide_from<T>(own));
    if constexpr (Asks) {
        if (own + own > sum) totals.sums[0] = plus_rest(totals.sums[0], rest);
    }
    else {
        using doubles = xsimd::batch<double, arch_of<B>>;
        const auto is_most = kept_where<doubles>(doubles(own + own) > doubles(sum), doubles(rest));
        totals.sums[0] = plus_rest(totals.sums[0], first_lane(is_most));
    }
    return own >= all || own > to_double(totals.sums[0]);
}

/// Σ exponentials but for the only one that is `own`. Each vector is added in the wider type: what a tree would lose of a few
/// heavy ones among them, nobody gives back.
template <class B, class Exponentials>
XSOFTMAX_COLD wide<value_of<B>> sum_of_others(std::size_t n, const Exponentials& exponentials, B end, value_of<B> own)
{
    const auto term = [own](B e) XSOFTMAX_INLINE_LAMBDA {
        return zero_where(e == B(own), e);
    };
    exponential_sum_of<B> sum(term(end));
    for_each_window<B, false>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        if constexpr (std::is_same_v<decltype(window), whole_window<B>>) sum.add(term(exponentials(window)));
    });
    return sum.total();
}

/// Completes the totals of a row with this maximum whose winners are in the sum: one of them is split off. The others are
/// then what a difference leaves, or, where too few of its digits are theirs, are added up again. Returns the winner's
/// exponential as it was added.
///
/// What trees have lost of the sum is given back to the logarithm where that is small: elsewhere it is at most 1.5 ULP, and
/// to ask for it costs a row of 1000 a tenth. Where exponentials are to be divided by the sum, it always is.
template <class B, bool IsDivisor, class Maximum, class Exponentials>
XSOFTMAX_ALWAYS_INLINE value_of<B> split_off_winner(row_totals<value_of<B>, 1>& totals, std::size_t n, value_of<B> top,
                                                    const Maximum& maximum, const largest_trees<B>& trees,
                                                    const Exponentials& exponentials, B end)
{
    using T = value_of<B>;
    // The roundings of sums, of up to 1 + n/B::size additions, and of what trees lost, are to be 2^-26 or 2^-55 of the others.
    constexpr double least_share = sizeof(T) == 4 ? 0x1p-27 : 0x1p-51;
    auto& sum = totals.sums[0];
    const T stored = first_lane(maximum.exponential(B(top)));
    const auto own = static_cast<double>(stored);
    const double all = leading(sum), others = all - own;
    const std::size_t additions = 64 + n / B::size;
    const bool is_small = own * 4 > all;
    auto lost = wide_from<T>(0.0);
    if (!(others >= own * (static_cast<double>(additions) * least_share))) [[unlikely]]
        sum = sum_of_others<B>(n, exponentials, end, stored);
    else {
        // Heavy is what is a share of the others.
        // The same for a loss by itself and beside its gradient: it gets the same bits.
        const double share = is_small ? heavy_share_of_logarithm : heavy_share_of_divisor;
        if (IsDivisor || is_small) lost = trees.lost(is_small ? others : all, share, exponentials);
        if (is_small) sum = sum + lost;
        sum = sum - wide_from<T>(own);
    }
    totals.template split_off<arch_of<B>>(1, maximum.precise_exponential(top));
    if constexpr (IsDivisor) {
        if (!is_small) totals.exponentials.others = totals.exponentials.others + lost;
        totals.inverse = totals.exponentials.inverse();
    }
    return stored;
}

/// The second and third sweep.
template <class B, class Operation, class T, class Maximum>
XSOFTMAX_ALWAYS_INLINE void exponentials_and_results(Operation& operation, const T* logits, std::size_t n,
                                                     const Maximum& maximum)
{
    using C = value_of<B>;
    constexpr bool common = std::is_same_v<C, T>;
    // Exponentials wait in the output for the last sweep, unless its type cannot hold what was computed.
    constexpr bool stores = Operation::uses_exponentials && common;
    T* output = nullptr;
    if constexpr (Operation::writes) output = operation.output;
    largest_trees<B> trees(Operation::any_reference ? n : 0);
    exponential_sweep<B, stores, false, Operation, T, Maximum> sweep(operation, logits, output, maximum, &trees);
    sweep.template row<common>(n);
    auto totals = sweep.totals();
    const auto top = static_cast<C>(maximum.value());
    [[maybe_unused]] bool winner_is_one = false;
    if constexpr (!Operation::counts_winners)
        winner_is_one = mend<B>(totals, top, maximum, trees, sweep.exponentials());
    else if constexpr (!knows_winners<Maximum, B>)
        split_off_winner<B, Operation::uses_exponentials>(totals, n, top, maximum, trees, sweep.exponentials(),
                                                          sweep.end());
    else
        totals.template split_off<arch_of<B>>(static_cast<double>(sweep.winners()), maximum.precise_exponential(top));
    if constexpr (Operation::counts_winners) totals.template take_logarithm<arch_of<B>>();
    if constexpr (!Operation::writes)
        operation.template finish<C>(totals, maximum);
    else {
        const auto row_coefficients = operation.template finish<C>(totals, maximum);
        const auto result = operation.template writer<B>(in_all_lanes<B>(row_coefficients), maximum);
        const auto kept = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            if constexpr (stores)
                return sweep.kept(window);
            else {
                const B x = window.load_from(logits, -infinity<C>);
                if constexpr (Operation::uses_exponentials)
                    return operation.kept(x, maximum.exponential(x), maximum);
                else
                    return x;
            }
        };
        write_results<B, common>(output, n, kept, result);
        if constexpr (!Operation::counts_winners)
            if (winner_is_one) [[unlikely]]
                give_winner_one<B>(output, n);
    }
    operation.complete();
}

/// A row whose maximum is far from 0 or not finite, or whose temperature is not ordinary.
template <class C, class Arch, class Operation, class T>
XSOFTMAX_COLD void far_row(Operation& operation, const T* logits, std::size_t n, double temperature, C maximum)
{
    using B = xsimd::batch<C, Arch>;
    if (!(maximum - maximum == 0)) return undefined_row(operation, logits, n, static_cast<double>(maximum));
    const auto scale = scale_for<B>::make(temperature, far_unit<C>(temperature));
    // Rows of float that are computed in double have digits to spare.
    if constexpr (std::is_same_v<T, double>)
        if (!is_ordinary<C>(temperature) && scale.is_near(maximum * scale.unit))
            return exponentials_and_results<B>(operation, logits, n, lifted_near_maximum<B>(maximum, scale));
    exponentials_and_results<B>(operation, logits, n, far_maximum<B>(maximum, scale));
}

/// A row of T at an ordinary temperature, computed in T.
template <class Arch, class Operation, class T>
XSOFTMAX_NEVER_INLINE void three_pass(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const auto scale = scale_for<B>::make(temperature, 1);
    const T maximum = row_maximum<B>(logits, n);
    if (!scale.is_near(maximum)) [[unlikely]]
        return far_row<T, Arch>(operation, logits, n, temperature, maximum);
    using reference = std::conditional_t<Operation::any_reference, near_guess<B>, near_maximum<B>>;
    exponentials_and_results<B>(operation, logits, n, reference(maximum, scale));
}

/// A row of T at any temperature > 0, computed in double.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void three_pass_in_double(Operation& operation, const T* logits, std::size_t n,
                                                 double temperature)
{
    const double maximum = row_maximum<xsimd::batch<double, Arch>>(logits, n);
    far_row<double, Arch>(operation, logits, n, temperature, maximum);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
