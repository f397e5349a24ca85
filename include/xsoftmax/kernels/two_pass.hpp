#pragma once

/// Rows relative to a guess at their maximum: the exponentials, their sum and the maximum in one sweep, the results in
/// another. For operations that take any reference near the maximum (any_reference).
///
/// The guess is the largest of the first elements. References are powers of two, so it changes no bit of the results; where
/// it was too far off, which is known when the sweep has seen all, the row is done again relative to its maximum. So the
/// logits must still be there: not in place.

#include "compiler.hpp"
#include "exp.hpp"
#include "long_row.hpp"
#include "operations.hpp"
#include "simd.hpp"
#include "windows.hpp"

#include <cstddef>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// How many elements a guess is made from; rows are at least as long.
inline constexpr std::size_t guess_elements = 64;

template <class B>
XSOFTMAX_ALWAYS_INLINE value_of<B> guess_at_maximum(const value_of<B>* logits)
{
    B best = load_whole<B>(logits);
    XSOFTMAX_UNROLL
    for (std::size_t i = B::size; i < guess_elements; i += B::size) best = maximum(best, load_whole<B>(logits + i));
    return horizontal_maximum(best);
}

/// A row between its sweeps.
template <class B, bool Stores, class Operation>
class guessed_row {
    using T = value_of<B>;
    using sweep_type = exponential_sweep<B, Stores, true, Operation, T, near_maximum<B>>;

public:
    XSOFTMAX_ALWAYS_INLINE guessed_row(const Operation& operation, const T* logits, T* to, T guess,
                                       const scale_for<B>& scale, largest_trees<B>& trees)
        : operation_(operation),
          guess_(guess),
          trees_(trees),
          reference_(guess, scale),
          sweep_(operation, logits, to, reference_, &trees)
    {
    }

    XSOFTMAX_ALWAYS_INLINE auto& sweep() { return sweep_; }

    /// Adds up what has been swept.
    XSOFTMAX_ALWAYS_INLINE void add_up()
    {
        totals_ = sweep_.totals();
        top_ = sweep_.top();
    }

    XSOFTMAX_ALWAYS_INLINE bool is_good() const { return reference_.scale().is_good_guess(guess_, top_); }

    /// The sum's reciprocal.
    XSOFTMAX_ALWAYS_INLINE coefficients<T, 2> finish()
    {
        mend<B>(totals_, top_, reference_, trees_, sweep_.exponentials());
        return operation_.template finish<T>(totals_, reference_);
    }

    XSOFTMAX_ALWAYS_INLINE bool exceeds_one(const coefficients<T, 2>& row_coefficients) const
    {
        return leading(totals_.own) != 0 && Operation::template exceeds_one<B>(B(top_), reference_, row_coefficients);
    }

    template <class Window>
    XSOFTMAX_ALWAYS_INLINE B kept(Window window) const
    {
        return sweep_.kept(window);
    }

    XSOFTMAX_ALWAYS_INLINE B end() const { return sweep_.end(); }
    XSOFTMAX_ALWAYS_INLINE const near_maximum<B>& reference() const { return reference_; }

private:
    const Operation& operation_;
    T guess_;
    T top_ = 0;
    const largest_trees<B>& trees_;
    near_maximum<B> reference_;
    sweep_type sweep_;
    row_totals<T, 1> totals_;
};

