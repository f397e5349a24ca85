#pragma once

/// Views of many rows: matrix_view, tensor_view, and the concept that they and std::mdspan satisfy; and of integers of any
/// type. Views pass between translation units of different targets, so every function of theirs is forced inline: see
/// kernels/target.hpp.

#include "kernels/compiler.hpp"
#include "version.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ranges>
#include <type_traits>

namespace xsoftmax {

/// Anything with the shape of std::mdspan: a fixed rank, an extent and a stride for each axis, counted in elements, and a
/// pointer to the element whose indices are all 0. std::mdspan of a strided layout is one.
template <class V>
concept tensor = requires(const V& view, std::size_t axis)
{
    requires std::integral_constant<std::size_t, V::rank()>::value >= 1;
    {
        view.extent(axis)
        } -> std::convertible_to<std::size_t>;
    {
        view.stride(axis)
        } -> std::convertible_to<std::ptrdiff_t>;
    requires std::is_pointer_v<std::remove_cvref_t<decltype(view.data_handle())>>;
};

/// A tensor of `Rank` axes that does not own its elements. T may be const.
template <class T, std::size_t Rank>
class tensor_view {
    static_assert(Rank >= 1, "a tensor has at least one axis");

public:
    using element_type = T;  ///< const where the elements are not to be written

    /// Row-major: the last axis is contiguous.
    XSOFTMAX_SHARED_INLINE constexpr tensor_view(T* data, const std::array<std::size_t, Rank>& extents) noexcept
        : data_(data), extents_(extents)
    {
        std::ptrdiff_t stride = 1;
        for (std::size_t axis = Rank; axis-- > 0;) {
            strides_[axis] = stride;
            // Unsigned: extents whose product overflows are refused where they are used.
            stride = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(stride) * extents[axis]);
        }
    }

    /// The same, of extents in braces, from which the rank is deduced.
    XSOFTMAX_SHARED_INLINE constexpr tensor_view(T* data, const std::size_t (&extents)[Rank]) noexcept
        : tensor_view(data, std::to_array(extents))
    {
    }

    /// Strides in elements, of either sign.
    XSOFTMAX_SHARED_INLINE constexpr tensor_view(T* data, const std::array<std::size_t, Rank>& extents,
                                                 const std::array<std::ptrdiff_t, Rank>& strides) noexcept
        : data_(data), extents_(extents), strides_(strides)
    {
    }

    /// A view of writable elements is also a view of const ones.
    template <class U>
    requires std::same_as<const U, T> &&(!std::same_as<U, T>)
        XSOFTMAX_SHARED_INLINE constexpr tensor_view(const tensor_view<U, Rank>& other) noexcept  // NOLINT: converts
        : data_(other.data_handle())
    {
        for (std::size_t axis = 0; axis < Rank; ++axis) {
            extents_[axis] = other.extent(axis);
            strides_[axis] = other.stride(axis);
        }
    }

    /// How many axes it has.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE static constexpr std::size_t rank() noexcept { return Rank; }
    /// How many elements lie along the axis.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE constexpr std::size_t extent(std::size_t axis) const noexcept
    {
        return extents_[axis];
    }
    /// From an element to the next along the axis, in elements.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE constexpr std::ptrdiff_t stride(std::size_t axis) const noexcept
    {
        return strides_[axis];
    }
    /// The element whose indices are all 0.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE constexpr T* data_handle() const noexcept { return data_; }

private:
    T* data_;
    std::array<std::size_t, Rank> extents_;
    std::array<std::ptrdiff_t, Rank> strides_;
};

/// A matrix that does not own its elements: rows of `columns` elements, beginning `row_stride` elements apart.
template <class T>
class matrix_view : public tensor_view<T, 2> {
public:
    /// Row-major, one row behind the other.
    XSOFTMAX_SHARED_INLINE constexpr matrix_view(T* data, std::size_t rows, std::size_t columns) noexcept
        : tensor_view<T, 2>(data, {rows, columns})
    {
    }

    /// `row_stride` elements from a row to the next, of either sign.
    template <std::integral Stride>
    XSOFTMAX_SHARED_INLINE constexpr matrix_view(T* data, std::size_t rows, std::size_t columns,
                                                 Stride row_stride) noexcept
        : tensor_view<T, 2>(data, {rows, columns}, {static_cast<std::ptrdiff_t>(row_stride), 1})
    {
    }

