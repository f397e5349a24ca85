#pragma once

/// What may be passed as logits, targets and outputs, and what each becomes: rows are views of one axis.

#include "../mask.hpp"
#include "../views.hpp"

#include <array>
#include <concepts>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// Views of more axes than that are refused by the compiler.
inline constexpr std::size_t max_rank = 8;

/// A view whose type has been forgotten, and whose elements' too.
struct shape {
    std::uintptr_t address = 0;
    std::size_t element_bytes = 1;
    std::size_t rank = 0;
    // Of the first axes alone: clearing the others would take as long as a short row.
    std::array<std::size_t, max_rank> extents;
    std::array<std::ptrdiff_t, max_rank> strides;  ///< in elements

    shape() noexcept {}                                                        // NOLINT: a defaulted one clears all
    shape(std::uintptr_t place, std::size_t bytes, std::size_t axes) noexcept  // NOLINT: likewise
        : address(place), element_bytes(bytes), rank(axes)
    {
    }

    /// Its only axis has `count` elements, one behind the other.
    void be_list(std::size_t count)
    {
        extents[0] = count;
        strides[0] = 1;
    }
};

/// A view of any type with elements of T; a list is one of one axis. Without axes it stands for no view.
template <class T>
struct operand : shape {
    T* data = nullptr;

    operand() noexcept {}  // NOLINT: likewise
    operand(T* first, std::size_t axes) : shape(reinterpret_cast<std::uintptr_t>(first), sizeof(T), axes), data(first)
    {
    }
    explicit operand(std::span<T> list) : operand(list.data(), 1) { shape::be_list(list.size()); }
};

[[nodiscard]] inline shape shape_of(const integer_list& list)
{
    shape result(reinterpret_cast<std::uintptr_t>(list.data()), list.bytes(), 1);
    result.be_list(list.size());
    return result;
}

template <class R>
concept range = std::ranges::contiguous_range<R> && std::ranges::sized_range<R>;

template <class X>
inline constexpr bool is_masked = false;
template <class L, class T>
inline constexpr bool is_masked<masked_logits<L, T>> = true;

/// A contiguous range, a view, or one of these under a mask.
template <class X>
concept operand_like = range<X> || tensor<std::remove_cvref_t<X>> || is_masked<std::remove_cvref_t<X>>;

template <class X>
struct element {
};
template <class X>
requires range<X>
struct element<X> {
    using type = std::remove_reference_t<std::ranges::range_reference_t<X>>;
};
template <class X>
requires(!range<X> && tensor<std::remove_cvref_t<X>>) struct element<X> {
    using type = std::remove_pointer_t<std::remove_cvref_t<decltype(std::declval<const X&>().data_handle())>>;
};
template <class X>
requires is_masked<std::remove_cvref_t<X>>
struct element<X> : element<decltype(std::declval<X&>().logits)> {
};

/// Of its elements, const where they are not to be written; and without that.
template <class X>
using element_type = typename element<X>::type;
template <class X>
using value_type = std::remove_cv_t<element_type<X>>;

/// How many axes: 1 of a row.
template <class X>
constexpr std::size_t rank_of()
{
    using V = std::remove_cvref_t<X>;
    if constexpr (is_masked<V>)
        return rank_of<decltype(V::logits)>();
    else if constexpr (range<X>)
        return 1;
    else
        return V::rank();
}

template <class X>
inline constexpr bool is_row = range<X>;
template <class L, class T>
inline constexpr bool is_row<masked_logits<L, T>> = range<L>;
template <class L, class T>
inline constexpr bool is_row<const masked_logits<L, T>> = range<L>;
template <class X>
inline constexpr bool is_row_like = is_row<std::remove_reference_t<X>>;

template <class T>
concept number = std::same_as<T, float> || std::same_as<T, double>;

/// Logits: a row or a view of float or double, masked or not. Says why not, in a sentence, of anything else that looks like
/// one.
template <class X>
constexpr bool check_logits()
{
    static_assert(number<value_type<X>>, "xsoftmax: logits must be a range or view of float or double");
    static_assert(rank_of<X>() <= max_rank, "xsoftmax: views have at most 8 axes");
    return true;
}

