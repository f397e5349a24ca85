#pragma once

/// Every check of an argument, and its message. A check that passes is a comparison or two; messages are made out of line.

#include "../kernels/compiler.hpp"
#include "error.hpp"
#include "layout.hpp"

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <span>
#include <type_traits>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

[[noreturn]] XSOFTMAX_COLD inline void fail_temperature(const char* function, double temperature, const char* range)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: temperature is %.17g, but must be %s", function, temperature,
         range);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_size(const char* function, const char* argument, std::size_t size,
                                                 const char* other, std::size_t expected)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: %s has %zu elements, but %s has %zu", function, argument, size,
         other, expected);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_overlap(const char* function, const char* argument, const char* other,
                                                    std::ptrdiff_t bytes)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: %s overlaps %s, beginning %td bytes after it", function, argument,
         other, bytes);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_class(const char* function, std::int64_t target, std::size_t classes)
{
    fail(error_kind::out_of_range,
         "xsoftmax::%s: target is %" PRId64 ", but must be in [0, %zu), the classes of logits", function, target,
         classes);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_class(const char* function, std::uint64_t target, std::size_t classes)
{
    fail(error_kind::out_of_range,
         "xsoftmax::%s: target is %" PRIu64 ", but must be in [0, %zu), the classes of logits", function, target,
         classes);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_axis(const char* function, std::ptrdiff_t axis, std::size_t rank)
{
    fail(error_kind::out_of_range, "xsoftmax::%s: axis is %td, but must be in [-%zu, %zu)", function, axis, rank, rank);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_extent(const char* function, const char* argument, std::size_t axis,
                                                   std::size_t extent, const char* other, std::size_t expected)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: %s has extent %zu on axis %zu, but %s has %zu", function,
         argument, extent, axis, other, expected);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_too_large(const char* function, const char* argument, std::size_t axis,
                                                      std::size_t extent)
{
    fail(error_kind::invalid_argument,
         "xsoftmax::%s: %s has extent %zu on axis %zu, which makes more elements than memory has bytes", function,
         argument, extent, axis);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_reach(const char* function, const char* argument, std::size_t axis,
                                                  std::ptrdiff_t stride, std::size_t extent)
{
    fail(error_kind::invalid_argument,
         "xsoftmax::%s: %s has stride %td on axis %zu of extent %zu, which reaches farther than memory does", function,
         argument, stride, axis, extent);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_stride(const char* function, const char* argument, std::size_t axis)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: %s is written to, but has stride 0 on axis %zu", function,
         argument, axis);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_written_twice(const char* function, const char* argument,
                                                          const std::ptrdiff_t* strides, std::size_t rank)
{
    char list[128] = "";
    for (std::size_t k = 0, used = 0; k < rank && used < sizeof list; ++k)
        used += static_cast<std::size_t>(
            std::snprintf(list + used, sizeof list - used, k == 0 ? "%td" : ", %td", strides[k]));
    fail(error_kind::invalid_argument,
         "xsoftmax::%s: %s is written to, but strides of %s may give several places the same element", function,
         argument, list);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_views_overlap(const char* function, const char* argument, const char* other,
                                                          std::ptrdiff_t bytes)
{
    fail(error_kind::invalid_argument,
         "xsoftmax::%s: %s overlaps %s without being the same view: its memory begins %td bytes after", function,
         argument, other, bytes);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_value(const char* function, const char* argument, double value,
                                                  const char* range)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: %s is %.17g, but must be %s", function, argument, value, range);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_count(const char* function, const char* argument, std::size_t count,
                                                  std::size_t expected, const char* of_what)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: %s has %zu elements, but there are %zu %s", function, argument,
         count, expected, of_what);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_row_class(const char* function, std::int64_t target, std::size_t row,
                                                      std::size_t classes)
{
    fail(error_kind::out_of_range, "xsoftmax::%s: target of row %zu is %" PRId64 ", but must be in [0, %zu)", function,
         row, target, classes);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_row_class(const char* function, std::uint64_t target, std::size_t row,
                                                      std::size_t classes)
{
    fail(error_kind::out_of_range, "xsoftmax::%s: target of row %zu is %" PRIu64 ", but must be in [0, %zu)", function,
         row, target, classes);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_broadcast(const char* function, const char* argument, std::size_t extent,
                                                      std::size_t axis, std::size_t expected)
{
    fail(error_kind::invalid_argument,
         "xsoftmax::%s: %s has extent %zu over axis %zu of logits, but must have 1 or %zu", function, argument, extent,
         axis, expected);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_rank(const char* function, const char* argument, std::size_t rank,
                                                 std::size_t most)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: %s has %zu axes, but logits has %zu", function, argument, rank,
         most);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_length(const char* function, std::size_t index, std::int64_t length,
                                                   std::size_t most)
{
    fail(error_kind::out_of_range, "xsoftmax::%s: lengths[%zu] is %" PRId64 ", but must be in [0, %zu]", function,
         index, length, most);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_length(const char* function, std::size_t index, std::uint64_t length,
                                                   std::size_t most)
{
    fail(error_kind::out_of_range, "xsoftmax::%s: lengths[%zu] is %" PRIu64 ", but must be in [0, %zu]", function,
         index, length, most);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_fully_masked(const char* function, std::size_t row)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: mask keeps nothing of row %zu", function, row);
}

/// 0 ≤ temperature < ∞; NaN fails every comparison.
inline void check_temperature(const char* function, double temperature)
{
    if (!(temperature >= 0 && temperature <= 1.7976931348623157e308)) [[unlikely]]
        fail_temperature(function, temperature, "finite and >= 0");
}

/// 0 < temperature < ∞.
inline void check_positive_temperature(const char* function, double temperature)
{
    if (!(temperature > 0 && temperature <= 1.7976931348623157e308)) [[unlikely]]
        fail_temperature(function, temperature, "finite and > 0");
}

/// One element for each of what there are `expected` of.
inline void check_count(const char* function, const char* argument, std::size_t count, std::size_t expected,
                        const char* of_what)
{
    if (count != expected) [[unlikely]]
        fail_count(function, argument, count, expected, of_what);
}

/// As the messages take an integer.
template <class Index>
[[nodiscard]] auto printable(Index index)
{
    return static_cast<std::conditional_t<std::is_signed_v<Index>, std::int64_t, std::uint64_t>>(index);
}

/// 0 ≤ target < classes, for any integer type.
template <class Index>
std::size_t check_class(const char* function, Index target, std::size_t classes)
{
    // A negative index becomes a very large one.
    const auto index = static_cast<std::uint64_t>(target);
    if (index >= classes) [[unlikely]]
        fail_class(function, printable(target), classes);
    return static_cast<std::size_t>(index);
}

// ---- Views -----------------------------------------------------------------------------------------------------------

/// The axis counted from 0.
[[nodiscard]] inline std::size_t check_axis(const char* function, std::ptrdiff_t axis, std::size_t rank)
{
    const auto signed_rank = static_cast<std::ptrdiff_t>(rank);
    if (axis < -signed_rank || axis >= signed_rank) [[unlikely]]
        fail_axis(function, axis, rank);
    return static_cast<std::size_t>(axis < 0 ? axis + signed_rank : axis);
}

/// a·b > most, for a ≥ 1. Divisions are for what is hardly ever met: those of a call's operands would take 30 ns.
[[nodiscard]] inline bool product_exceeds(std::size_t a, std::size_t b, std::size_t most)
{
    constexpr int half = std::numeric_limits<std::size_t>::digits / 2 - 1;
    return ((a | b) >> half) == 0 ? a * b > most : b > most / a;
}

/// The elements can be counted in bytes, and so can the distance between any two: no place of theirs overflows.
template <class T>
void check_countable(const char* function, const char* argument, const operand<T>& view)
{
    constexpr std::size_t most = static_cast<std::size_t>((std::numeric_limits<std::ptrdiff_t>::max)()) / sizeof(T);
    std::size_t count = 1;
    for (std::size_t k = 0; k < view.rank; ++k) {
        if (view.extents[k] == 0) continue;  // the number of rows, or their length, may be large all the same
        if (product_exceeds(count, view.extents[k], most)) [[unlikely]]
            fail_too_large(function, argument, k, view.extents[k]);
        count *= view.extents[k];
    }
    std::size_t reach = 1;
    for (std::size_t k = 0; k < view.rank; ++k) {
        if (view.extents[k] <= 1) continue;
        const auto stride = static_cast<std::size_t>(view.strides[k]);
        const std::size_t width = view.strides[k] < 0 ? 0 - stride : stride;  // that of the least number too
        if (product_exceeds(view.extents[k] - 1, width, most - reach)) [[unlikely]]
            fail_reach(function, argument, k, view.strides[k], view.extents[k]);
        reach += width * (view.extents[k] - 1);
    }
}

template <class T, class U>
void check_extents(const char* function, const char* argument, const operand<T>& view, const char* other_name,
                   const operand<U>& other)
{
    for (std::size_t k = 0; k < other.rank; ++k)
        if (view.extents[k] != other.extents[k]) [[unlikely]] {
            if (other.rank == 1) fail_size(function, argument, view.extents[0], other_name, other.extents[0]);
            fail_extent(function, argument, k, view.extents[k], other_name, other.extents[k]);
        }
}

/// The first byte that a view may touch, and the one after the last. Both are 0 if it has no elements.
using memory_range = std::array<std::uintptr_t, 2>;

template <class T>
[[nodiscard]] memory_range memory_of(std::span<T> row)
{
    if (row.empty()) return {};
    const auto base = reinterpret_cast<std::uintptr_t>(row.data());
    return {base, base + row.size_bytes()};
}

template <class T>
[[nodiscard]] memory_range memory_of(const operand<T>& view)
{
    std::ptrdiff_t lowest = 0, highest = 0;
    for (std::size_t k = 0; k < view.rank; ++k) {
        if (view.extents[k] == 0) return {};
        const std::ptrdiff_t reach = view.strides[k] * (static_cast<std::ptrdiff_t>(view.extents[k]) - 1);
        (reach < 0 ? lowest : highest) += reach;
    }
    constexpr auto size = static_cast<std::ptrdiff_t>(sizeof(T));
    const auto base = reinterpret_cast<std::uintptr_t>(view.data);
    return {base + static_cast<std::uintptr_t>(lowest * size),
            base + static_cast<std::uintptr_t>((highest + 1) * size)};
}

/// How far the memory of one view begins after that of another.
template <class A, class B>
[[nodiscard]] std::ptrdiff_t bytes_after(const A& a, const B& b)
{
    return static_cast<std::ptrdiff_t>(memory_of(a)[0] - memory_of(b)[0]);
}

/// The axes of a view along which it has more than one element, the widest stride first.
class axes_by_width {
public:
    struct axis {
        std::ptrdiff_t width;  ///< |stride|
        std::ptrdiff_t extent;
    };

    template <class T>
    explicit axes_by_width(const operand<T>& view)
    {
        for (std::size_t k = 0; k < view.rank; ++k) {
            if (view.extents[k] == 1) continue;
            const std::ptrdiff_t width = view.strides[k] < 0 ? -view.strides[k] : view.strides[k];
            std::size_t at = count_++;
            for (; at > 0 && axes_[at - 1].width < width; --at) axes_[at] = axes_[at - 1];
            axes_[at] = {width, static_cast<std::ptrdiff_t>(view.extents[k])};
        }
    }

    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] const axis& operator[](std::size_t k) const { return axes_[k]; }

private:
    std::array<axis, max_rank> axes_{};
    std::size_t count_ = 0;
};

/// Does some byte lie in the memory of both?
template <class A, class B>
[[nodiscard]] bool ranges_meet(const A& a, const B& b)
{
    const memory_range a_memory = memory_of(a), b_memory = memory_of(b);
    return a_memory[0] < b_memory[1] && b_memory[0] < a_memory[1];
}

/// Do two views of the same extents share an element? Where that takes more than comparing, the answer may be yes
/// without need: views of different strides whose ranges of memory meet, or whose own axes are not nested.
template <class T, class U>
[[nodiscard]] bool views_overlap(const operand<T>& a, const operand<U>& b)
{
    if (!ranges_meet(a, b)) return false;
    if constexpr (sizeof(T) != sizeof(U)) return true;

    // The same strides: is the distance a sum of strides, each taken fewer times than its axis has elements? Each axis of
    // nested ones, from the widest down, leaves one or two counts that can work out.
    for (std::size_t k = 0; k < a.rank; ++k)
        if (a.extents[k] != 1 && (a.strides[k] != b.strides[k] || a.strides[k] == 0)) return true;
    const axes_by_width axes(a);
    const auto bytes = static_cast<std::ptrdiff_t>(reinterpret_cast<std::uintptr_t>(b.data) -
                                                   reinterpret_cast<std::uintptr_t>(a.data));
    if (bytes % static_cast<std::ptrdiff_t>(sizeof(T)) != 0) return true;
    const auto reachable = [&](const auto& self, std::ptrdiff_t distance, std::size_t from) -> bool {
        if (from == axes.count()) return distance == 0;
        const auto [w, extent] = axes[from];
        const std::ptrdiff_t down = distance / w - (distance % w < 0 ? 1 : 0);
        for (const std::ptrdiff_t times : {down, down + 1})
            if (times > -extent && times < extent && self(self, distance - times * w, from + 1)) return true;
        return false;
    };
    for (std::size_t k = 0; k + 1 < axes.count(); ++k)
        if (axes[k].width < axes[k + 1].width * axes[k + 1].extent) return true;
    return reachable(reachable, bytes / static_cast<std::ptrdiff_t>(sizeof(T)), 0);
}

/// A row or list counts as sharing an element with a view if it lies among the view's.
template <class A, class B>
[[nodiscard]] bool views_overlap(const A& a, const B& b)
{
    return ranges_meet(a, b);
}

/// The output shares no memory with what is read beside the logits: targets, class weights, the parts of a mask.
template <class Output, class Input>
void check_apart(const char* function, const char* output_name, const Output& output, const char* input_name,
                 const Input& input)
{
    if (views_overlap(output, input)) [[unlikely]]
        fail_overlap(function, output_name, input_name, bytes_after(output, input));
}

/// The greatest common divisor of positive numbers. (std::gcd may be left to the linker, with other units' instructions.)
[[nodiscard]] inline std::ptrdiff_t common_divisor(std::ptrdiff_t a, std::ptrdiff_t b)
{
    while (b != 0) {
        const std::ptrdiff_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/// Is the mapping injective? Exact for nested strides and for two axes, else refused.
template <class T>
[[nodiscard]] bool is_unique(const operand<T>& view)
{
    for (std::size_t k = 0; k < view.rank; ++k)
        if (view.extents[k] == 0) return true;
    const axes_by_width axes(view);
    std::ptrdiff_t reach = 0;
    bool nested = true;
    for (std::size_t k = axes.count(); k-- > 0;) {
        nested = nested && axes[k].width > reach;
        reach += axes[k].width * (axes[k].extent - 1);
    }
    if (nested || axes.count() != 2 || axes[1].width == 0) return nested;
    // i·(the wider stride) = j·(the other) for the first time at i = the other/gcd.
    const std::ptrdiff_t divisor = common_divisor(axes[0].width, axes[1].width);
    return axes[1].width / divisor >= axes[0].extent || axes[0].width / divisor >= axes[1].extent;
}

/// No element of the output is written for two places.
template <class T>
void check_written_once(const char* function, const char* argument, const operand<T>& view)
{
    if (is_unique(view)) [[likely]]
        return;
    for (std::size_t k = 0; k < view.rank; ++k)
        if (view.strides[k] == 0 && view.extents[k] > 1) fail_stride(function, argument, k);
    fail_written_twice(function, argument, view.strides.data(), view.rank);
}

template <class T, class U>
[[nodiscard]] bool same_view(const operand<T>& a, const operand<U>& b)
{
    for (std::size_t k = 0; k < a.rank; ++k)
        if (a.extents[k] > 1 && a.strides[k] != b.strides[k]) return false;
    return a.data == b.data;
}

/// The output is the input itself, or shares no element with it.
template <class T, class U>
void check_views_same_or_apart(const char* function, const char* output_name, const operand<T>& output,
                               const char* input_name, const operand<U>& input)
{
    if (same_view(output, input) || !views_overlap(output, input)) [[likely]]
        return;
    fail_views_overlap(function, output_name, input_name, bytes_after(output, input));
}

/// The same of contiguous rows.
template <class T>
void check_rows_same_or_apart(const char* function, const char* output_name, const T* output, const char* input_name,
                              const T* input, std::size_t n)
{
    const auto a = reinterpret_cast<std::uintptr_t>(output), b = reinterpret_cast<std::uintptr_t>(input);
    const std::size_t size = n * sizeof(T);
    if (a != b && a < b + size && b < a + size) [[unlikely]]
        fail_overlap(function, output_name, input_name, static_cast<std::ptrdiff_t>(a - b));
}

/// An output of an input's extents, which may be that input itself.
template <class T, class U>
void check_output(const char* function, const char* output_name, const operand<T>& output, const char* input_name,
                  const operand<U>& input)
{
    check_extents(function, output_name, output, input_name, input);
    check_countable(function, output_name, output);
    check_written_once(function, output_name, output);
    check_views_same_or_apart(function, output_name, output, input_name, input);
}

/// A part of a mask can be laid over the logits.
template <class View, class T>
void check_broadcast(const char* function, const char* argument, const View& view, const operand<T>& logits)
{
    if (view.axes() > logits.rank) [[unlikely]]
        fail_rank(function, argument, view.axes(), logits.rank);
    const std::size_t missing = logits.rank - view.axes();
    for (std::size_t k = 0; k < view.axes(); ++k)
        if (view.extent(k) != 1 && view.extent(k) != logits.extents[missing + k]) [[unlikely]]
            fail_broadcast(function, argument, view.extent(k), missing + k, logits.extents[missing + k]);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
