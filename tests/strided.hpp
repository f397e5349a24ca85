#pragma once

/// Tensors of any strides to test with.

#include <xsoftmax/views.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace strided {

/// In the gaps between elements. Larger than every logit of the tests, so that a gap that is read takes the whole row.
template <class T>
inline constexpr T mark = static_cast<T>(98765);

template <std::size_t Rank>
struct layout {
    std::array<std::size_t, Rank> order;  ///< the axes from the widest stride to the narrowest
    std::size_t gap = 0;     ///< elements left free after the last index of each axis; if odd, after every one
    unsigned backwards = 0;  ///< axis k runs backwards if bit k is set
};

/// A tensor in memory of its own, with marks in the gaps. The rows along an axis are in row-major order of the other axes.
template <class T, std::size_t Rank>
class tensor {
public:
    tensor(const std::array<std::size_t, Rank>& extents, const layout<Rank>& of) : extents_(extents)
    {
        std::ptrdiff_t stride = 1 + static_cast<std::ptrdiff_t>(of.gap % 2);  // so that no axis is contiguous
        for (std::size_t k = Rank; k-- > 0;) {
            const std::size_t axis = of.order[k];
            strides_[axis] = stride;
            stride = stride * static_cast<std::ptrdiff_t>(extents[axis]) + static_cast<std::ptrdiff_t>(of.gap);
            size_ *= extents[axis];
        }
        memory_.assign(static_cast<std::size_t>(stride), mark<T>);
        for (std::size_t axis = 0; axis < Rank; ++axis) {
            if ((of.backwards >> axis & 1u) == 0) continue;
            origin_ += strides_[axis] * static_cast<std::ptrdiff_t>(extents[axis] - 1);
            strides_[axis] = -strides_[axis];
        }
    }

    xsoftmax::tensor_view<const T, Rank> input() const { return {memory_.data() + origin_, extents_, strides_}; }
    xsoftmax::tensor_view<T, Rank> output() { return {memory_.data() + origin_, extents_, strides_}; }

    /// Of the rows along `axis`, one after the other.
    void assign(std::size_t axis, const std::vector<T>& rows)
    {
        for (std::size_t i = 0; i < size_; ++i) memory_[place(axis, i)] = rows[i];
    }

    std::vector<T> rows(std::size_t axis) const
    {
        std::vector<T> rows(size_);
        for (std::size_t i = 0; i < size_; ++i) rows[i] = memory_[place(axis, i)];
        return rows;
    }

    std::size_t size() const { return size_; }
    const std::vector<T>& memory() const { return memory_; }

    /// Are there marks in all gaps, and nowhere else?
    bool only_gaps_are_marked() const
    {
        const auto marks = std::count(memory_.begin(), memory_.end(), mark<T>);
        return static_cast<std::size_t>(marks) == memory_.size() - size_;
    }

private:
    /// Where element i of rows(axis) is.
    std::size_t place(std::size_t axis, std::size_t i) const
    {
        std::ptrdiff_t place = origin_ + static_cast<std::ptrdiff_t>(i % extents_[axis]) * strides_[axis];
        std::size_t row = i / extents_[axis];
        for (std::size_t k = Rank; k-- > 0;) {
            if (k == axis) continue;
            place += static_cast<std::ptrdiff_t>(row % extents_[k]) * strides_[k];
            row /= extents_[k];
        }
        return static_cast<std::size_t>(place);
    }

    std::array<std::size_t, Rank> extents_;
    std::array<std::ptrdiff_t, Rank> strides_{};
    std::ptrdiff_t origin_ = 0;
    std::size_t size_ = 1;
    std::vector<T> memory_;
};

}  // namespace strided
