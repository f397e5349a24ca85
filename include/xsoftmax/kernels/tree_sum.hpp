#pragma once

/// Sums of a block's vectors in the row's own type, as trees, and what their roundings take from heavy elements.

#include "compiler.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Σ_k terms[k][j] as a tree, whose order -ffast-math would change: what it loses is found by another. Count is at most
/// block_size.
template <std::size_t Count, std::size_t From = 0, class B, std::size_t Rows, std::size_t Sums>
XSOFTMAX_ALWAYS_INLINE B tree_sum(const B (&terms)[Rows][Sums], std::size_t j)
{
    if constexpr (Count == 1)
        return terms[From][j];
    else
        return rounded(
            B(tree_sum<Count / 2, From>(terms, j) + tree_sum<Count - Count / 2, From + Count / 2>(terms, j)));
}

/// The same tree, and what its roundings took, lane by lane (Knuth's TwoSum).
template <std::size_t Count, std::size_t From = 0, class B, std::size_t Rows>
XSOFTMAX_ALWAYS_INLINE two_parts<B> tree_sum_and_rest(const B (&terms)[Rows])
{
    if constexpr (Count == 1)
        return {terms[From], B(value_of<B>(0))};
    else {
        const auto a = tree_sum_and_rest<Count / 2, From>(terms);
        const auto b = tree_sum_and_rest<Count - Count / 2, From + Count / 2>(terms);
        const auto sum = two_sum(a.high, b.high);
        return {sum.high, sum.low + (a.low + b.low)};
    }
}

/// The share of a sum from which on the roundings of a block's tree are given back, in one lane: of a row's, and of what a winner
/// of a quarter leaves to the others, whose logarithm needs less of it.
inline constexpr double heavy_share_of_divisor = 0.125;
inline constexpr double heavy_share_of_logarithm = 0.5;

/// Rows of fewer blocks go without trees and add every vector in the wider type: what trees have lost of a heavy element is
/// looked for at the end of the row, and waited for. A row of 512 floats takes 10 % less so where it has one, 8 % more where it
/// has none; from 640 on, trees are quicker in either case.
template <class T>
inline constexpr std::size_t least_blocks_of_trees = sizeof(T) == 4 ? 5 : 2;

/// Remembers, of all blocks of a row, where a tree was a large one: for up to 64 runs of blocks the largest, lane by lane.
template <class B>
class largest_trees {
    using T = value_of<B>;

public:
    XSOFTMAX_ALWAYS_INLINE explicit largest_trees(std::size_t n) : blocks_(n / (block_size * B::size))
    {
        while (blocks_ >> shift_ >= most_runs) ++shift_;
        clear();
    }

    /// Is the row long enough for them?
    XSOFTMAX_ALWAYS_INLINE bool are_used() const { return blocks_ >= least_blocks_of_trees<T>; }

    XSOFTMAX_ALWAYS_INLINE void clear()
    {
        if (!are_used()) return;
        for (std::size_t run = 0; run << shift_ < blocks_; ++run) B(T(0)).store_aligned(largest_ + run * B::size);
    }

    XSOFTMAX_ALWAYS_INLINE void note(std::size_t block, B tree)
    {
        T* const run = largest_ + (block >> shift_) * B::size;
        maximum(B(B::load_aligned(run)), tree).store_aligned(run);
    }

    /// What trees have lost that are a heavy share of the row's sum: few, since there are not more than shares.
    template <class Exponentials>
    XSOFTMAX_ALWAYS_INLINE wide<T> lost(double sum, double heavy_share, const Exponentials& exponentials) const
    {
        if (!are_used()) return wide_from<T>(0.0);
        const std::size_t runs = (blocks_ + (std::size_t{1} << shift_) - 1) >> shift_;
        const B heavy(static_cast<T>(sum * heavy_share));
        B rest(T(0));
        for (std::size_t run = 0; run < runs; ++run) {
            if (!any_true<B>(B::load_aligned(largest_ + run * B::size) >= heavy)) [[likely]]
                continue;
            for (std::size_t block = run << shift_; block < blocks_ && block >> shift_ == run; ++block) {
                B e[block_size];
                XSOFTMAX_UNROLL
                for (std::size_t k = 0; k < block_size; ++k)
                    e[k] = exponentials(whole_window<B>{(block * block_size + k) * B::size});
                const auto tree = tree_sum_and_rest<block_size>(e);
                rest = rest + kept_where<B>(tree.high >= heavy, tree.low);
            }
        }
        return wide_from<T>(static_cast<double>(horizontal_sum(rest)));
    }

private:
    static constexpr std::size_t most_runs = 64;

    alignas(B) T largest_[most_runs * B::size];
    std::size_t blocks_;
    std::size_t shift_ = 0;
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
