#pragma once

/// Many rows whose results do not stay in a cache: each line of the output is written once, past the caches (streaming
/// stores), and not read before. Until a row's sum is known its exponentials wait in a scratch row, which does stay in one.
/// For operations that take any reference near the maximum, not in place. What is made of logits (log_softmax) does not wait.
///
/// Of a row that does not fit a cache by itself, computing the exponentials twice is quicker than storing them and reading them
/// again.

#include "compiler.hpp"
#include "exp.hpp"
#include "long_row.hpp"
#include "operations.hpp"
#include "overlapped_rows.hpp"
#include "simd.hpp"
#include "two_pass.hpp"
#include "windows.hpp"

#include <cstddef>
#include <cstdint>
#include <new>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Stores the results of one row after another past the caches, a line at a time.
///
/// A line that a row ends in is kept back for the next row, which may begin in it: storing it in parts would be a wait for
/// memory, behind which the streaming stores would wait too.
template <class B>
class streaming_writer {
    using T = value_of<B>;
    static constexpr std::size_t line = line_bytes / sizeof(T);
    static_assert(block_size * B::size % line == 0);

public:
    /// A row of n elements, at least a line.
    template <class ResultAt>
    XSOFTMAX_ALWAYS_INLINE void begin(T* output, std::size_t n, const ResultAt& result_at)
    {
        const std::size_t to_line = -reinterpret_cast<std::uintptr_t>(output) % line_bytes / sizeof(T);
        if (kept_ != 0 && output == kept_for_ + kept_) {
            store_parts(kept_line_ + kept_, 0, to_line, result_at);
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < line; k += B::size)
                store_past_caches(kept_for_ + k, B(B::load_aligned(kept_line_ + k)));
            kept_ = 0;
        }
        else {
            flush();
            store_parts(output, 0, to_line, result_at);
        }
        output_ = output;
        n_ = n;
        written_ = to_line;
    }

    template <class ResultAt>
    XSOFTMAX_ALWAYS_INLINE void block(const ResultAt& result_at)
    {
        stream<block_size * B::size>(result_at);
    }

    /// What is left of the row.
    template <class ResultAt>
    XSOFTMAX_ALWAYS_INLINE void rest(const ResultAt& result_at)
    {
        while (n_ - written_ >= line) stream<line>(result_at);
        if (written_ == n_) return;
        kept_for_ = output_ + written_;
        kept_ = n_ - written_;
        store_parts(kept_line_, written_, n_, result_at);
        written_ = n_;
    }

    /// Nothing is kept back any more.
    XSOFTMAX_ALWAYS_INLINE void flush()
    {
        for (std::size_t k = 0; k < kept_; ++k) kept_for_[k] = kept_line_[k];
        kept_ = 0;
    }

private:
    template <std::size_t Count, class ResultAt>
    XSOFTMAX_ALWAYS_INLINE void stream(const ResultAt& result_at)
    {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < Count; k += B::size)
            store_past_caches(output_ + written_ + k, result_at(whole_window<B>{written_ + k}));
        written_ += Count;
    }

    /// Those of elements `begin` to `end`.
    template <class ResultAt>
    XSOFTMAX_ALWAYS_INLINE static void store_parts(T* to, std::size_t begin, std::size_t end, const ResultAt& result_at)
    {
        const std::size_t whole = (end - begin) / B::size * B::size, count = end - begin - whole;
        for (std::size_t k = 0; k < whole; k += B::size) store_whole(to + k, result_at(whole_window<B>{begin + k}));
        if (count != 0) store_part(to + whole, count, result_at(part_window<B>{begin + whole, count}));
    }

    T* output_ = nullptr;
    std::size_t n_ = 0;
    std::size_t written_ = 0;
    T* kept_for_ = nullptr;
    std::size_t kept_ = 0;
    alignas(line_bytes) T kept_line_[line];
};

/// Longest row that waits so: two of them leave room in a second-level cache.
inline constexpr std::size_t scratch_row_bytes = std::size_t{160} << 10;

