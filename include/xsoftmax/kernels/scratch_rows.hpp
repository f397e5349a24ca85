#pragma once

/// Many rows in memory, beyond the caches: exponentials wait in a scratch row, which stays in the cache, so that each line of
/// the output is touched once. For operations that take any reference near the maximum, not in place.
///
/// Measured out of cache on a virtual machine with Zen 5 cores, 16384 rows of 1024, of memcpy's time: 1.24, and 1.65 without
/// scratch rows. Streaming stores were no faster (1.2 to 1.5), and computing the exponentials of longer rows again instead of
/// keeping them was slower (1.9 against 1.24 at 512 rows of 32000).

#include "compiler.hpp"
#include "exp.hpp"
#include "long_row.hpp"
#include "operations.hpp"
#include "simd.hpp"
#include "two_pass.hpp"
#include "windows.hpp"

#include <cstddef>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// How far ahead of the exponentials their logits are asked for. The processor's own prefetching stops at the end of a page,
/// and a row of a page is then slower than three sweeps are; from 1 to 4 KB it makes no difference.
inline constexpr std::size_t prefetch_bytes = 2048;

/// The sweep over the exponentials, from memory.
template <class B, class Sweep>
XSOFTMAX_ALWAYS_INLINE void sweep_from_memory(Sweep& sweep, const value_of<B>* logits, std::size_t n)
{
    using T = value_of<B>;
    constexpr std::size_t line = 64 / sizeof(T), ahead = prefetch_bytes / sizeof(T);
    for_each_window<B>(
        n,
        [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size * B::size; k += line) prefetch(logits + i + ahead + k);
            sweep.block(i);
        },
        [&](auto window) XSOFTMAX_INLINE_LAMBDA { sweep.single(window); });
}

/// Rows that a scratch row holds: the exponentials wait there, in the cache, instead of in the output.
inline constexpr std::size_t scratch_row_bytes = 16384;

/// Many rows of guess_elements to scratch_row_bytes at an ordinary temperature: each is written when the exponentials of the
/// next have been computed, as overlapped_rows does.
template <class Arch, class T, class Logits, class Operations>
XSOFTMAX_NEVER_INLINE void rows_by_scratch(std::size_t rows, std::size_t n, double temperature, const Logits& logits,
                                           const Operations& operations)
{
    using B = xsimd::batch<T, Arch>;
    using operation_type = std::remove_cvref_t<decltype(operations(std::size_t{}))>;
    const auto scale = scale_for<B>::make(temperature, 1);
    largest_trees<B> trees(n);
    alignas(64) T scratch[2][scratch_row_bytes / sizeof(T)];
    waiting_row<B, T> before;
    for (std::size_t r = 0; r < rows || before.is_there; ++r) {
        const T* const exponentials_before = scratch[(r + 1) % 2];
        T* const exponentials = scratch[r % 2];
        const waiting_row<B, T> written = before;
        before.is_there = false;
        if (r < rows) {
            const T guess = guess_at_maximum<B>(logits(r));
            if (scale.is_near(guess)) [[likely]] {
                const operation_type operation = operations(r);
                guessed_row<B, true, operation_type> row(operation, logits(r), exponentials, guess, scale, trees);
                trees.clear();
                sweep_from_memory<B>(row.sweep(), logits(r), n);
                row.add_up();
                before.is_there = row.is_good();
                if (before.is_there) [[likely]] {
                    before.output = operation.output;
                    before.end = row.end();
                    before.row_coefficients = row.finish();
                    before.exceeds_one = row.exceeds_one(before.row_coefficients);
                }
            }
        }
        if (written.is_there) {
            write_results<B>(
                written.output, n,
                [&](auto window) XSOFTMAX_INLINE_LAMBDA { return written.kept(window, exponentials_before); },
                operation_type::template writer<B>(in_all_lanes<B>(written.row_coefficients),
                                                   near_maximum<B>(T(0), T(0), T(0), scale)));
            if (written.exceeds_one) [[unlikely]]
                bound_by_one<B>(written.output, n);
        }
        if (r < rows && !before.is_there) [[unlikely]] {
            operation_type again = operations(r);
            three_pass<Arch>(again, logits(r), n, temperature);
        }
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
