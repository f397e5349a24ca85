#pragma once

/// Which sweep takes rows of how many elements, or bytes: every threshold between one way of doing a thing and another.

#include "lanes/batch.hpp"

#include <cstddef>

namespace xsoftmax::kernels {

/// Thresholds that go by caches, and not by vectors.
struct cache_regime {
    static constexpr std::size_t line_bytes = 64;

    /// Exponentials of rows of up to so many bytes wait in a tile on the stack rather than in the output, a row for every so many
    /// lines.
    static constexpr std::size_t tile_row_bytes = 512, tile_bytes = 16 * tile_row_bytes;

    /// Longer rows are summed together in chunks of so many bytes.
    static constexpr std::size_t chunk_bytes = std::size_t{64} << 10;

    /// Results of this size do not stay in a cache: at 16 MB streaming stores take 0.7 of plain ones' time, at 8 MB the same.
    static constexpr std::size_t out_of_cache_bytes = std::size_t{12} << 20;

    /// Longest row whose exponentials wait in a buffer then: it stays in a second-level cache.
    static constexpr std::size_t buffer_row_bytes = std::size_t{320} << 10;

    /// A row by itself from this size on is asked for ahead of its exponentials, by so many bytes: the processor's own
    /// prefetching stops at the end of a page. Rows of 32000 are a seventh slower at 2 KB, rows of 1000 to 4096 by 2 to 6 % at
    /// 4 KB.
    static constexpr std::size_t prefetched_row_bytes = std::size_t{1} << 20, prefetch_bytes = 8192;

    /// Fewest elements for a task of an executor: 5 to 20 µs of work, against 1 µs to hand it over.
    static constexpr std::size_t share_elements = 65536;
};

inline namespace XSOFTMAX_TARGET {

template <class B>
struct regime : cache_regime {
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
