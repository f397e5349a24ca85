#pragma once

/// Any view becomes rows: where they begin, and how far apart their elements are, for several operands side by side.

#include "function_ref.hpp"
#include "operands.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// Operands of one function whose rows are visited side by side, at most: two inputs and an output.
inline constexpr std::size_t most_operands = 3;

/// A distance in elements for each operand.
using offsets = std::array<std::ptrdiff_t, most_operands>;

/// The part of the rows that one task is to do, of `of` parts.
struct rows_share {
    std::size_t part = 0;
    std::size_t of = 1;
};

/// The rows of one to three operands of the same extents along one axis.
struct row_layout {
    struct dimension {
        std::size_t extent;
        offsets strides;
        /// From one of its indices to the next, in row-major order of the axes but the rows' own.
        std::size_t rows;
    };

    std::size_t operands = 0;
    std::size_t length = 0;  ///< elements of a row
    offsets step{};          ///< from an element of a row to the next
    /// The other axes, slowest first, neighbours merged where that leaves all operands' rows where they are. At least one.
    std::size_t outer_rank = 0;
    std::array<dimension, max_rank> outer;

    row_layout() noexcept {}  // NOLINT: a defaulted one clears axes that are not there

    [[nodiscard]] std::size_t rows() const
    {
        std::size_t count = 1;
        for (std::size_t k = 0; k < outer_rank; ++k) count *= outer[k].extent;
        return count;
    }

    [[nodiscard]] const dimension& innermost() const { return outer[outer_rank - 1]; }

    [[nodiscard]] bool is_contiguous() const { return length <= 1 || all_are_one(step); }

    /// Brings an axis along which all operands are contiguous to the end, if there is one. Rows are then visited in another
    /// order, and keep their numbers.
    void bring_contiguous_innermost()
    {
        for (std::size_t k = outer_rank; k-- > 0;) {
            if (outer[k].extent <= 1 || !all_are_one(outer[k].strides)) continue;
            std::rotate(&outer[k], &outer[k + 1], &outer[outer_rank]);
            return;
        }
    }

    /// Are the elements of neighbouring rows neighbours, and not those of a row?
    [[nodiscard]] bool are_columns() const
    {
        return !is_contiguous() && innermost().extent > 1 && all_are_one(innermost().strides);
    }

    /// Rows of a run that are not shared out: rows side by side are computed together.
    [[nodiscard]] std::size_t block_rows() const { return is_contiguous() ? 1 : 64; }

    /// How many such blocks there are.
    [[nodiscard]] std::size_t blocks() const
    {
        const std::size_t all = rows();
        return all == 0 ? 0 : all / innermost().extent * blocks_of_run();
    }

    /// Calls visit(number of the first row, its offset in each operand, rows) for each run of rows along the innermost axis,
    /// whose numbers are innermost().rows apart; or for those, and the parts of those, that are in a share.
    void for_each_run(function_ref<void(std::size_t, const offsets&, std::size_t)> visit, rows_share share = {}) const
    {
        const std::size_t all = blocks();
        const auto share_begin = [&](std::size_t part) {
            return all / share.of * part + all % share.of * part / share.of;
        };
        const std::size_t last = share_begin(share.part + 1), of_run = all == 0 ? 1 : blocks_of_run();
        for (std::size_t block = share_begin(share.part); block < last;) {
            offsets at{};
            std::size_t first_row = 0, run = block / of_run;
            for (std::size_t k = outer_rank - 1; k-- > 0;) {
                move(at, first_row, outer[k], run % outer[k].extent);
                run /= outer[k].extent;
            }
            const std::size_t blocks_here = (std::min)(of_run - block % of_run, last - block);
            const std::size_t begin = block % of_run * block_rows();
            const std::size_t end = (std::min)((block % of_run + blocks_here) * block_rows(), innermost().extent);
            move(at, first_row, innermost(), begin);
            visit(first_row, at, end - begin);
            block += blocks_here;
        }
    }

private:
    [[nodiscard]] bool all_are_one(const offsets& strides) const
    {
        for (std::size_t o = 0; o < operands; ++o)
            if (strides[o] != 1) return false;
        return true;
    }

    [[nodiscard]] std::size_t blocks_of_run() const { return (innermost().extent - 1) / block_rows() + 1; }

    static void move(offsets& at, std::size_t& row, const dimension& along, std::size_t by)
    {
        for (std::size_t o = 0; o < most_operands; ++o) at[o] += along.strides[o] * static_cast<std::ptrdiff_t>(by);
        row += along.rows * by;
    }
};

/// The rows along `axis` of operands whose extents agree.
[[nodiscard]] inline row_layout rows_along(std::size_t axis, std::initializer_list<const shape*> operands)
{
    const shape& first = **operands.begin();
    const auto strides_of = [&](std::size_t k) {
        offsets strides{};
        std::size_t o = 0;
        for (const shape* const operand : operands) strides[o++] = operand->strides[k];
        return strides;
    };
    row_layout result;
    result.operands = operands.size();
    result.length = first.extents[axis];
    result.step = strides_of(axis);
    for (std::size_t k = 0; k < first.rank; ++k) {
        if (k == axis || first.extents[k] == 1) continue;
        const row_layout::dimension next{first.extents[k], strides_of(k), 1};
        if (result.outer_rank > 0) {
            auto& before = result.outer[result.outer_rank - 1];
            bool merges = true;  // unsigned: of a view without elements, strides times extents may overflow
            for (std::size_t o = 0; o < most_operands; ++o)
                merges = merges && static_cast<std::size_t>(before.strides[o]) ==
                                       static_cast<std::size_t>(next.strides[o]) * next.extent;
            if (merges) {
                before = {before.extent * next.extent, next.strides, 1};
                continue;
            }
        }
        result.outer[result.outer_rank++] = next;
    }
    if (result.outer_rank == 0) result.outer[result.outer_rank++] = {1, {}, 1};
    for (std::size_t k = result.outer_rank - 1; k-- > 0;)
        result.outer[k].rows = result.outer[k + 1].rows * result.outer[k + 1].extent;
    return result;
}

/// With neighbours that are contiguous innermost, where there are any.
[[nodiscard]] inline row_layout arranged(row_layout layout)
{
    if (!layout.is_contiguous()) layout.bring_contiguous_innermost();
    return layout;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
