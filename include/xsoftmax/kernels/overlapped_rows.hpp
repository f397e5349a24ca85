#pragma once

/// Many rows relative to guesses at their maxima (two_pass.hpp): each is written while the exponentials of the next are
/// computed, which hides the one's waiting for memory behind the other's arithmetic.

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

/// Stores the results of one row after another, each from its beginning to its end. result_at(window) computes them.
template <class B>
class plain_writer {
    using T = value_of<B>;

public:
    /// A row of n elements.
    template <class ResultAt>
    XSOFTMAX_ALWAYS_INLINE void begin(T* output, std::size_t n, const ResultAt&)
    {
        output_ = output;
        n_ = n;
        written_ = 0;
    }

    template <class ResultAt>
    XSOFTMAX_ALWAYS_INLINE void block(const ResultAt& result_at)
    {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < block_size; ++k) write(whole_window<B>{written_ + k * B::size}, result_at);
        written_ += block_size * B::size;
    }

    /// What is left of the row.
    template <class ResultAt>
    XSOFTMAX_ALWAYS_INLINE void rest(const ResultAt& result_at)
    {
        for (; n_ - written_ >= B::size; written_ += B::size) write(whole_window<B>{written_}, result_at);
        if (written_ != n_) write(part_window<B>{written_, n_ - written_}, result_at);
        written_ = n_;
    }

    /// Nothing is kept back any more.
    XSOFTMAX_ALWAYS_INLINE void flush() {}

private:
    template <class Window, class ResultAt>
    XSOFTMAX_ALWAYS_INLINE void write(Window window, const ResultAt& result_at) const
    {
        window.store_to(output_, result_at(window));
    }

    T* output_ = nullptr;
    std::size_t n_ = 0;
    std::size_t written_ = 0;
};

/// A row whose totals are known, and whose results are not yet written.
template <class B, class Operation>
struct waiting_row {
    using T = value_of<B>;

    bool is_there = false;
    T* output = nullptr;
    const T* kept = nullptr;  ///< its exponentials, or its logits if those are what the operation makes results of
    B end = B(T(0));          ///< those of the ragged end
    coefficients<T, coefficients_count<Operation, T>> row_coefficients = {};
    T maximum = 0;
    row_totals<T, 1> totals = {};  ///< where has_result_beside
    std::size_t own_element = 0;   ///< where has_own_element
    T own_result = 0;
    bool winner_is_one = false;
};

/// Where exponentials wait, and how results are written: in the output, by plain stores.
template <class B>
struct waiting_in_output {
    using T = value_of<B>;
    using writer = plain_writer<B>;

    /// Blocks by which the writing of a row is behind the exponentials of the next: so that no load has an address that
    /// agrees in the last 12 bits with a store shortly before, as places in rows a page apart do.
    static constexpr std::size_t blocks_behind = 2;

    /// Where those of row r wait.
    XSOFTMAX_ALWAYS_INLINE T* place(std::size_t, T* output) const { return output; }

    /// Called when all of a row's exponentials are stored but the end.
    XSOFTMAX_ALWAYS_INLINE void store_end(T*, std::size_t, B) const {}

    /// The exponentials of a window of a row that waits.
    template <class Operation, class Window>
    XSOFTMAX_ALWAYS_INLINE B exponentials_at(const waiting_row<B, Operation>& row, Window window) const
    {
        if constexpr (std::is_same_v<Window, part_window<B>>)
            return row.end;
        else
            return load_whole<B>(row.kept + window.at);
    }
};

