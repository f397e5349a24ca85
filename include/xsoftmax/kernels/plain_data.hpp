#pragma once

/// Plain data that passes into the kernels and out of them, the same for every target: see target.hpp. Of its functions none
/// may be left to be called, not even a constructor, so nothing here has initialisers of its own.

#include "compiler.hpp"

#include <cstddef>

namespace xsoftmax::kernels {

/// An unevaluated sum high + low, good for about 100 bits.
struct extended {
    double high;
    double low;
};

/// Rows that begin `stride` elements apart.
template <class T>
struct rows_apart {
    T* first;
    std::ptrdiff_t stride;

    XSOFTMAX_ALWAYS_INLINE T* operator()(std::size_t r) const
    {
        return first + static_cast<std::ptrdiff_t>(r) * stride;
    }
};

/// Of neighbouring rows, the first `done` have been done, and the next `refused` are for another sweep. There may be more.
struct taken_rows {
    std::size_t done;
    std::size_t refused;
};

/// Rows of contiguous elements that a backward pass reads and writes.
template <class T>
struct backward_rows {
    rows_apart<const T> forward;
    rows_apart<const T> upstream;
    rows_apart<T> gradient;
};

/// Where element i of the rows lies in the forward pass's results, the upstream gradient and the result.
template <class T>
struct backward_operands {
    const T* forward;
    const T* upstream;
    T* gradient;
    std::ptrdiff_t steps[3];

    XSOFTMAX_ALWAYS_INLINE const T* forward_at(std::size_t i) const { return forward + offset(0, i); }
    XSOFTMAX_ALWAYS_INLINE const T* upstream_at(std::size_t i) const { return upstream + offset(1, i); }
    XSOFTMAX_ALWAYS_INLINE T* gradient_at(std::size_t i) const { return gradient + offset(2, i); }

private:
    XSOFTMAX_ALWAYS_INLINE std::ptrdiff_t offset(std::size_t operand, std::size_t i) const
    {
        return steps[operand] * static_cast<std::ptrdiff_t>(i);
    }
};

}  // namespace xsoftmax::kernels