/// Room for two rows of n elements, and a vector beyond each; null if there is no memory. They are half a page apart, but for
/// whole pages: a load waits for an earlier store whose address agrees in the last 12 bits.
template <class B>
class scratch_rows {
    using T = value_of<B>;
    static constexpr std::align_val_t alignment{line_bytes};
    static constexpr std::size_t page = 4096 / sizeof(T);

public:
    explicit scratch_rows(std::size_t n)
        : stride_((n + B::size + page - 1) / page * page + page / 2),
          data_(static_cast<T*>(::operator new(2 * stride_ * sizeof(T), alignment, std::nothrow)))
    {
    }
    ~scratch_rows() { ::operator delete(data_, alignment, std::nothrow); }
    scratch_rows(const scratch_rows&) = delete;
    scratch_rows& operator=(const scratch_rows&) = delete;

    explicit operator bool() const { return data_ != nullptr; }
    XSOFTMAX_ALWAYS_INLINE T* operator[](std::size_t row) const { return data_ + row * stride_; }

private:
    std::size_t stride_;
    T* data_;
};

/// Exponentials wait in scratch rows, and results are written past the caches.
template <class B>
struct waiting_in_scratch {
    using T = value_of<B>;
    using writer = streaming_writer<B>;

    static constexpr std::size_t blocks_behind = 1;  // for what comes before the first whole line

    const scratch_rows<B>& scratch;

    XSOFTMAX_ALWAYS_INLINE T* place(std::size_t r, T*) const { return scratch[r % 2]; }

    XSOFTMAX_ALWAYS_INLINE void store_end(T* exponentials, std::size_t n, B end) const
    {
        store_whole(exponentials + n / B::size * B::size, end);
    }

    /// Windows are not where they were when exponentials were stored: they begin where the output's lines do.
    template <class Operation, class Window>
    XSOFTMAX_ALWAYS_INLINE B exponentials_at(const waiting_row<B, Operation>& row, Window window) const
    {
        return load_whole<B>(row.kept + window.at);
    }
};

/// Many rows of guess_elements to scratch_row_bytes, not in place, at an ordinary temperature. logits(r) and operations(r)
/// are row r's.
template <class Arch, class T, class Logits, class Operations>
XSOFTMAX_NEVER_INLINE void rows_by_scratch(std::size_t rows, std::size_t n, double temperature, const Logits& logits,
                                           const Operations& operations)
{
    using B = xsimd::batch<T, Arch>;
    using operation_type = operation_of<Operations>;
    const scratch_rows<B> scratch(operation_type::uses_exponentials ? n : 0);
    if (!scratch) [[unlikely]]
        return overlapped_rows<Arch, T>(rows, n, temperature, logits, operations, true);
    overlap_rows<Arch, T>(waiting_in_scratch<B>{scratch}, rows, n, temperature, logits, operations, true);
    end_of_stores_past_caches<Arch>();
}

/// A row of at least guess_elements, not in place, at an ordinary temperature: its logits are read twice, its results written
/// past the caches.
template <class Arch, class Operation, class T>
XSOFTMAX_NEVER_INLINE void recomputed_row(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    constexpr std::size_t block = block_size * B::size;
    const auto write = [&](const auto& row, const auto& row_coefficients) XSOFTMAX_INLINE_LAMBDA {
        const auto reference = row.maximum();
        const auto result =
            operation.template writer<B>(guessed_coefficients<B, Operation>(row_coefficients), reference);
        const auto result_at = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            const B x = window.load_from(logits, -infinity<T>);
            if constexpr (Operation::uses_exponentials)
                return result(operation.kept(x, reference.exponential(x), reference), window);
            else
                return result(x, window);
        };
        streaming_writer<B> writer;
        writer.begin(operation.output, n, result_at);
        // A block less than there are, for what comes before the first whole line.
        for (std::size_t i = block; i + block <= n; i += block) {
            prefetch_block_ahead<B>(logits + i);
            writer.block(result_at);
        }
        writer.rest(result_at);
        writer.flush();
        end_of_stores_past_caches<Arch>();
    };
    two_sweeps<Arch, false>(operation, logits, n, temperature, true, write);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