/// Rows of at least guess_elements whose logits are kept, at an ordinary temperature. logits(r) and operations(r) are row r's.
///
/// What is a chain of waits (sums on their way across lanes, a division: 100 cycles) is cut into pieces with work between
/// them, since a processor looks no more than about 400 instructions ahead.
template <class Arch, class T, class Waiting, class Logits, class Operations>
XSOFTMAX_ALWAYS_INLINE void overlap_rows(const Waiting& waiting, std::size_t rows, std::size_t n, double temperature,
                                         const Logits& logits, const Operations& operations, bool prefetches)
{
    using B = xsimd::batch<T, Arch>;
    using operation_type = operation_of<Operations>;
    constexpr std::size_t block = block_size * B::size, behind = Waiting::blocks_behind * block;
    const std::size_t in_blocks = n - n % block;
    const auto scale = scale_for<B>::make(temperature, 1);
    largest_trees<B> trees(n);
    waiting_row<B, operation_type> before;
    typename Waiting::writer writer;
    T guess = guess_at_maximum<B>(logits(0));
    for (std::size_t r = 0; r < rows || before.is_there; ++r) {
        const near_maximum<B> maximum_before(before.maximum, T(0), T(0), scale);
        const auto result = operation_type::template writer<B>(
            guessed_coefficients<B, operation_type>(before.row_coefficients), maximum_before);
        const auto result_at = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            const B kept = [&]() XSOFTMAX_INLINE_LAMBDA {
                if constexpr (operation_type::uses_exponentials)
                    return waiting.exponentials_at(before, window);
                else
                    return window.load_from(before.kept, -infinity<T>);
            }();
            const B results = result(kept, window);
            if constexpr (has_own_element<operation_type>)
                if (before.own_element - window.at < B::size) [[unlikely]]
                    return with_lane(results, before.own_element - window.at, before.own_result);
            return results;
        };
        const auto finish_before = [&]() XSOFTMAX_INLINE_LAMBDA {
            writer.rest(result_at);
            if constexpr (has_result_beside<operation_type>)
                if (before.is_there) finish_beside<Arch>(operations(r - 1), before.totals, maximum_before);
            if (before.is_there && before.winner_is_one) [[unlikely]] {
                writer.flush();
                give_winner_one<B>(before.output, n);
            }
        };
        if (before.is_there) writer.begin(before.output, n, result_at);
        if (r == rows || !scale.is_near(guess)) [[unlikely]] {
            finish_before();
            before.is_there = false;
        }
        else {
            auto&& operation = operations(r);
            T* const exponentials = waiting.place(r, operation.output);
            guessed_row<B, operation_type> row(operation, logits(r), exponentials, guess, scale, trees, prefetches);
            auto& sweep = row.sweep();
            const auto sweep_blocks = [&](auto in_trees) XSOFTMAX_INLINE_LAMBDA {
                with_division<B>(sweep.reference(), [&](auto divides) XSOFTMAX_INLINE_LAMBDA {
                    std::size_t i = 0;
                    for (; i < in_blocks && (i < behind || !before.is_there); i += block)
                        sweep.template block<in_trees, divides>(i);
                    for (; i < in_blocks; i += block) {
                        sweep.template block<in_trees, divides>(i);
                        writer.block(result_at);
                    }
                });
            };
            trees.clear();
            if (trees.are_used())
                sweep_blocks(std::true_type{});
            else
                sweep_blocks(std::false_type{});
            std::size_t i = in_blocks;
            for (; n - i >= B::size; i += B::size) sweep.single(whole_window<B>{i});
            if (i != n) sweep.single(part_window<B>{i, n - i});
            if constexpr (operation_type::uses_exponentials) waiting.store_end(exponentials, n, row.end());
            row.add_up();
            if (r + 1 < rows) guess = guess_at_maximum<B>(logits(r + 1));
            finish_before();
            before.is_there = row.is_good();
            if (before.is_there) [[likely]] {
                before.output = operation.output;
                before.kept = operation_type::uses_exponentials ? exponentials : logits(r);
                before.end = row.end();
                before.maximum = static_cast<T>(row.maximum().value());
                // In short rows a heavy element is so common that the answer would be mispredicted, and undo what has been
                // begun of the next row.
                before.row_coefficients = trees.are_used() ? row.finish(n) : row.template finish<false>(n);
                before.winner_is_one = row.winner_is_one();
                if constexpr (has_own_element<operation_type>) {
                    before.own_element = operation.target;
                    before.own_result = operation.target_gradient;
                }
                if constexpr (has_result_beside<operation_type>) before.totals = row.totals();
                before.is_there = row.keeps_digits(before.row_coefficients);
            }
        }
        if (!before.is_there && r < rows) [[unlikely]] {
            auto&& again = operations(r);
            three_pass<Arch>(again, logits(r), n, temperature);
            if (r + 1 < rows) guess = guess_at_maximum<B>(logits(r + 1));
        }
    }
    writer.flush();
}

/// The same where the exponentials wait in the output.
template <class Arch, class T, class Logits, class Operations>
XSOFTMAX_NEVER_INLINE void overlapped_rows(std::size_t rows, std::size_t n, double temperature, const Logits& logits,
                                           const Operations& operations, bool prefetches)
{
    overlap_rows<Arch, T>(waiting_in_output<xsimd::batch<T, Arch>>{}, rows, n, temperature, logits, operations,
                          prefetches);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
