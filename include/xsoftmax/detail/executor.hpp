#pragma once

/// Rows in shares, for several threads.

#include "function_ref.hpp"
#include "layout.hpp"

#include <algorithm>
#include <cstddef>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// Fewest elements for a task: 5 to 20 µs of work, against 1 µs to hand it over.
inline constexpr std::size_t elements_of_share = 65536;

/// Calls run(share of the layout's rows) for all of them.
inline void in_shares(executor_ref executor, const row_layout& layout, function_ref<void(rows_share)> run)
{
    const std::size_t rows_of_share =
        (std::max<std::size_t>)(1, elements_of_share / (std::max<std::size_t>)(layout.length, 1));
    const std::size_t shares = executor.is_serial ? 1 : (std::min)(layout.rows() / rows_of_share, layout.blocks());
    if (shares <= 1) return run(rows_share{});
    executor.run(shares, [run, shares](std::size_t k) { run(rows_share{k, shares}); });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
