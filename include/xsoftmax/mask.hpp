#pragma once

/// Which elements of a view take part, and what becomes of rows in which none does: what masked() lays over logits.

#include "kernels/compiler.hpp"
#include "views.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

namespace xsoftmax {

/// What a broadcast_view of T may be made from: elements of T, or where T is a byte, of any type of one byte.
template <class Element, class T>
concept broadcast_as = std::same_as<std::remove_cv_t<Element>, T> ||
    (std::same_as<T, unsigned char> && sizeof(Element) == 1 && std::is_trivially_copyable_v<Element>);

/// A temporary that owns its elements, such as a std::vector: they would be gone before the mask is used.
template <class R>
concept owning_temporary = std::ranges::contiguous_range<R> && !std::ranges::borrowed_range<R>;

/// A view of T that is broadcast over the logits, as NumPy does: the last axes align, and an axis of extent 1 is repeated. Made
/// from any view, or from a contiguous range, which is a view of one axis.
template <class T>
class broadcast_view {
public:
    static constexpr std::size_t max_rank = 8;  ///< axes, at most

    /// Of nothing.
    XSOFTMAX_SHARED_INLINE broadcast_view() noexcept {}  // NOLINT: a defaulted one is not forced inline

    /// Of all elements of a view.
    template <tensor V>
    requires broadcast_as<std::remove_reference_t<decltype(*std::declval<const V&>().data_handle())>, T> &&
        (V::rank() <= max_rank)
            XSOFTMAX_SHARED_INLINE broadcast_view(const V& view)  // NOLINT: a view of either kind is what this is
        : data_(reinterpret_cast<const T*>(view.data_handle())), rank_(V::rank())
    {
        for (std::size_t axis = 0; axis < rank_; ++axis) {
            extents_[axis] = static_cast<std::size_t>(view.extent(axis));
            strides_[axis] = static_cast<std::ptrdiff_t>(view.stride(axis));
        }
    }

    /// Of a range, as one axis.
    template <std::ranges::contiguous_range R>
    requires std::ranges::sized_range<R> && broadcast_as<std::ranges::range_value_t<R>, T> &&
        std::ranges::borrowed_range<R> XSOFTMAX_SHARED_INLINE
        broadcast_view(R&& range)  // NOLINT: likewise
        : data_(reinterpret_cast<const T*>(std::ranges::data(range))),
          rank_(1),
          extents_{static_cast<std::size_t>(std::ranges::size(range))},
          strides_{1}
    {
    }

    broadcast_view(owning_temporary auto&&) = delete;  // NOLINT xsoftmax: a mask does not own its elements: name them

    /// std::vector<bool> has no bools in memory.
    template <class R>
    requires std::same_as<std::remove_cvref_t<R>, std::vector<bool>> broadcast_view(R&&)  // NOLINT: refused, why
    {
        static_assert(!std::same_as<std::remove_cvref_t<R>, std::vector<bool>>,
                      "xsoftmax: std::vector<bool> has no bools in memory: use std::vector<unsigned char> or bool[]");
    }

    /// Is it of nothing?
    [[nodiscard]] XSOFTMAX_SHARED_INLINE bool empty() const noexcept { return rank_ == 0; }
    /// How many axes it has.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE std::size_t axes() const noexcept { return rank_; }
    /// How many elements lie along the axis.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE std::size_t extent(std::size_t axis) const noexcept { return extents_[axis]; }
    /// From an element to the next along the axis, in elements.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE std::ptrdiff_t stride(std::size_t axis) const noexcept
    {
        return strides_[axis];
    }
    /// The element whose indices are all 0.
    [[nodiscard]] XSOFTMAX_SHARED_INLINE const T* data_handle() const noexcept { return data_; }

private:
    const T* data_ = nullptr;
    std::size_t rank_ = 0;
    std::array<std::size_t, max_rank> extents_{};
    std::array<std::ptrdiff_t, max_rank> strides_{};
};

/// What a fully masked row gets, of which nothing is kept.
///
/// A loss's targets are here smoothed over all classes, and weighted: those of a class y sum to (1 − ε)·w[y] + ε/n·Σ_k w[k].
/// z_loss adds nothing to such a row.
enum class fully_masked {
    zeros,    ///< probabilities 0, log-probabilities −inf, loss and gradient 0
    uniform,  ///< probabilities 1/n, log-probabilities −log n, loss log n times Σ of the row's targets, gradient 0
    nan,      ///< NaN, as softmax of nothing but −inf
    error     ///< std::invalid_argument that names the row, before anything is written; ignored rows aside
};

/// Which elements of logits of T take part. All that is given must hold; nothing given keeps everything.
///
/// What is left out is never read as a number: a NaN there stays there. A kept logit of −inf counts as left out. A row in which
/// a NaN or +inf is kept is NaN, all of it. Target probabilities are no logits: each is read, and a NaN among them makes its
/// row's loss NaN, whatever the mask keeps.
template <class T>
struct mask {
    /// bool or bytes, 0 where the element is left out; broadcast over the logits.
    broadcast_view<unsigned char> keep = {};

    /// How many elements of each row are kept, the first ones: as many lengths as rows, or each for as many consecutive rows
    /// as there are rows for a length (one for each sequence of a batch, over its heads and queries).
    std::optional<integer_list> lengths = {};

    /// Keeps the element i of the row q if i ≤ q + causal, where q is the index on the last of the other axes: the query's.
    /// 0 for queries and keys of the same sequence, the number of earlier keys where they come from a cache.
    std::optional<std::ptrdiff_t> causal = {};

    /// Added to the logits, in T; broadcast over them. −inf leaves out.
    broadcast_view<T> bias = {};

    /// What a row gets of which nothing is kept.
    enum fully_masked fully_masked = fully_masked::zeros;
};

/// Logits and what is kept of them: an input wherever logits go. Made by masked().
template <class Logits, class T>
struct masked_logits {
    Logits logits;           ///< a span of a row, or a view
    xsoftmax::mask<T> mask;  ///< what is kept
};

/// A row of logits under a mask: softmax(masked(logits, {.keep = keep}), probabilities). `keep` and `bias` have one axis,
/// `lengths` has one element, and the row is the query 0 of `causal`.
template <std::ranges::contiguous_range R>
requires std::ranges::sized_range<R> && std::ranges::borrowed_range<R>
[[nodiscard]] XSOFTMAX_SHARED_INLINE auto masked(R&& logits, const mask<std::ranges::range_value_t<R>>& mask)
{
    using T = std::ranges::range_value_t<R>;
    const std::span<const T> row(std::ranges::data(logits), std::ranges::size(logits));
    return masked_logits<std::span<const T>, T>{row, mask};
}

template <owning_temporary R>
void masked(R&&, const mask<std::ranges::range_value_t<R>>&) = delete;  // xsoftmax: it owns no logits: name them

/// A view of logits under a mask.
template <tensor V>
[[nodiscard]] XSOFTMAX_SHARED_INLINE auto masked(
    const V& logits, const mask<std::remove_cvref_t<decltype(*std::declval<const V&>().data_handle())>>& mask)
{
    return masked_logits<V, std::remove_cvref_t<decltype(*logits.data_handle())>>{logits, mask};
}

}  // namespace xsoftmax
