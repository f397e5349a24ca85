#pragma once

/// What may be passed as a row, and how it becomes a span.

#include <concepts>
#include <ranges>
#include <span>
#include <type_traits>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

template <class T>
concept element = std::same_as<T, float> || std::same_as<T, double>;

/// A contiguous, sized range of float or double: vector, array, C array, span, subrange, …
template <class R>
concept row = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> && element<std::ranges::range_value_t<R>>;

template <row R>
using element_of = std::ranges::range_value_t<R>;

/// A row of T that can be written to. A temporary is only taken where its elements outlive it, as a span's do.
template <class R, class T>
concept output_row = row<R> && std::same_as<element_of<R>, T> && std::ranges::borrowed_range<R> &&
    !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>>;

template <class R, class T>
concept row_of = row<R> && std::same_as<element_of<R>, T>;

/// Integers that count classes; bool and characters do not.
template <class I>
concept class_index =
    std::integral<I> && !std::same_as<I, bool> && !std::same_as<I, char> && !std::same_as<I, wchar_t> &&
    !std::same_as<I, char8_t> && !std::same_as<I, char16_t> && !std::same_as<I, char32_t>;

template <row R>
[[nodiscard]] constexpr auto as_input(R&& range) noexcept
{
    return std::span<const element_of<R>>(std::ranges::data(range), std::ranges::size(range));
}

template <row R>
[[nodiscard]] constexpr auto as_output(R&& range) noexcept
{
    return std::span<element_of<R>>(std::ranges::data(range), std::ranges::size(range));
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