    /// A view of writable elements is also a view of const ones.
    template <class U>
    requires std::same_as<const U, T> &&(!std::same_as<U, T>)
        XSOFTMAX_SHARED_INLINE constexpr matrix_view(const matrix_view<U>& other) noexcept  // NOLINT: converts
        : tensor_view<T, 2>(other)
    {
    }
};

/// The rank is that of the extents.
template <class T, std::size_t Rank>
tensor_view(T*, const std::size_t (&)[Rank]) -> tensor_view<T, Rank>;
/// Elements are of the pointer's type.
template <class T>
matrix_view(T*, std::size_t, std::size_t) -> matrix_view<T>;
/// Likewise.
template <class T, std::integral Stride>
matrix_view(T*, std::size_t, std::size_t, Stride) -> matrix_view<T>;

/// Integers of up to 64 bits that count; bool and characters do not.
template <class T>
concept counting = std::integral<T> && sizeof(T) <= sizeof(std::uint64_t) && !std::same_as<T, bool> &&
                   !std::same_as<T, char> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
                   !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

/// An integer of any type.
struct integer {
    std::uint64_t magnitude;  ///< without its sign
    bool is_negative;         ///< is it below 0?
};

/// A contiguous list of integers of any type, which it does not own: classes of rows, lengths of rows.
class integer_list {
public:
    /// Of nothing.
    XSOFTMAX_SHARED_INLINE integer_list() noexcept {}  // NOLINT: a defaulted one is not forced inline

    /// Of the elements of a range.
    template <std::ranges::contiguous_range R>
    requires std::ranges::sized_range<R> && std::ranges::borrowed_range<R> &&
        counting<std::ranges::range_value_t<R>> XSOFTMAX_SHARED_INLINE
        integer_list(R&& range)  // NOLINT: a range is what this is
        : data_(reinterpret_cast<const unsigned char*>(std::ranges::data(range))),
          size_(static_cast<std::size_t>(std::ranges::size(range))),
          bytes_(sizeof(std::ranges::range_value_t<R>)),
          is_signed_(std::is_signed_v<std::ranges::range_value_t<R>>)
    {
    }

    /// How many integers there are.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE std::size_t size() const noexcept { return size_; }
    /// The first one's first byte.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE const unsigned char* data() const noexcept { return data_; }
    /// How many bytes an integer has.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE std::size_t bytes() const noexcept { return bytes_; }

    /// The integer number i, which is below size().
    [[nodiscard]] XSOFTMAX_SHARED_INLINE integer operator[](std::size_t i) const noexcept
    {
        const unsigned char* const at = data_ + i * bytes_;
        switch (bytes_) {
            case 1: return as<std::int8_t>(at);
            case 2: return as<std::int16_t>(at);
            case 4: return as<std::int32_t>(at);
            default: return as<std::int64_t>(at);
        }
    }

    /// The integer number i in 64 bits, which are those of a negative one in two's complement: to compare with, in a fraction
    /// of the time.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE std::uint64_t extended(std::size_t i) const noexcept
    {
        const unsigned char* const at = data_ + i * bytes_;
        if (bytes_ == 4) return extended_as<std::int32_t>(at);
        if (bytes_ == 8) return extended_as<std::int64_t>(at);
        return bytes_ == 1 ? extended_as<std::int8_t>(at) : extended_as<std::int16_t>(at);
    }

    /// May integers of this type be negative?
    [[nodiscard]] XSOFTMAX_SHARED_INLINE bool is_signed() const noexcept { return is_signed_; }

private:
    template <class Signed>
    [[nodiscard]] XSOFTMAX_SHARED_INLINE std::uint64_t extended_as(const unsigned char* at) const noexcept
    {
        Signed value;
        std::memcpy(&value, at, sizeof value);
        return is_signed_ ? static_cast<std::uint64_t>(std::int64_t{value})
                          : std::uint64_t{static_cast<std::make_unsigned_t<Signed>>(value)};
    }

    template <class Signed>
    [[nodiscard]] XSOFTMAX_SHARED_INLINE integer as(const unsigned char* at) const noexcept
    {
        Signed value;
        std::memcpy(&value, at, sizeof value);
        if (!is_signed_) return {static_cast<std::make_unsigned_t<Signed>>(value), false};
        const auto wide = static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
        return {value < 0 ? 0 - wide : wide, value < 0};
    }

    const unsigned char* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t bytes_ = 1;
    bool is_signed_ = false;
};

}  // namespace xsoftmax
