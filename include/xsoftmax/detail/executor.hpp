#pragma once

/// Rows in shares, for several threads.

#include "../executor.hpp"
#include "layout.hpp"

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// Fewest elements for a task: 5 to 20 µs of work, against 1 µs to hand it over.
inline constexpr std::size_t elements_of_share = 65536;

/// Calls run(share of the layout's rows) for all of them.
template <class Executor, std::size_t Operands, class Run>
void in_shares(Executor& run_tasks, const row_layout<Operands>& layout, const Run& run)
{
    if constexpr (!std::is_same_v<std::remove_cvref_t<Executor>, serial>) {
        const std::size_t rows = layout.rows();
        const std::size_t rows_of_share =
            (std::max<std::size_t>)(1, elements_of_share / (std::max<std::size_t>)(layout.length, 1));
        const std::size_t shares = (std::min)(rows / rows_of_share, layout.blocks());
        if (shares > 1) {
            run_tasks(shares, [&run, shares](std::size_t k) { run(rows_share{k, shares}); });
            return;
        }
    }
    run(rows_share{});
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
