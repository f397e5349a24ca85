#pragma once

/// Backward passes along any axis.

#include "../kernels/entry_points.hpp"
#include "../options.hpp"
#include "architecture.hpp"
#include "arguments.hpp"
#include "batch.hpp"
#include "run.hpp"

#include <span>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

struct backward_of_softmax {
    /// The temperature at which the kernel is called for another one, by whose quotient its results are divided.
    template <class T>
    [[nodiscard]] static double nearest(double temperature)
    {
        return temperature;
    }

    template <class T>
    using row = kernels::softmax_backward_entry<T>;
    template <class T>
    using rows = kernels::softmax_backward_rows_entry<T>;
    template <class T>
    using rows_side_by_side = kernels::softmax_backward_inner_axis_entry<T>;
};

struct backward_of_log_softmax {
    /// T may not hold the reciprocal of an extreme one. 2^70 brings up what exponentials of e^-128 leave of a float.
    template <class T>
    [[nodiscard]] static double nearest(double temperature)
    {
        constexpr double least = sizeof(T) == 4 ? 0x1p-70 : 0x1p-400;
        if (temperature < least) return least;
        return temperature < 1 || kernels::is_ordinary<T>(temperature) ? temperature : 1;
    }

    template <class T>
    using row = kernels::log_softmax_backward_entry<T>;
    template <class T>
    using rows = kernels::log_softmax_backward_rows_entry<T>;
    template <class T>
    using rows_side_by_side = kernels::log_softmax_backward_inner_axis_entry<T>;
};

/// The gradient of a row of contiguous elements.
template <class Pass, class T>
XSOFTMAX_ALWAYS_INLINE void run_backward_of_row(const T* forward, const T* upstream, T* gradient, std::size_t n,
                                                double temperature)
{
    const double nearest = Pass::template nearest<T>(temperature);
    call<typename Pass::template row<T>>(forward, upstream, gradient, n, nearest);
    if (nearest != temperature) [[unlikely]]
        for (std::size_t i = 0; i < n; ++i)
            gradient[i] = static_cast<T>(static_cast<double>(gradient[i]) / (temperature / nearest));
}

template <class Pass, class T>
void run_backward(const char* function, const char* forward_name, std::span<const T> forward,
                  std::span<const T> upstream, std::span<T> gradient, const softmax_options& options)
{
    check_positive_temperature(function, options.temperature);
    check_row_axis(function, options.axis);
    check_size(function, "upstream", upstream.size(), forward_name, forward.size());
    check_size(function, "gradient", gradient.size(), forward_name, forward.size());
    check_same_or_apart<T>(function, "gradient", gradient, forward_name, forward);
    check_same_or_apart<T>(function, "gradient", gradient, "upstream", upstream);
    run_backward_of_row<Pass>(forward.data(), upstream.data(), gradient.data(), forward.size(), options.temperature);
}

template <class Pass, class Executor, class T>
void run_backward(Executor& executor, const char* function, const char* forward_name, const operand<const T>& forward,
                  const operand<const T>& upstream, const operand<T>& gradient, const softmax_options& options)
{
    check_positive_temperature(function, options.temperature);
    const std::size_t axis = check_axis(function, options.axis, forward.rank);
    check_countable(function, forward_name, forward);
    check_extents(function, "upstream", upstream, forward_name, forward);
    check_countable(function, "upstream", upstream);
    check_output(function, "gradient", gradient, forward_name, forward);
    check_views_same_or_apart(function, "gradient", gradient, "upstream", upstream);

    const auto layout = arranged<T>(rows_along(axis, forward, upstream, gradient), options.temperature);
    const auto data = data_of<T>(forward, upstream, gradient);
    const std::size_t n = layout.length;
    if (are_side_by_side<T>(layout, options.temperature)) {
        const auto run = [&](std::size_t, const std::array<std::ptrdiff_t, 3>& offset, std::size_t rows) {
            const auto at = moved_by(data, offset);
            const kernels::backward_operands<T> operands{
                at[0], at[1], at[2], {layout.step[0], layout.step[1], layout.step[2]}};
            call<typename Pass::template rows_side_by_side<T>>(operands, n, rows, options.temperature);
        };
        return in_shares(executor, layout, [&](rows_share share) { layout.for_each_run(run, share); });
    }
    if (layout.is_contiguous() && n != 0 && Pass::template nearest<T>(options.temperature) == options.temperature) {
        const auto& strides = layout.innermost().strides;
        const auto run = [&](std::size_t, const std::array<std::ptrdiff_t, 3>& offset, std::size_t rows) {
            const auto at = moved_by(data, offset);
            call<typename Pass::template rows<T>>(
                kernels::backward_rows<T>{{at[0], strides[0]}, {at[1], strides[1]}, {at[2], strides[2]}}, rows, n,
                options.temperature);
        };
        return in_shares(executor, layout, [&](rows_share share) { layout.for_each_run(run, share); });
    }
    const auto run = [&](const pointers<T, 3>& row, std::size_t) {
        run_backward_of_row<Pass, T>(row[0], row[1], row[2], n, options.temperature);
    };
    in_shares(executor, layout, [&](rows_share share) { for_each_row<true>(layout, data, run, share); });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
