#pragma once

/// Walking along a row: blocks of vectors, single vectors, and the ragged end, which is handled here and nowhere else.

#include "compiler.hpp"
#include "simd.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Vectors handled together.
inline constexpr std::size_t block_size = 8;

/// One vector of a row; the same place in each of an operation's operands.
template <class B>
struct whole_window {
    std::size_t at;

    template <class T>
    XSOFTMAX_ALWAYS_INLINE B load_from(const T* row, value_of<B>) const
    {
        return load_whole<B>(row + at);
    }

    template <class T>
    XSOFTMAX_ALWAYS_INLINE void store_to(T* row, B x) const
    {
        store_whole(row + at, x);
    }
};

/// The ragged end, up to a whole vector: the lanes past it read as a fill value, and are not written.
template <class B>
struct part_window {
    std::size_t at;
    std::size_t count;

    template <class T>
    XSOFTMAX_ALWAYS_INLINE B load_from(const T* row, value_of<B> fill) const
    {
        return load_part<B>(row + at, count, fill);
    }

    template <class T>
    XSOFTMAX_ALWAYS_INLINE void store_to(T* row, B x) const
    {
        store_part(row + at, count, x);
    }
};

/// The end of many rows of the same length.
template <class B>
struct shared_part_window {
    std::size_t at;
    leading_lanes<B> lanes;

    template <class T>
    XSOFTMAX_ALWAYS_INLINE B load_from(const T* row, value_of<B> fill) const
    {
        return lanes.load(row + at, fill);
    }

    template <class T>
    XSOFTMAX_ALWAYS_INLINE void store_to(T* row, B x) const
    {
        lanes.store(row + at, x);
    }
};

/// Calls `block` with the index of each full block of vectors, then `single` with a window on each vector that is left,
/// the last of which may be a part.
/// Without `Blocks` there are none: for rare rows, which would otherwise be most of what compilers spend their time on.
template <class B, bool Blocks = true, class Block, class Single>
XSOFTMAX_ALWAYS_INLINE void for_each_window(std::size_t n, Block&& block, Single&& single)
{
    std::size_t i = 0;
    if constexpr (Blocks)
        for (; n - i >= block_size * B::size; i += block_size * B::size) block(i);
    for (; n - i >= B::size; i += B::size) single(whole_window<B>{i});
    if (i != n) single(part_window<B>{i, n - i});
}

/// The same for sweeps that gain nothing from blocks.
template <class B, bool Blocks = true, class Single>
XSOFTMAX_ALWAYS_INLINE void for_each_window(std::size_t n, Single&& single)
{
    for_each_window<B, Blocks>(
        n,
        [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) single(whole_window<B>{i + k * B::size});
        },
        single);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
