#pragma once

/// Rows in shares, for several threads.

#include "layout.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>

namespace xsoftmax {

/// Runs task(0) … task(count − 1), each once, in any order and on any threads, and returns when all have returned. If one
/// throws, it throws one of the exceptions; tasks that have not begun by then may be left out.
template <class E>
concept executor = requires(E& run, std::size_t count, void (*task)(std::size_t))
{
    run(count, task);
};

/// The caller's own thread: one task after the other.
struct serial_executor {
    template <class Task>
    XSOFTMAX_ALWAYS_INLINE void operator()(std::size_t count, Task&& task) const
    {
        for (std::size_t k = 0; k < count; ++k) task(k);
    }
};

namespace detail {
inline namespace XSOFTMAX_TARGET {

/// What a task is worth: 5 to 20 µs, where handing it to a thread costs about 1. Fewer elements stay on one thread.
inline constexpr std::size_t elements_of_share = 65536;

/// Calls run(share of the layout's rows) for all of them.
template <class Executor, std::size_t Operands, class Run>
void in_shares(Executor& run_tasks, const row_layout<Operands>& layout, const Run& run)
{
    if constexpr (!std::is_same_v<std::remove_cvref_t<Executor>, serial_executor>) {
        const std::size_t rows = layout.rows();
        const std::size_t rows_of_share =
            std::max<std::size_t>(1, elements_of_share / std::max<std::size_t>(layout.length, 1));
        const std::size_t shares = std::min(rows / rows_of_share, layout.blocks());
        if (shares > 1) {
            run_tasks(shares, [&run, shares](std::size_t k) { run(rows_share{k, shares}); });
            return;
        }
    }
    run(rows_share{});
}

}  // namespace XSOFTMAX_TARGET
}  // namespace detail
}  // namespace xsoftmax
