#pragma once

/// Every check of an argument, and its message. A check that passes is a comparison or two; messages are made out of line.

#include "error.hpp"

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

namespace xsoftmax::detail {

[[noreturn]] XSOFTMAX_COLD inline void fail_temperature(const char* function, double temperature, const char* range)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: temperature is %.17g, but must be %s", function, temperature,
         range);
}

[[noreturn]] XSOFTMAX_COLD inline void fail_size(const char* function, const char* argument, std::size_t size,
                                                 std::size_t expected)
{
    fail(error_kind::invalid_argument, "xsoftmax::%s: %s has %zu elements, but logits has %zu", function, argument,
         size, expected);
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

/// 0 ≤ temperature < ∞; NaN fails every comparison.
inline void check_temperature(const char* function, double temperature)
{
    if (!(temperature >= 0 && temperature <= std::numeric_limits<double>::max())) [[unlikely]]
        fail_temperature(function, temperature, "finite and >= 0");
}

/// 0 < temperature < ∞.
inline void check_positive_temperature(const char* function, double temperature)
{
    if (!(temperature > 0 && temperature <= std::numeric_limits<double>::max())) [[unlikely]]
        fail_temperature(function, temperature, "finite and > 0");
}

inline void check_size(const char* function, const char* argument, std::size_t size, std::size_t expected)
{
    if (size != expected) [[unlikely]]
        fail_size(function, argument, size, expected);
}

/// How far `a` begins after `b` where the two share memory; 0 where they share none.
template <class T>
[[nodiscard]] std::ptrdiff_t overlap(std::span<const T> a, std::span<const T> b)
{
    const auto a_begin = reinterpret_cast<std::uintptr_t>(a.data());
    const auto b_begin = reinterpret_cast<std::uintptr_t>(b.data());
    const bool apart = a_begin + a.size_bytes() <= b_begin || b_begin + b.size_bytes() <= a_begin;
    return apart ? 0 : static_cast<std::ptrdiff_t>(a_begin - b_begin);
}

/// The output is the input itself, or shares no memory with it.
template <class T>
void check_same_or_apart(const char* function, const char* output_name, std::span<const T> output,
                         const char* input_name, std::span<const T> input)
{
    if (output.data() == input.data()) return;
    if (const std::ptrdiff_t bytes = overlap(output, input); bytes != 0) [[unlikely]]
        fail_overlap(function, output_name, input_name, bytes);
}

/// The output shares no memory with the input.
template <class T>
void check_apart(const char* function, const char* output_name, std::span<const T> output, const char* input_name,
                 std::span<const T> input)
{
    if (output.data() == input.data() && !output.empty()) [[unlikely]]
        fail_overlap(function, output_name, input_name, 0);
    check_same_or_apart(function, output_name, output, input_name, input);
}

/// 0 ≤ target < classes, for any integer type.
template <class Index>
std::size_t check_class(const char* function, Index target, std::size_t classes)
{
    // A negative index becomes a very large one.
    const auto index = static_cast<std::uint64_t>(target);
    if (index >= classes) [[unlikely]]
        fail_class(function,
                   static_cast<std::conditional_t<std::is_signed_v<Index>, std::int64_t, std::uint64_t>>(target),
                   classes);
    return static_cast<std::size_t>(index);
}

}  // namespace xsoftmax::detail
