#pragma once

/// Rows of any layout in chunks that the kernels take: contiguous rows, or rows side by side. What lies otherwise, or under a
/// mask, is copied first.

#include "../kernels/entry_points.hpp"
#include "../kernels/rare_row.hpp"
#include "architecture.hpp"
#include "batch.hpp"
#include "executor.hpp"
#include "masks.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

using kernels::cache_regime;

/// Up to kernels::rows_at_once rows of n ≥ 1 elements, and what becomes of them; or one contiguous row, for which nothing need
/// be compiled that many rows take.
template <class T, bool IsRow = false>
class chunk {
public:
    /// Rows begin `row` elements apart, and their elements lie `step` apart.
    template <class U>
    struct place {
        U* first = nullptr;
        std::ptrdiff_t row = 0, step = 1;

        [[nodiscard]] U* at(std::size_t r) const { return first + static_cast<std::ptrdiff_t>(r) * row; }
    };

    place<const T> logits, targets;
    place<T> output;  ///< null where only numbers are wanted
    std::size_t count = 1;
    std::size_t length = 0;
    std::size_t first = 0;  ///< number of the first row
    std::size_t apart = 1;  ///< from one row's number to the next's
    bool are_columns = false;
    bool is_out_of_cache = false;
    T* buffer = nullptr;       ///< room for a row's exponentials, where results are streamed
    std::uint64_t masked = 0;  ///< bit r: row r is fully masked, and its logits here are not its own
    double temperature = 1;
    kernels::row_sums<T> sums;

    [[nodiscard]] std::size_t number(std::size_t r) const { return first + r * apart; }
    [[nodiscard]] bool is_rare(std::size_t r) const { return (sums.rare >> r & 1) != 0; }

    /// Sums the rows, or so many of the first ones as can be summed together, to which the chunk is cut. Exponentials are kept
    /// where they are wanted.
    template <bool Splits>
    void sum(bool keeps)
    {
        using namespace kernels;
        T* const over = keeps ? output.first : nullptr;
        is_padded_ = length * sizeof(T) <= cache_regime::tile_row_bytes;
        if constexpr (IsRow) {
            exponentials_ = {is_padded_ && keeps ? tile_ : over, 0};
            sums.rare = 0;
            return call<std::conditional_t<Splits, split_row_entry<T>, sum_row_entry<T>>>(
                logits.first, length, exponentials_.first, is_padded_, temperature, is_out_of_cache, sums,
                std::size_t{0});
        }
        else if (are_columns) {
            using entry = std::conditional_t<Splits, split_columns_entry<T>, sum_columns_entry<T>>;
            count = call<entry>(columns<const T>{logits.first, logits.step}, count, length,
                                columns<T>{over, output.step}, temperature, sums);
            return;
        }
        sum_contiguous<Splits>(over, keeps);
    }

    /// Are logits lost to the exponentials that keep their places?
    [[nodiscard]] bool overwrites() const
    {
        return output.first == logits.first && (are_columns || length * sizeof(T) > cache_regime::tile_row_bytes);
    }

    /// Results of the exponentials.
    void write(const kernels::scaled_exponentials<T>& kind) const
    {
        using namespace kernels;
        if constexpr (!IsRow)
            if (are_columns)
                return call<write_scaled_columns_entry<T>>(kind, columns<const T>{output.first, output.step},
                                                           columns<const T>{}, columns<T>{output.first, output.step},
                                                           count, length);
        for_ordinary_rows([&](std::size_t begin, std::size_t rows) {
            const strided_rows<const T> from{exponentials_.first, exponentials_.row};
            const strided_rows<T> to{output.first, output.row};
            if constexpr (!IsRow)
                if (buffer != nullptr && !is_padded_)
                    return call<stream_scaled_entry<T>>(kind, from, to, begin, rows, length);
            call<write_scaled_entry<T>>(kind, from, is_padded_, strided_rows<const T>{}, to, begin, rows, length);
        });
    }
    void write(const kernels::scaled_less_targets<T>& kind) const
    {
        using namespace kernels;
        for_ordinary_rows([&](std::size_t begin, std::size_t rows) {
            call<write_less_targets_entry<T>>(kind, strided_rows<const T>{exponentials_.first, exponentials_.row},
                                              is_padded_, strided_rows<const T>{targets.first, targets.row},
                                              strided_rows<T>{output.first, output.row}, begin, rows, length);
        });
    }

    /// Results of the logits.
    void write(const kernels::shifted_logits<T>& kind) const
    {
        using namespace kernels;
        if constexpr (!IsRow)
            if (are_columns)
                return call<write_shifted_columns_entry<T>>(kind, columns<const T>{logits.first, logits.step},
                                                            columns<const T>{}, columns<T>{output.first, output.step},
                                                            count, length);
        for_ordinary_rows([&](std::size_t begin, std::size_t rows) {
            const strided_rows<const T> from{logits.first, logits.row};
            const strided_rows<T> to{output.first, output.row};
            if constexpr (!IsRow)
                if (is_out_of_cache && output.first != logits.first && length * sizeof(T) >= cache_regime::line_bytes)
                    return call<stream_shifted_entry<T>>(kind, from, to, begin, rows, length);
            call<write_shifted_entry<T>>(kind, from, false, strided_rows<const T>{}, to, begin, rows, length);
        });
    }

private:
    template <bool Splits>
    void sum_contiguous(T* over, bool keeps)
    {
        using namespace kernels;
        if (is_padded_ && keeps)
            exponentials_ = {
                tile_, static_cast<std::ptrdiff_t>((length * sizeof(T) + cache_regime::line_bytes - 1) /
                                                   cache_regime::line_bytes * cache_regime::line_bytes / sizeof(T))};
        else if (buffer != nullptr && keeps)
            exponentials_ = {buffer, 0};
        else
            exponentials_ = {over, output.row};
        using entry = std::conditional_t<Splits, split_rows_entry<T>, sum_rows_entry<T>>;
        call<entry>(strided_rows<const T>{logits.first, logits.row}, count, length, is_padded_,
                    strided_rows<T>{exponentials_.first, exponentials_.row}, temperature, is_out_of_cache, sums);
    }

