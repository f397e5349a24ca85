#pragma once

/// Every check of an argument, and its message. A check that passes is a comparison or two.

#include "error.hpp"
#include "layout.hpp"

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

inline constexpr error_kind invalid = error_kind::invalid_argument, out_of_range = error_kind::out_of_range;

/// 0 ≤ temperature < ∞, or 0 < temperature where that has to be; NaN fails every comparison.
inline void check_temperature(const char* function, double temperature, bool is_positive = false)
{
    if (!(temperature >= 0 && temperature - temperature == 0) || (is_positive && temperature == 0)) [[unlikely]]
        fail(invalid, "xsoftmax::%s: temperature is %.17g, but must be finite and %s 0", function, temperature,
             is_positive ? ">" : ">=");
}

[[noreturn]] XSOFTMAX_COLD inline void fail_value(const char* function, const char* argument, double value,
                                                  const char* range)
{
    fail(invalid, "xsoftmax::%s: %s is %.17g, but must be %s", function, argument, value, range);
}

/// One element for each of what there are `expected` of.
inline void check_count(const char* function, const char* argument, std::size_t count, std::size_t expected,
                        const char* of_what)
{
    if (count != expected) [[unlikely]]
        fail(invalid, "xsoftmax::%s: %s has %zu elements, but there are %zu %s", function, argument, count, expected,
             of_what);
}

/// An integer that is not in [0, most], or [0, most) where `is_open`. `argument` may have a place for an index.
[[noreturn]] XSOFTMAX_COLD inline void fail_integer(const char* function, const char* argument, std::size_t index,
                                                    integer value, std::size_t most, const char* end)
{
    char name[64];
    std::snprintf(name, sizeof name, argument, index);
    fail(out_of_range, "xsoftmax::%s: %s is %s%" PRIu64 ", but must be in [0, %zu%s", function, name,
         value.is_negative ? "-" : "", value.magnitude, most, end);
}

// ---- Views -----------------------------------------------------------------------------------------------------------

/// The axis counted from 0.
[[nodiscard]] inline std::size_t check_axis(const char* function, std::ptrdiff_t axis, std::size_t rank)
{
    const auto signed_rank = static_cast<std::ptrdiff_t>(rank);
    if (axis < -signed_rank || axis >= signed_rank) [[unlikely]]
        fail(out_of_range, "xsoftmax::%s: axis is %td, but must be in [-%zu, %zu)", function, axis, rank, rank);
    return static_cast<std::size_t>(axis < 0 ? axis + signed_rank : axis);
}

/// a·b > most, for a ≥ 1. Divisions are for what is hardly ever met: those of a call's operands would take 30 ns.
[[nodiscard]] inline bool product_exceeds(std::size_t a, std::size_t b, std::size_t most)
{
    constexpr int half = std::numeric_limits<std::size_t>::digits / 2 - 1;
    return ((a | b) >> half) == 0 ? a * b > most : b > most / a;
}

/// The elements can be counted in bytes, and so can the distance between any two: no place of theirs overflows.
inline void check_countable(const char* function, const char* argument, const shape& view)
{
    const std::size_t most =
        static_cast<std::size_t>((std::numeric_limits<std::ptrdiff_t>::max)()) / view.element_bytes;
    std::size_t count = 1;
    for (std::size_t k = 0; k < view.rank; ++k) {
        if (view.extents[k] == 0) continue;  // the number of rows, or their length, may be large all the same
        if (product_exceeds(count, view.extents[k], most)) [[unlikely]]
            fail(invalid,
                 "xsoftmax::%s: %s has extent %zu on axis %zu, which makes more elements than memory has bytes",
                 function, argument, view.extents[k], k);
        count *= view.extents[k];
    }
    std::size_t reach = 1;
    for (std::size_t k = 0; k < view.rank; ++k) {
        if (view.extents[k] <= 1) continue;
        const auto stride = static_cast<std::size_t>(view.strides[k]);
        const std::size_t width = view.strides[k] < 0 ? 0 - stride : stride;  // that of the least number too
        if (product_exceeds(view.extents[k] - 1, width, most - reach)) [[unlikely]]
            fail(invalid,
                 "xsoftmax::%s: %s has stride %td on axis %zu of extent %zu, which reaches farther than memory does",
                 function, argument, view.strides[k], k, view.extents[k]);
        reach += width * (view.extents[k] - 1);
    }
}

