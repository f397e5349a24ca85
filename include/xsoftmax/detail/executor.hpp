#pragma once

/// Rows in shares, for several threads.

#include "../kernels/regime.hpp"
#include "function_ref.hpp"
#include "layout.hpp"

#include <algorithm>
#include <cstddef>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// Calls run(share of the layout's rows) for all of them.
inline void in_shares(executor_ref executor, const row_layout& layout, function_ref<void(rows_share)> run)
{
    const std::size_t rows_of_share =
        (std::max<std::size_t>)(1, kernels::cache_regime::share_elements / (std::max<std::size_t>)(layout.length, 1));
    const std::size_t shares = executor.is_serial ? 1 : (std::min)(layout.rows() / rows_of_share, layout.blocks());
    if (shares <= 1) return run(rows_share{});
    executor.run(shares, [run, shares](std::size_t k) { run(rows_share{k, shares}); });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