/// A row of at least guess_elements, not in place, at an ordinary temperature.
template <class Arch, class Operation, class T>
XSOFTMAX_NEVER_INLINE void two_pass(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const auto scale = scale_for<B>::make(temperature, 1);
    const T guess = guess_at_maximum<B>(logits);
    if (!scale.is_near(guess)) [[unlikely]]
        return three_pass<Arch>(operation, logits, n, temperature);
    largest_trees<B> trees(n);
    guessed_row<B, true, Operation> row(operation, logits, operation.output, guess, scale, trees);
    auto& sweep = row.sweep();
    for_each_window<B>(
        n, [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA { sweep.block(i); },
        [&](auto window) XSOFTMAX_INLINE_LAMBDA { sweep.single(window); });
    row.add_up();
    if (!row.is_good()) [[unlikely]]
        return three_pass<Arch>(operation, logits, n, temperature);
    const auto row_coefficients = row.finish();
    write_results<B>(
        operation.output, n, [&](auto window) XSOFTMAX_INLINE_LAMBDA { return row.kept(window); },
        operation.template writer<B>(in_all_lanes<B>(row_coefficients), row.reference()));
    if (row.exceeds_one(row_coefficients)) [[unlikely]]
        bound_by_one<B>(operation.output, n);
    operation.complete();
}

/// A row whose exponentials have been stored, and whose results have not.
template <class B, class T>
struct waiting_row {
    bool is_there = false;
    T* output = nullptr;
    coefficients<T, 2> row_coefficients = {};
    bool exceeds_one = false;
    B end = B(T(0));

    /// What waits for the results, if it waits at `exponentials`.
    template <class Window>
    XSOFTMAX_ALWAYS_INLINE B kept(Window window, const T* exponentials) const
    {
        if constexpr (std::is_same_v<Window, part_window<B>>)
            return end;
        else
            return window.load_from(exponentials, T(0));
    }
};

/// Blocks by which the writing of a row is behind the exponentials of the next: so that no load has an address that agrees
/// in the last 12 bits with a store shortly before, as places in rows a page apart do.
inline constexpr std::size_t blocks_behind = 2;

/// Many such rows: each is written while the exponentials of the next are computed, which hides the one's waiting for memory
/// behind the other's arithmetic. What is a chain of waits (sums on their way across lanes, a division: 100 cycles) is cut
/// into pieces with work between them, since a processor looks no more than about 400 instructions ahead. logits(r) and
/// operations(r) are row r's.
template <class Arch, class T, class Logits, class Operations>
XSOFTMAX_NEVER_INLINE void overlapped_rows(std::size_t rows, std::size_t n, double temperature, const Logits& logits,
                                           const Operations& operations)
{
    using B = xsimd::batch<T, Arch>;
    using operation_type = std::remove_cvref_t<decltype(operations(std::size_t{}))>;
    constexpr std::size_t block = block_size * B::size, behind = blocks_behind * block;
    const std::size_t in_blocks = n - n % block;
    const auto scale = scale_for<B>::make(temperature, 1);
    largest_trees<B> trees(n);
    waiting_row<B, T> before;
    T guess = guess_at_maximum<B>(logits(0));
    for (std::size_t r = 0; r < rows || before.is_there; ++r) {
        const auto result = operation_type::template writer<B>(in_all_lanes<B>(before.row_coefficients),
                                                               near_maximum<B>(T(0), T(0), T(0), scale));
        const auto write = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            window.store_to(before.output, result(before.kept(window, before.output), window));
        };
        std::size_t written = before.is_there ? 0 : n;
        const auto finish_before = [&]() XSOFTMAX_INLINE_LAMBDA {
            for (; n - written >= B::size; written += B::size) write(whole_window<B>{written});
            if (written != n) write(part_window<B>{written, n - written});
            if (before.is_there && before.exceeds_one) [[unlikely]]
                bound_by_one<B>(before.output, n);
        };
        if (r == rows || !scale.is_near(guess)) [[unlikely]] {
            finish_before();
            before.is_there = false;
        }
        else {
            const operation_type operation = operations(r);
            guessed_row<B, true, operation_type> row(operation, logits(r), operation.output, guess, scale, trees);
            auto& sweep = row.sweep();
            trees.clear();
            std::size_t i = 0;
            for (; i < in_blocks && (i < behind || !before.is_there); i += block) sweep.block(i);
            for (; i < in_blocks; i += block) {
                sweep.block(i);
                XSOFTMAX_UNROLL
                for (std::size_t k = 0; k < block; k += B::size) write(whole_window<B>{i - behind + k});
                written += block;
            }
            for (; n - i >= B::size; i += B::size) sweep.single(whole_window<B>{i});
            if (i != n) sweep.single(part_window<B>{i, n - i});
            row.add_up();
            if (r + 1 < rows) guess = guess_at_maximum<B>(logits(r + 1));
            finish_before();
            before.is_there = row.is_good();
            if (before.is_there) [[likely]] {
                before.output = operation.output;
                before.end = row.end();
                before.row_coefficients = row.finish();
                before.exceeds_one = row.exceeds_one(before.row_coefficients);
            }
        }
        if (!before.is_there && r < rows) [[unlikely]] {
            operation_type again = operations(r);
            three_pass<Arch>(again, logits(r), n, temperature);
            if (r + 1 < rows) guess = guess_at_maximum<B>(logits(r + 1));
        }
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
