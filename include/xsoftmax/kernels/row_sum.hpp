#pragma once

/// What every function needs to know of a row: its maximum and Σ exp(x/T) relative to it, kept well enough. The sweeps of
/// sum_*.hpp make it, and all results are made of it.
///
/// Plain data, the same for every target: see target.hpp.

#include "compiler.hpp"

#include <cstddef>
#include <cstdint>

namespace xsoftmax::kernels {

/// Rows that are summed together, at most: a few groups of the widest vectors.
inline constexpr std::size_t rows_at_once = 64;

/// A number for each row: of float rows in double, of double rows in pairs of doubles.
template <class T>
struct wide_numbers {
    alignas(64) double part[sizeof(T) / 4][rows_at_once];
};

/// The sums of up to rows_at_once rows. With e = 2^65·exp(x/T) (2^257 of doubles) over a power of two near the maximum's:
template <class T>
struct row_sums {
    alignas(64) T maximum[rows_at_once];       ///< max x; where a row is rare it may be anything
    alignas(64) T inverse_high[rows_at_once];  ///< 1/Σ e, which is in two parts
    alignas(64) T inverse_low[rows_at_once];
    wide_numbers<T> others;     ///< Σ e of all but one maximum. This and the rest only where logarithms are wanted
    wide_numbers<T> logarithm;  ///< log Σ exp((x − max x)/T) ≥ 0
    std::uint64_t rare;         ///< bit r: row r is for rare_row.hpp
};

/// Rows that begin `stride` elements apart.
template <class T>
struct strided_rows {
    T* first;
    std::ptrdiff_t stride;

    XSOFTMAX_SHARED_INLINE T* operator()(std::size_t r) const
    {
        return first + static_cast<std::ptrdiff_t>(r) * stride;
    }
    XSOFTMAX_SHARED_INLINE strided_rows from(std::size_t r) const { return {(*this)(r), stride}; }
};

}  // namespace xsoftmax::kernels
