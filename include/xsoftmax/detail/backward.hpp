#pragma once

/// Backward passes along any axis.

#include "../kernels/entry_points.hpp"
#include "../kernels/rare_row.hpp"
#include "../options.hpp"
#include "architecture.hpp"
#include "arguments.hpp"
#include "batch.hpp"
#include "executor.hpp"
#include "masks.hpp"
#include "run.hpp"

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

struct backward_of_softmax {
    template <class T>
    using rows = kernels::softmax_backward_entry<T>;
    template <class T>
    using columns = kernels::softmax_backward_columns_entry<T>;
    template <class... Operands>
    static void rare(Operands... operands)
    {
        kernels::rare_softmax_backward(operands...);
    }
};

struct backward_of_log_softmax {
    template <class T>
    using rows = kernels::log_softmax_backward_entry<T>;
    template <class T>
    using columns = kernels::log_softmax_backward_columns_entry<T>;
    template <class... Operands>
    static void rare(Operands... operands)
    {
        kernels::rare_log_softmax_backward(operands...);
    }
};

/// Up to rows_at_once contiguous rows.
template <class Pass, class T>
void run_backward_rows(const kernels::backward_rows<T>& at, std::size_t rows, std::size_t n, double temperature)
{
    std::uint64_t rare = ~std::uint64_t{0};
    if (kernels::is_ordinary<T>(temperature)) [[likely]]
        rare = call<typename Pass::template rows<T>>(at, rows, n, temperature);
    for_each_bit(rare, [&](std::size_t r) {
        if (r < rows) Pass::rare(at.forward(r), 1, at.upstream(r), 1, at.gradient(r), 1, n, temperature);
    });
}

template <class T>
void check_backward(const char* function, const char* forward_name, const operand<const T>& forward,
                    const operand<const T>& upstream, const softmax_options& options)
{
    check_temperature(function, options.temperature, true);
    check_countable(function, forward_name, forward);
    check_extents(function, "upstream", upstream, forward_name, forward);
    check_countable(function, "upstream", upstream);
}

template <class Pass, class T>
void run_backward_row(const char* function, const char* forward_name, const operand<const T>& forward,
                      const operand<const T>& upstream, const operand<T>& gradient, const softmax_options& options)
{
    static_cast<void>(check_axis(function, options.axis, 1));
    check_backward(function, forward_name, forward, upstream, options);
    const std::size_t n = forward.extents[0];
    check_extents(function, "gradient", gradient, forward_name, forward);
    check_row_same_or_apart(function, "gradient", gradient, forward_name, forward);
    check_row_same_or_apart(function, "gradient", gradient, "upstream", upstream);
    if (n == 0) return;
    run_backward_rows<Pass, T>({{forward.data, 0}, {upstream.data, 0}, {gradient.data, 0}}, 1, n, options.temperature);
}

template <class Pass, class T>
void run_backward(executor_ref executor, const char* function, const char* forward_name,
                  const operand<const T>& forward, const operand<const T>& upstream, const operand<T>& gradient,
                  const softmax_options& options)
{
    const std::size_t axis = check_axis(function, options.axis, forward.rank);
    check_backward(function, forward_name, forward, upstream, options);
    check_output(function, "gradient", gradient, forward_name, forward);
    check_same_or_apart(function, "gradient", gradient, "upstream", upstream);

    const auto layout = arranged(rows_along(axis, {&forward, &upstream, &gradient}));
    const auto data = data_of<T>(forward, upstream, gradient);
    const std::size_t n = layout.length;
    if (n == 0 || layout.rows() == 0) return;
    const offsets& strides = layout.innermost().strides;
    const bool columns = layout.are_columns() && kernels::is_ordinary<T>(options.temperature);
    const auto run = [&](std::size_t, const offsets& offset, std::size_t rows) {
        for (std::size_t r = 0; r < rows; r += kernels::rows_at_once) {
            const std::size_t count = (std::min)(kernels::rows_at_once, rows - r);
            const auto at = moved_by(moved_by(data, offset), strides, r);
            if (!columns) {
                run_backward_rows<Pass, T>({{at[0], strides[0]}, {at[1], strides[1]}, {at[2], strides[2]}}, count, n,
                                           options.temperature);
                continue;
            }
            const auto& step = layout.step;
            const std::uint64_t rare = call<typename Pass::template columns<T>>(
                kernels::backward_columns<T>{{at[0], step[0]}, {at[1], step[1]}, {at[2], step[2]}}, count, n,
                options.temperature);
            for_each_bit(rare, [&](std::size_t k) {
                Pass::rare(static_cast<const T*>(at[0] + k), step[0], static_cast<const T*>(at[1] + k), step[1],
                           at[2] + k, step[2], n, options.temperature);
            });
        }
    };
    in_shares(executor, layout, [&](rows_share share) {
        if (columns || layout.is_contiguous()) return layout.for_each_run(run, share);
        for_each_row<T>(
            true, layout, data,
            [&](const pointers<T>& row, std::size_t) {
                run_backward_rows<Pass, T>({{row[0], 0}, {row[1], 0}, {row[2], 0}}, 1, n, options.temperature);
            },
            share);
    });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