/// An output of T, of `Rank` axes.
template <class X, class T, std::size_t Rank>
constexpr bool check_output_type()
{
    static_assert(!is_masked<std::remove_cvref_t<X>>, "xsoftmax: an output has no mask");
    static_assert(std::same_as<value_type<X>, T>, "xsoftmax: logits and output must have the same element type");
    static_assert(!std::is_const_v<element_type<X>>, "xsoftmax: the output is const");
    static_assert(!range<X> || std::ranges::borrowed_range<X>,
                  "xsoftmax: the output is a temporary that owns its elements");
    static_assert(rank_of<X>() == Rank, "xsoftmax: output and logits must have the same number of axes");
    return true;
}

/// Another input, of the logits' element type and number of axes.
template <class X, class T, std::size_t Rank>
constexpr bool check_input_type()
{
    static_assert(!is_masked<std::remove_cvref_t<X>>, "xsoftmax: of the operands only logits have a mask");
    static_assert(std::same_as<value_type<X>, T>, "xsoftmax: all operands must have the same element type");
    static_assert(rank_of<X>() == Rank, "xsoftmax: all operands must have the same number of axes");
    return true;
}

template <class Element, class X>
[[nodiscard]] operand<Element> operand_of(const X& x)
{
    if constexpr (is_masked<X>)
        return operand_of<Element>(x.logits);
    else if constexpr (range<const X&>)
        return operand<Element>(std::span<Element>(std::ranges::data(x), std::ranges::size(x)));
    else {
        operand<Element> result(x.data_handle(), X::rank());
        for (std::size_t axis = 0; axis < X::rank(); ++axis) {
            result.extents[axis] = static_cast<std::size_t>(x.extent(axis));
            result.strides[axis] = static_cast<std::ptrdiff_t>(x.stride(axis));
        }
        return result;
    }
}

template <class X>
[[nodiscard]] auto as_input(const X& x)
{
    return operand_of<const value_type<X>>(x);
}
template <class X>
[[nodiscard]] auto as_output(X& x)
{
    if constexpr (range<X&>)
        return operand<value_type<X&>>(std::span<value_type<X&>>(std::ranges::data(x), std::ranges::size(x)));
    else
        return operand_of<value_type<X>>(x);
}

/// The same, with the checks of its type, and of others' against `Like`, that of the logits.
template <class X>
[[nodiscard]] auto checked_input(const std::remove_cvref_t<X>& x)
{
    static_assert(check_logits<X>());
    return as_input(x);
}
template <class X>
[[nodiscard]] auto checked_result(const std::remove_cvref_t<X>& x)
{
    static_assert(!is_masked<std::remove_cvref_t<X>>,
                  "xsoftmax: backward passes take no mask: what it left out has probability 0 already");
    return checked_input<X>(x);
}
template <class Like, class X>
[[nodiscard]] auto as_input_like(const X& x)
{
    static_assert(check_input_type<const X&, value_type<const Like&>, rank_of<const Like&>()>());
    return as_input(x);
}
/// `X` is what the caller's reference was deduced as, which tells a temporary.
template <class Like, class X>
[[nodiscard]] auto as_output_like(std::remove_reference_t<X>& x)
{
    static_assert(check_output_type<X, value_type<const Like&>, rank_of<const Like&>()>());
    return as_output(x);
}

/// The mask of masked logits, or null.
template <class X>
[[nodiscard]] const mask<value_type<X>>* mask_of(const X& x)
{
    if constexpr (is_masked<X>)
        return &x.mask;
    else
        return nullptr;
}

/// Targets: a class index (of a row), a range of them (a class for each row), or probabilities as the logits are. Numbers that
/// are no classes are let in to be told so.
template <class X>
concept class_indices = counting<std::remove_cvref_t<X>> ||(range<X>&& counting<std::ranges::range_value_t<X>>);
template <class X>
concept targets_like = class_indices<X> || std::is_arithmetic_v<X> ||
    (operand_like<X> && !is_masked<std::remove_cvref_t<X>>);

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
