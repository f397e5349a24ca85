#pragma once

/// Views of many rows: matrix_view, tensor_view, and the concept that they and std::mdspan satisfy.
/// Views pass between translation units of different targets, so every function of theirs is forced inline: see
/// kernels/target.hpp.

#include "kernels/compiler.hpp"
#include "version.hpp"

#include <array>
#include <concepts>
#include <cstddef>
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
    XSOFTMAX_SHARED_INLINE constexpr matrix_view(T* data, std::size_t rows, std::size_t columns,
                                                 std::integral auto row_stride) noexcept
        : tensor_view<T, 2>(data, {rows, columns}, {static_cast<std::ptrdiff_t>(row_stride), 1})
    {
    }

    template <class U>
    requires std::same_as<const U, T> &&(!std::same_as<U, T>)
        XSOFTMAX_SHARED_INLINE constexpr matrix_view(const matrix_view<U>& other) noexcept  // NOLINT: converts
        : tensor_view<T, 2>(other)
    {
    }
};

template <class T, std::size_t Rank>
tensor_view(T*, const std::size_t (&)[Rank]) -> tensor_view<T, Rank>;
template <class T>
matrix_view(T*, std::size_t, std::size_t) -> matrix_view<T>;
template <class T, std::integral Stride>
matrix_view(T*, std::size_t, std::size_t, Stride) -> matrix_view<T>;

}  // namespace xsoftmax
