#pragma once

/// Which sweep takes rows of how many elements. What is counted in bytes, of tiles and caches, is in detail/chunk.hpp.

#include "lanes/batch.hpp"

#include <cstddef>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

template <class B>
struct regime {
    static constexpr std::size_t element_bytes = sizeof(value_of<B>);

    /// A row by itself of up to so many elements is summed relative to 1 at first; of longer ones summing twice would take longer
    /// than a guess.
    static constexpr std::size_t short_elements = 64 * B::size;

    /// Many rows of up to so many elements are summed B::size at a time, and of a row so short each vector is added by itself:
    /// beyond, a row has work enough of its own to hide its reductions behind.
    static constexpr std::size_t group_elements = 1024 / element_bytes;

    /// The same where exponentials are kept: in a tile on the stack.
    static constexpr std::size_t kept_group_elements = 512 / element_bytes;

    /// Groups whose exponentials wait for them, and backward passes, stay in the first cache.
    static constexpr std::size_t cached_group_elements = 4096 / element_bytes / B::size;

    /// What a longer row's guess at the maximum is made from.
    static constexpr std::size_t guess_elements = 64;
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
