#pragma once

/// Views of many rows: matrix_view, tensor_view, and the concept that they and std::mdspan satisfy.
/// Views pass between translation units of different targets, so all that they have is forced inline: see kernels/target.hpp.

#include "kernels/compiler.hpp"

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

/// A tensor of `Rank` axes in somebody else's memory. T may be const.
template <class T, std::size_t Rank>
class tensor_view {
    static_assert(Rank >= 1, "a tensor has at least one axis");

public:
    using element_type = T;  ///< const where the elements are not to be written

    /// Row-major: the last axis is contiguous.
    XSOFTMAX_ALWAYS_INLINE constexpr tensor_view(T* data, const std::array<std::size_t, Rank>& extents) noexcept
        : data_(data), extents_(extents)
    {
        std::ptrdiff_t stride = 1;
        for (std::size_t axis = Rank; axis-- > 0;) {
            strides_[axis] = stride;
            // Unsigned: extents whose product overflows are refused where they are used.
            stride = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(stride) * extents[axis]);
        }
    }

    /// Strides in elements, of either sign.
    XSOFTMAX_ALWAYS_INLINE constexpr tensor_view(T* data, const std::array<std::size_t, Rank>& extents,
                                                 const std::array<std::ptrdiff_t, Rank>& strides) noexcept
        : data_(data), extents_(extents), strides_(strides)
    {
    }

    /// How many axes it has.
    [[nodiscard]] XSOFTMAX_ALWAYS_INLINE static constexpr std::size_t rank() noexcept { return Rank; }
    /// How many elements lie along the axis.
    [[nodiscard]] XSOFTMAX_ALWAYS_INLINE constexpr std::size_t extent(std::size_t axis) const noexcept
    {
        return extents_[axis];
    }
    /// From an element to the next along the axis, in elements.
    [[nodiscard]] XSOFTMAX_ALWAYS_INLINE constexpr std::ptrdiff_t stride(std::size_t axis) const noexcept
    {
        return strides_[axis];
    }
    /// The element whose indices are all 0.
    [[nodiscard]] XSOFTMAX_ALWAYS_INLINE constexpr T* data_handle() const noexcept { return data_; }

private:
    T* data_;
    std::array<std::size_t, Rank> extents_;
    std::array<std::ptrdiff_t, Rank> strides_;
};

/// A matrix in somebody else's memory: rows of `columns` elements, beginning `row_stride` elements apart.
template <class T>
class matrix_view : public tensor_view<T, 2> {
public:
    /// Row-major, one row behind the other.
    XSOFTMAX_ALWAYS_INLINE constexpr matrix_view(T* data, std::size_t rows, std::size_t columns) noexcept
        : tensor_view<T, 2>(data, {rows, columns})
    {
    }

    /// `row_stride` elements from a row to the next, of either sign.
    XSOFTMAX_ALWAYS_INLINE constexpr matrix_view(T* data, std::size_t rows, std::size_t columns,
                                                 std::integral auto row_stride) noexcept
        : tensor_view<T, 2>(data, {rows, columns}, {static_cast<std::ptrdiff_t>(row_stride), 1})
    {
    }
};

}  // namespace xsoftmax