inline void check_extents(const char* function, const char* argument, const shape& view, const char* other_name,
                          const shape& other)
{
    for (std::size_t k = 0; k < other.rank; ++k)
        if (view.extents[k] != other.extents[k]) [[unlikely]] {
            if (other.rank == 1)
                fail(invalid, "xsoftmax::%s: %s has %zu elements, but %s has %zu", function, argument, view.extents[0],
                     other_name, other.extents[0]);
            fail(invalid, "xsoftmax::%s: %s has extent %zu on axis %zu, but %s has %zu", function, argument,
                 view.extents[k], k, other_name, other.extents[k]);
        }
}

/// A part of a mask can be laid over the logits.
inline void check_broadcast(const char* function, const char* argument, const shape& view, const shape& logits)
{
    if (view.rank > logits.rank) [[unlikely]]
        fail(invalid, "xsoftmax::%s: %s has %zu axes, but logits has %zu", function, argument, view.rank, logits.rank);
    const std::size_t missing = logits.rank - view.rank;
    for (std::size_t k = 0; k < view.rank; ++k) {
        const std::size_t expected = logits.extents[missing + k];
        if (view.extents[k] != 1 && view.extents[k] != expected) [[unlikely]]
            fail(invalid, "xsoftmax::%s: %s has extent %zu over axis %zu of logits, but must have 1 or %zu", function,
                 argument, view.extents[k], missing + k, expected);
    }
}

/// The first byte that a view may touch, and the one after the last. Both are 0 if it has no elements.
[[nodiscard]] inline std::array<std::uintptr_t, 2> memory_of(const shape& view)
{
    std::ptrdiff_t lowest = 0, highest = 0;
    for (std::size_t k = 0; k < view.rank; ++k) {
        if (view.extents[k] == 0) return {};
        const std::ptrdiff_t reach = view.strides[k] * (static_cast<std::ptrdiff_t>(view.extents[k]) - 1);
        (reach < 0 ? lowest : highest) += reach;
    }
    return {view.address + static_cast<std::uintptr_t>(lowest) * view.element_bytes,
            view.address + static_cast<std::uintptr_t>(highest + 1) * view.element_bytes};
}

/// The axes of a view along which it has more than one element, the widest stride first.
struct axes_by_width {
    struct axis {
        std::ptrdiff_t width;  ///< |stride|
        std::ptrdiff_t extent;
    };

    std::array<axis, max_rank> axes{};
    std::size_t count = 0;

    explicit axes_by_width(const shape& view)
    {
        for (std::size_t k = 0; k < view.rank; ++k) {
            if (view.extents[k] == 1) continue;
            const std::ptrdiff_t width = view.strides[k] < 0 ? -view.strides[k] : view.strides[k];
            std::size_t at = count++;
            for (; at > 0 && axes[at - 1].width < width; --at) axes[at] = axes[at - 1];
            axes[at] = {width, static_cast<std::ptrdiff_t>(view.extents[k])};
        }
    }

    /// Is a distance a sum of widths, each taken fewer times than its axis has elements? Of nested axes, each from the widest
    /// down leaves one or two counts that can work out.
    [[nodiscard]] bool reach(std::ptrdiff_t distance, std::size_t from = 0) const
    {
        if (from == count) return distance == 0;
        const auto [width, extent] = axes[from];
        const std::ptrdiff_t down = distance / width - (distance % width < 0 ? 1 : 0);
        for (const std::ptrdiff_t times : {down, down + 1})
            if (times > -extent && times < extent && reach(distance - times * width, from + 1)) return true;
        return false;
    }
};

