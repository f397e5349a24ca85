#pragma once

/// Which sweep takes rows of how many elements. What is counted in bytes, of tiles and caches, is in detail/chunk.hpp.

#include "lanes/batch.hpp"

#include <cstddef>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

template <class B>
struct regime {
    static constexpr std::size_t element_bytes = sizeof(value_of<B>);

    /// A row by itself of up to so many elements is summed relative to 1, and its exponentials wait on the stack.
    static constexpr std::size_t short_elements = 16 * B::size;

    /// Many rows of up to so many elements are summed B::size at a time: beyond, a row has work enough of its own to hide its
    /// reductions behind, and their exponentials do not stay in the first cache.
    static constexpr std::size_t group_elements = 8192 / element_bytes / B::size;

    /// What a longer row's guess at the maximum is made from.
    static constexpr std::size_t guess_elements = 64;
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
