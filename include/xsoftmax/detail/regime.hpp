#pragma once

/// Which sweep runs for which row: the one place where that is decided.
///
///     temperature        row                   sweep               computed in
///     2^-30 … 2^30 (1)   up to 8 (2) vectors   short_row           the row's type
///     2^-30 … 2^30 (1)   longer                three_pass          the row's type
///     0                  any                   zero_temperature    the row's type
///     any other          any                   three_pass_in_double  double
///
/// (1) double: 2^-400 … 2^400
/// (2) 4 where an operation keeps more than one sum

#include "../kernels/short_row.hpp"
#include "../kernels/three_pass.hpp"
#include "../kernels/zero_temperature.hpp"
#include "architecture.hpp"

#include <span>

namespace xsoftmax::detail {

/// Temperature 0 or, for rows of float, an extreme one: rare enough to be kept out of the caller's code.
template <class Arch, class Operation, class T>
XSOFTMAX_COLD void run_unusual_row(Operation& operation, std::span<const T> logits, double temperature)
{
    if constexpr (requires { operation.at_zero(0.0, 1.0); })
        if (temperature == 0) return kernels::zero_temperature<Arch>(operation, logits.data(), logits.size());
    kernels::three_pass_in_double<Arch>(operation, logits.data(), logits.size(), temperature);
}

template <class Operation, class T>
void run_row(Operation& operation, std::span<const T> logits, double temperature)
{
    if (temperature != 1 && !kernels::is_ordinary<T>(temperature)) [[unlikely]]
        return run_unusual_row<architecture>(operation, logits, temperature);
    const std::size_t n = logits.size();
    constexpr std::size_t vector = xsimd::batch<T, architecture>::size;
    if (n <= kernels::short_row_vectors<Operation> * vector)
        return kernels::short_row<architecture>(operation, logits.data(), n, temperature);
    kernels::three_pass<architecture>(operation, logits.data(), n, temperature);
}

}  // namespace xsoftmax::detail