/// Do two views share an element? Where that takes more than comparing, the answer may be yes without need: views of different
/// strides or extents whose ranges of memory meet, or whose own axes are not nested.
[[nodiscard]] inline bool views_overlap(const shape& a, const shape& b)
{
    const auto a_memory = memory_of(a), b_memory = memory_of(b);
    if (a_memory[0] >= b_memory[1] || b_memory[0] >= a_memory[1]) return false;
    if (a.element_bytes != b.element_bytes || a.rank != b.rank) return true;
    for (std::size_t k = 0; k < a.rank; ++k)
        if (a.extents[k] != b.extents[k] || (a.extents[k] != 1 && (a.strides[k] != b.strides[k] || a.strides[k] == 0)))
            return true;
    const axes_by_width by_width(a);
    const auto bytes = static_cast<std::ptrdiff_t>(b.address - a.address),
               size = static_cast<std::ptrdiff_t>(a.element_bytes);
    if (bytes % size != 0) return true;
    for (std::size_t k = 0; k + 1 < by_width.count; ++k)
        if (by_width.axes[k].width < by_width.axes[k + 1].width * by_width.axes[k + 1].extent) return true;
    return by_width.reach(bytes / size);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_overlap(const char* function, const char* argument, const char* other,
                                                    std::ptrdiff_t bytes)
{
    fail(invalid, "xsoftmax::%s: %s overlaps %s, beginning %td bytes after it", function, argument, other, bytes);
}

/// The output shares no memory with what is read beside the logits: targets, class weights, the parts of a mask.
inline void check_apart(const char* function, const char* output_name, const shape& output, const char* input_name,
                        const shape& input)
{
    if (views_overlap(output, input)) [[unlikely]]
        fail_overlap(function, output_name, input_name,
                     static_cast<std::ptrdiff_t>(memory_of(output)[0] - memory_of(input)[0]));
}

/// Is no element that of two places? Exact for nested strides and for two axes, else refused.
[[nodiscard]] inline bool is_unique(const shape& view)
{
    for (std::size_t k = 0; k < view.rank; ++k)
        if (view.extents[k] == 0) return true;
    const axes_by_width by_width(view);
    const auto& axes = by_width.axes;
    std::ptrdiff_t reach = 0;
    bool nested = true;
    for (std::size_t k = by_width.count; k-- > 0;) {
        nested = nested && axes[k].width > reach;
        reach += axes[k].width * (axes[k].extent - 1);
    }
    if (nested || by_width.count != 2 || axes[1].width == 0) return nested;
    // i·(the wider stride) = j·(the other) for the first time at i = the other/gcd. (std::gcd may be left to the linker, with
    // other units' instructions.)
    std::ptrdiff_t divisor = axes[0].width;
    for (std::ptrdiff_t rest = axes[1].width; rest != 0;) {
        const std::ptrdiff_t next = divisor % rest;
        divisor = rest;
        rest = next;
    }
    return axes[1].width / divisor >= axes[0].extent || axes[0].width / divisor >= axes[1].extent;
}

/// No element of the output is written for two places.
inline void check_written_once(const char* function, const char* argument, const shape& view)
{
    if (is_unique(view)) [[likely]]
        return;
    char list[128] = "";
    for (std::size_t k = 0, used = 0; k < view.rank && used < sizeof list; ++k) {
        if (view.strides[k] == 0 && view.extents[k] > 1)
            fail(invalid, "xsoftmax::%s: %s is written to, but has stride 0 on axis %zu", function, argument, k);
        used += static_cast<std::size_t>(
            std::snprintf(list + used, sizeof list - used, k == 0 ? "%td" : ", %td", view.strides[k]));
    }
    fail(invalid, "xsoftmax::%s: %s is written to, but strides of %s may give several places the same element",
         function, argument, list);
}

/// Do two places of as many bytes begin together, or not meet? In a short row the check for any views would take as long as the
/// sum.
[[nodiscard]] inline bool are_same_or_apart(std::uintptr_t a, std::uintptr_t b, std::size_t bytes)
{
    return a == b || (a - b >= bytes && b - a >= bytes);
}

/// The output, a row of contiguous elements, is the input itself or shares no element with it. Their lengths agree.
inline void check_row_same_or_apart(const char* function, const char* output_name, const shape& output,
                                    const char* input_name, const shape& input)
{
    if (!are_same_or_apart(output.address, input.address, output.extents[0] * output.element_bytes)) [[unlikely]]
        fail_overlap(function, output_name, input_name, static_cast<std::ptrdiff_t>(output.address - input.address));
}

/// The output is the input itself, or shares no element with it. Their extents agree.
inline void check_same_or_apart(const char* function, const char* output_name, const shape& output,
                                const char* input_name, const shape& input)
{
    bool same = output.address == input.address;
    for (std::size_t k = 0; k < output.rank; ++k)
        same = same && (output.extents[k] <= 1 || output.strides[k] == input.strides[k]);
    if (same || !views_overlap(output, input)) [[likely]]
        return;
    const auto bytes = static_cast<std::ptrdiff_t>(memory_of(output)[0] - memory_of(input)[0]);
    if (output.rank == 1) fail_overlap(function, output_name, input_name, bytes);
    fail(invalid, "xsoftmax::%s: %s overlaps %s without being the same view: its memory begins %td bytes after",
         function, output_name, input_name, bytes);
}

/// An output of an input's extents, which may be that input itself.
inline void check_output(const char* function, const char* output_name, const shape& output, const char* input_name,
                         const shape& input)
{
    check_extents(function, output_name, output, input_name, input);
    check_countable(function, output_name, output);
    check_written_once(function, output_name, output);
    check_same_or_apart(function, output_name, output, input_name, input);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
