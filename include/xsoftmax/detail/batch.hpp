#pragma once

/// Rows of any layout, one after the other: contiguous ones where they lie, all others through a small tile.

#include "layout.hpp"
#include "memory.hpp"

#include <algorithm>
#include <cstddef>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// Where operands' elements lie; the data of an input is never written to.
template <class T>
using pointers = std::array<T*, most_operands>;

template <class T, class... Operands>
[[nodiscard]] pointers<T> data_of(const Operands&... operands)
{
    return {const_cast<T*>(operands.data)...};
}

/// `times` steps on, of `by` elements each.
template <class T>
[[nodiscard]] pointers<T> moved_by(pointers<T> at, const offsets& by, std::size_t times = 1)
{
    for (std::size_t o = 0; o < most_operands; ++o) at[o] += static_cast<std::ptrdiff_t>(times) * by[o];
    return at;
}

/// Rows whose elements are apart, copied so that they are contiguous: several at a time, since neighbouring rows often
/// share cache lines.
template <class T>
class row_tile {
public:
    row_tile(std::size_t operands, std::size_t length, std::size_t rows)
        : length_(length),
          rows_((std::min)(rows, std::clamp<std::size_t>(most_elements / std::max<std::size_t>(length, 1), 1, 16))),
          stride_(((length / line + 1) | 1) * line),
          elements_(operands * rows_ * stride_)
    {
    }

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] T* row(std::size_t operand, std::size_t r) { return &elements_[(operand * rows_ + r) * stride_]; }

    /// Calls copy(an element here, the one that it stands for) for `count` rows of an operand.
    template <class Copy>
    void for_each(std::size_t operand, T* at, std::ptrdiff_t step, std::ptrdiff_t row_stride, std::size_t count,
                  const Copy& copy)
    {
        for (std::size_t i = 0; i < length_; ++i)
            for (std::size_t r = 0; r < count; ++r)
                copy(row(operand, r)[i],
                     at[static_cast<std::ptrdiff_t>(i) * step + static_cast<std::ptrdiff_t>(r) * row_stride]);
    }

private:
    static constexpr std::size_t line = 64 / sizeof(T);
    static constexpr std::size_t most_elements = 16384;

    std::size_t length_;
    std::size_t rows_;
    std::size_t stride_;  // an odd number of cache lines, so that rows do not fall into the same places of a cache
    elements<T> elements_;
};

/// Calls run(pointers to contiguous rows, number of the row) for each row of a layout. Where it `writes`, the last operand is
/// an output; the others are inputs.
template <class T>
void for_each_row(bool writes, const row_layout& layout, const pointers<T>& data,
                  function_ref<void(const pointers<T>&, std::size_t)> run, rows_share share = {})
{
    const offsets& strides = layout.innermost().strides;
    const std::size_t apart = layout.innermost().rows, last = layout.operands - 1;
    layout.for_each_run(
        [&](std::size_t first_row, const offsets& offset, std::size_t count) {
            const auto at = moved_by(data, offset);
            if (layout.is_contiguous()) {
                for (std::size_t r = 0; r < count; ++r) run(moved_by(at, strides, r), first_row + r * apart);
                return;
            }
            row_tile<T> tile(layout.operands, layout.length, count);
            for (std::size_t r = 0; r < count; r += tile.rows()) {
                const std::size_t here = (std::min)(tile.rows(), count - r);
                const auto first = moved_by(at, strides, r);
                for (std::size_t o = 0; o < (writes ? last : layout.operands); ++o)
                    tile.for_each(o, first[o], layout.step[o], strides[o], here, [](T& in, T x) { in = x; });
                for (std::size_t k = 0; k < here; ++k) {
                    pointers<T> rows{};
                    for (std::size_t o = 0; o < layout.operands; ++o) rows[o] = tile.row(o, k);
                    run(rows, first_row + (r + k) * apart);
                }
                if (writes)
                    tile.for_each(last, first[last], layout.step[last], strides[last], here,
                                  [](T y, T& out) { out = y; });
            }
        },
        share);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