    template <class Run>
    void for_ordinary_rows(const Run& run) const
    {
        if (sums.rare == 0) [[likely]]
            return run(0, count);
        for (std::size_t r = 0; r < count; ++r)
            if (!is_rare(r)) run(r, 1);
    }

    place<T> exponentials_;
    bool is_padded_ = false;
    alignas(cache_regime::line_bytes) T tile_[cache_regime::tile_bytes / sizeof(T)];
};

/// Rows of `length` elements for a chunk.
template <class T>
[[nodiscard]] std::size_t rows_of_chunk(std::size_t length)
{
    const std::size_t lines = (length * sizeof(T) + cache_regime::line_bytes - 1) / cache_regime::line_bytes;
    constexpr std::size_t most = kernels::rows_at_once;
    if (length * sizeof(T) <= cache_regime::tile_row_bytes)
        return (std::min)(most, cache_regime::tile_bytes / (lines * cache_regime::line_bytes));
    return std::clamp<std::size_t>(cache_regime::chunk_bytes / (length * sizeof(T)), 1, most);
}

/// Calls run(chunk) for all rows of a share. Rows that the chunk is cut by come again, each by itself. `keeps` where
/// exponentials wait for the output. The operands are logits, targets if there are, and the output, which is only there if it
/// `writes`.
template <class T>
void for_each_chunk(const row_layout& layout, const pointers<T>& data, bool writes, bool keeps,
                    const row_masks<T>* masks, double temperature, rows_share share, function_ref<void(chunk<T>&)> run)
{
    const std::size_t n = layout.length;
    if (n == 0 || layout.rows() == 0) return;
    const auto& innermost = layout.innermost();
    const std::size_t last = layout.operands - 1;
    const bool has_targets = last == (writes ? 2 : 1);
    chunk<T> part;
    part.length = n;
    part.apart = innermost.rows;
    part.temperature = temperature;
    const bool writes_elsewhere = writes && (data[0] != data[last] || masks != nullptr);
    part.is_out_of_cache =
        layout.rows() >= cache_regime::out_of_cache_bytes / sizeof(T) / n && layout.is_contiguous() && writes_elsewhere;
    const bool streams = part.is_out_of_cache && keeps && !has_targets &&
                         n * sizeof(T) <= cache_regime::buffer_row_bytes &&
                         n * sizeof(T) > cache_regime::tile_row_bytes;
    const elements<T> buffer(streams ? n + cache_regime::line_bytes : 0);
    part.buffer = buffer.data();
    const bool columns = masks == nullptr && layout.are_columns();
    // As many rows as are summed together are composed together.
    const std::size_t at_once = streams ? 1 : columns ? kernels::rows_at_once : rows_of_chunk<T>(n);
    const elements<T> composed(masks == nullptr ? 0 : layout.is_contiguous() ? at_once * n : n);
    const auto compose_and_run = [&] {
        part.masked = 0;
        for (std::size_t k = 0; masks != nullptr && k < part.count; ++k) {
            T* const to = composed.data() + k * n;
            if (masks->compose(part.number(k), part.logits.at(k), to)) continue;
            part.masked |= std::uint64_t{1} << k;
            call<kernels::fill_entry<T>>(to, n, T(0));
        }
        if (masks != nullptr) part.logits = {composed.data(), static_cast<std::ptrdiff_t>(n), 1};
        run(part);
    };
    const auto set = [&](const pointers<T>& at, const offsets& rows, const offsets& steps) {
        part.logits = {at[0], rows[0], steps[0]};
        if (has_targets) part.targets = {at[1], rows[1], steps[1]};
        if (writes) part.output = {at[last], rows[last], steps[last]};
    };
    const auto row_by_row = [&](const pointers<T>& at, std::size_t first, std::size_t rows) {
        row_layout these = layout;
        these.outer_rank = 1;
        these.outer[0] = {rows, innermost.strides, innermost.rows};
        for_each_row<T>(writes, these, at, [&](const pointers<T>& row, std::size_t r) {
            part.are_columns = false;
            part.count = 1;
            part.first = first + r;
            set(row, {}, {1, 1, 1});
            compose_and_run();
        });
    };
    layout.for_each_run(
        [&](std::size_t first_row, const offsets& offset, std::size_t rows) {
            const auto begin = moved_by(data, offset);
            if (!columns && !layout.is_contiguous()) return row_by_row(begin, first_row, rows);
            for (std::size_t r = 0; r < rows; r += at_once) {
                const std::size_t here = (std::min)(at_once, rows - r), first = first_row + r * innermost.rows;
                const auto at = moved_by(begin, innermost.strides, r);
                part.count = here;
                part.first = first;
                part.are_columns = columns;
                set(at, innermost.strides, layout.step);
                compose_and_run();
                const std::size_t done = part.count;
                if (done != here) [[unlikely]]
                    row_by_row(moved_by(at, innermost.strides, done), first + done * innermost.rows, here - done);
            }
        },
        share);
    if (part.is_out_of_cache) kernels::end_of_stores_past_caches();
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
