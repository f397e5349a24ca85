#pragma once

/// Rows under a mask: what is kept of each, as a row of numbers in which all else is −inf.

#include "../kernels/entry_points.hpp"
#include "../mask.hpp"
#include "architecture.hpp"
#include "arguments.hpp"
#include "batch.hpp"
#include "memory.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// A broadcast view as one of the logits' extents, which repeats its elements by stride 0. Without data if it is of nothing.
template <class T>
[[nodiscard]] operand<const T> broadcast_to(const char* function, const char* argument, const broadcast_view<T>& view,
                                            const shape& logits)
{
    operand<const T> result(view.data_handle(), view.axes());
    if (view.empty()) return result;
    for (std::size_t k = 0; k < view.axes(); ++k) {
        result.extents[k] = view.extent(k);
        result.strides[k] = view.extent(k) == 1 ? 0 : view.stride(k);
    }
    check_broadcast(function, argument, result, logits);
    // The last axes align; those that it lacks repeat it. (Not std::rotate, of which the linker keeps one for all units.)
    for (std::size_t k = logits.rank, left = view.axes(); k-- > 0;)
        result.strides[k] = left > 0 ? result.strides[--left] : 0;
    result.rank = logits.rank;
    result.extents = logits.extents;
    check_countable(function, argument, result);
    return result;
}

/// Where its elements lie, seen from the rows of the logits.
template <class T>
class broadcast_rows {
public:
    broadcast_rows(const operand<const T>& view, std::size_t axis)
        : view_(view), step_(view.data == nullptr ? 0 : view.strides[axis])
    {
        if (empty()) return;
        for (std::size_t k = view.rank; k-- > 0;) {
            if (k == axis) continue;
            extents_[others_] = view.extents[k];
            strides_[others_++] = view.strides[k];
        }
    }

    [[nodiscard]] bool empty() const { return view_.data == nullptr; }
    [[nodiscard]] const operand<const T>& view() const { return view_; }
    [[nodiscard]] std::ptrdiff_t step() const { return step_; }

    /// The first element over row r, counted in row-major order of the other axes; null if there is none.
    [[nodiscard]] const T* row(std::size_t r) const
    {
        if (empty()) return nullptr;
        std::ptrdiff_t offset = 0;
        for (std::size_t k = 0; k < others_; ++k) {  // fastest first
            offset += static_cast<std::ptrdiff_t>(r % extents_[k]) * strides_[k];
            r /= extents_[k];
        }
        return view_.data + offset;
    }

private:
    operand<const T> view_;
    std::ptrdiff_t step_;
    std::size_t others_ = 0;
    std::array<std::size_t, max_rank> extents_{};
    std::array<std::ptrdiff_t, max_rank> strides_{};
};

/// A mask over the rows of logits along one axis.
template <class T>
class row_masks {
public:
    row_masks(const char* function, const mask<T>& given, const operand<const T>& logits, std::size_t axis)
        : function_(function),
          given_(given),
          length_(logits.extents[axis]),
          rows_(rows_along(axis, {&logits}).rows()),
          keep_(broadcast_to(function, "keep", given.keep, logits), axis),
          bias_(broadcast_to(function, "bias", given.bias, logits), axis)
    {
        for (std::size_t k = 0; k < logits.rank; ++k)
            if (k != axis) queries_ = logits.extents[k];
        if (given.lengths) check_lengths(*given.lengths);
    }

    /// Nothing of the mask is written over: rows are read from it after others have been written.
    void check_apart(const char* output_name, const shape& output) const
    {
        if (!keep_.empty()) detail::check_apart(function_, output_name, output, "keep", keep_.view());
        if (!bias_.empty()) detail::check_apart(function_, output_name, output, "bias", bias_.view());
        if (given_.lengths) detail::check_apart(function_, output_name, output, "lengths", shape_of(*given_.lengths));
    }

    /// Is what is kept the beginning of each row, as it is?
    [[nodiscard]] bool is_prefix() const { return keep_.empty() && bias_.empty(); }

    /// Nothing beyond it is kept.
    [[nodiscard]] std::size_t prefix(std::size_t r) const
    {
        std::size_t kept = length_;
        if (lengths_per_row_ != 0) kept = static_cast<std::size_t>((*given_.lengths)[r / lengths_per_row_].magnitude);
        if (given_.causal) {
            // Beyond the row's length no offset makes a difference, but a sum of it might overflow.
            const std::ptrdiff_t offset = (std::min)(*given_.causal, static_cast<std::ptrdiff_t>(length_));
            const std::ptrdiff_t last = static_cast<std::ptrdiff_t>(r % queries_) + offset;
            kept = (std::min)(kept, last < 0 ? std::size_t{0} : static_cast<std::size_t>(last) + 1);
        }
        return kept;
    }

    /// Row r with −inf for all that is left out, written to `to`, which may be the logits. Returns whether anything is kept.
    bool compose(std::size_t r, const T* logits, T* to) const
    {
        const kernels::row_mask<T> of_row{prefix(r), keep_.row(r), keep_.step(), bias_.row(r), bias_.step()};
        return call<kernels::compose_entry<T>>(of_row, logits, to, length_);
    }

    /// What a row gets in which nothing is kept.
    [[nodiscard]] enum fully_masked fully_masked() const { return given_.fully_masked; }

    /// The log-probability that stands for all of such a row.
    [[nodiscard]] T masked_log_probability() const
    {
        switch (given_.fully_masked) {
            case fully_masked::uniform: return static_cast<T>(-::log(static_cast<double>(length_)));
            case fully_masked::nan: return kernels::not_a_number<T>;
            default: return -kernels::infinity<T>;
        }
    }

    /// The probability that does.
    [[nodiscard]] T masked_probability() const
    {
        switch (given_.fully_masked) {
            case fully_masked::uniform: return static_cast<T>(1 / static_cast<double>(length_));
            case fully_masked::nan: return kernels::not_a_number<T>;
            default: return 0;
        }
    }

    /// Throws if a row keeps nothing, that is to be an error, and the row is not one that counts for nothing anyway.
    void check_kept(const row_layout& layout, const pointers<T>& logits,
                    function_ref<bool(std::size_t)> is_ignored) const
    {
        if (given_.fully_masked != fully_masked::error || length_ == 0) return;
        const elements<T> composed(length_);
        for_each_row<T>(false, layout, logits, [&](const pointers<T>& row, std::size_t r) {
            if (!is_ignored(r) && !compose(r, row[0], composed.data()))
                fail(invalid, "xsoftmax::%s: mask keeps nothing of row %zu", function_, r);
        });
    }

private:
    void check_lengths(const integer_list& lengths)
    {
        const std::size_t count = lengths.size();
        if (count == 0 ? rows_ != 0 : rows_ % count != 0) [[unlikely]]
            check_count(function_, "lengths", count, rows_, "rows, of which it has to be a divisor");
        for (std::size_t k = 0; k < count; ++k)
            if (lengths[k].is_negative || lengths[k].magnitude > length_) [[unlikely]]
                fail_integer(function_, "lengths[%zu]", k, lengths[k], length_, "]");
        lengths_per_row_ = count == 0 ? 0 : rows_ / count;
    }

    const char* function_;
    const mask<T>& given_;
    std::size_t length_;
    std::size_t rows_;
    std::size_t queries_ = 1;
    std::size_t lengths_per_row_ = 0;  // rows for each length; 0 without lengths
    broadcast_rows<unsigned char> keep_;
    broadcast_rows<T> bias_;
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
