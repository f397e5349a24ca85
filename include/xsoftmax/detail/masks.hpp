#pragma once

/// Rows under a mask: what is kept of each, as a row of numbers in which all else is −inf.

#include "../mask.hpp"
#include "arguments.hpp"
#include "batch.hpp"
#include "layout.hpp"
#include "memory.hpp"
#include "run.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// A broadcast view as one of the logits' extents, which repeats its elements by stride 0. Without data if it is of nothing.
template <class T, class U>
[[nodiscard]] operand<const T> laid_over(const char* function, const char* argument, const broadcast_view<T>& view,
                                         const operand<U>& logits)
{
    operand<const T> result{nullptr, logits.rank, logits.extents, {}};
    if (view.empty()) return result;
    check_broadcast(function, argument, view, logits);
    result.data = view.data_handle();
    const std::size_t missing = logits.rank - view.axes();
    for (std::size_t k = 0; k < view.axes(); ++k)
        if (view.extent(k) != 1) result.strides[missing + k] = view.stride(k);
    check_countable(function, argument, result);
    return result;
}

/// Where its elements lie, seen from the rows of the logits.
template <class T>
class laid_over_rows {
public:
    laid_over_rows(const operand<const T>& view, std::size_t axis) : view_(view), step_(view.strides[axis])
    {
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
          rows_(rows_along(axis, logits).rows()),
          keep_(laid_over(function, "keep", given.keep, logits), axis),
          bias_(laid_over(function, "bias", given.bias, logits), axis)
    {
        for (std::size_t k = 0; k < logits.rank; ++k)
            if (k != axis) queries_ = logits.extents[k];
        if (given.lengths) given.lengths->visit([&](const auto& lengths) { check_lengths(lengths); });
    }

    /// Nothing of the mask is written over: rows are read from it after others have been written.
    template <class Output>
    void check_apart(const char* output_name, const Output& output) const
    {
        if (!keep_.empty()) detail::check_apart(function_, output_name, output, "keep", keep_.view());
        if (!bias_.empty()) detail::check_apart(function_, output_name, output, "bias", bias_.view());
        if (given_.lengths)
            given_.lengths->visit(
                [&](const auto& lengths) { detail::check_apart(function_, output_name, output, "lengths", lengths); });
    }

    /// Is what is kept the beginning of each row, as it is?
    [[nodiscard]] bool is_prefix() const { return keep_.empty() && bias_.empty(); }

    /// Nothing beyond it is kept.
    [[nodiscard]] std::size_t prefix(std::size_t r) const
    {
        std::size_t kept = length_;
        if (lengths_per_row_ != 0)
            given_.lengths->visit(
                [&](const auto& lengths) { kept = static_cast<std::size_t>(lengths[r / lengths_per_row_]); });
        if (given_.causal) {
            // Beyond the row's length no offset makes a difference, but a sum of it might overflow.
            const std::ptrdiff_t offset = std::min(*given_.causal, static_cast<std::ptrdiff_t>(length_));
            const std::ptrdiff_t last = static_cast<std::ptrdiff_t>(r % queries_) + offset;
            kept = std::min(kept, last < 0 ? std::size_t{0} : static_cast<std::size_t>(last) + 1);
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
    [[nodiscard]] enum nothing_kept nothing_kept() const { return given_.nothing_kept; }

    /// The log-probability that stands for all of such a row.
    [[nodiscard]] T log_probability_of_nothing() const
    {
        switch (given_.nothing_kept) {
            case nothing_kept::uniform: return static_cast<T>(-::log(static_cast<double>(length_)));
            case nothing_kept::nan: return kernels::not_a_number<T>;
            default: return -kernels::infinity<T>;
        }
    }

    /// The probability that does.
    [[nodiscard]] T probability_of_nothing() const
    {
        switch (given_.nothing_kept) {
            case nothing_kept::uniform: return static_cast<T>(1 / static_cast<double>(length_));
            case nothing_kept::nan: return kernels::not_a_number<T>;
            default: return 0;
        }
    }

    /// Throws if a row keeps nothing, that is to be an error, and the row is not one that counts for nothing anyway.
    template <class IsIgnored>
    void check_kept(const row_layout<1>& layout, const pointers<T, 1>& logits, const IsIgnored& is_ignored) const
    {
        if (given_.nothing_kept != nothing_kept::error || length_ == 0) return;
        const elements<T> composed(length_);
        for_each_row<false>(layout, logits, [&](const pointers<T, 1>& row, std::size_t r) {
            if (!is_ignored(r) && !compose(r, row[0], composed.data())) fail_nothing_kept(function_, r);
        });
    }

private:
    template <class Length>
    void check_lengths(std::span<const Length> lengths)
    {
        if (lengths.empty() ? rows_ != 0 : rows_ % lengths.size() != 0) [[unlikely]]
            fail_count(function_, "lengths", lengths.size(), rows_, "rows, of which it has to be a divisor");
        for (std::size_t k = 0; k < lengths.size(); ++k)
            if (!std::in_range<std::size_t>(lengths[k]) || static_cast<std::size_t>(lengths[k]) > length_) [[unlikely]]
                fail_length(function_, k, printable(lengths[k]), length_);
        lengths_per_row_ = lengths.empty() ? 0 : rows_ / lengths.size();
    }

    const char* function_;
    const mask<T>& given_;
    std::size_t length_;
    std::size_t rows_;
    std::size_t queries_ = 1;
    std::size_t lengths_per_row_ = 0;  // rows for each length; 0 without lengths
    laid_over_rows<unsigned char> keep_;
    laid_over_rows<T> bias_;
};

/// Composed rows that are computed together take about as much memory.
inline constexpr std::size_t composed_rows_bytes = std::size_t{64} << 10;

/// Operation{output} on contiguous rows of a layout as the mask composes them, many at a time; `nothing` is written where it keeps
/// nothing.
template <class Operation, class T>
void run_composed_rows(const row_layout<2>& layout, rows_share share, const pointers<T, 2>& data,
                       const row_masks<T>& masks, T nothing, double temperature)
{
    const std::size_t n = layout.length, all_rows = layout.rows();
    const std::size_t at_once = std::clamp<std::size_t>(composed_rows_bytes / sizeof(T) / n, 1, operations_at_once);
    const elements<T> composed(at_once * n);
    const auto& innermost = layout.innermost();
    layout.for_each_run(
        [&](std::size_t first_row, const std::array<std::ptrdiff_t, 2>& offset, std::size_t rows) {
            const auto first = moved_by(data, offset);
            for (std::size_t r = 0; r < rows; r += at_once) {
                const std::size_t count = std::min(at_once, rows - r);
                bool keeps[operations_at_once];
                for (std::size_t k = 0; k < count; ++k) {
                    T* const row = composed.data() + k * n;
                    const auto at = moved_by(first, innermost.strides, r + k);
                    keeps[k] = masks.compose(first_row + (r + k) * innermost.rows, at[0], row);
                    // A row of nothing but -inf would be done by itself.
                    if (!keeps[k]) fill<T>(row, n, T(0));
                }
                const auto at = moved_by(first, innermost.strides, r);
                call<kernels::rows_entry<Operation, T>>(
                    kernels::rows_apart<const T>{composed.data(), static_cast<std::ptrdiff_t>(n)},
                    // Lines that have just been read are not to be written past the caches.
                    kernels::rows_apart<T>{at[1], innermost.strides[1]}, count, n, temperature,
                    at[0] == at[1] ? count : all_rows);
                for (std::size_t k = 0; k < count; ++k)
                    if (!keeps[k]) fill<T>(moved_by(first, innermost.strides, r + k)[1], n, nothing);
            }
        },
        share);
}

/// Operation{output} on all rows of logits along `axis`, where the mask keeps them; `left_out` is written elsewhere.
template <class Operation, class Executor, class T>
void run_masked_batch(Executor& executor, std::size_t axis, const operand<const T>& logits, const operand<T>& output,
                      const row_masks<T>& masks, T left_out, T nothing, double temperature)
{
    masks.check_kept(rows_along(axis, logits), data_of<T>(logits), [](std::size_t) { return false; });
    const auto layout = rows_along(axis, logits, output);
    const std::size_t n = layout.length;
    if (n == 0) return;
    if (!masks.is_prefix() && layout.is_contiguous())
        return in_shares(executor, layout, [&](rows_share share) {
            run_composed_rows<Operation>(layout, share, data_of<T>(logits, output), masks, nothing, temperature);
        });
    const auto run = [&](const pointers<T, 2>& row, std::size_t r) {
        Operation operation{row[1]};
        if (masks.is_prefix()) {
            const std::size_t kept = masks.prefix(r);
            const bool any = std::any_of(row[0], row[0] + kept, [](T x) { return x != -kernels::infinity<T>; });
            if (any) {
                run_row(operation, std::span<const T>(row[0], kept), temperature);
                // A row that is NaN is so to its end, however its mask is given.
                const bool is_nan = !(row[1][0] == row[1][0]);
                fill<T>(row[1] + kept, n - kept, is_nan ? kernels::not_a_number<T> : left_out);
                return;
            }
        }
        else if (masks.compose(r, row[0], row[1])) {
            run_row(operation, std::span<const T>(row[1], n), temperature);
            return;
        }
        fill<T>(row[1], n, nothing);
    };
    in_shares(executor, layout,
              [&](rows_share share) { for_each_row<true>(layout, data_of<T>(logits, output), run, share); });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
