/// This library's functions, compiled once for each instruction set and element type: XSOFTMAX_BENCHMARK_TYPE names the
/// latter, XSOFTMAX_BENCHMARK_KERNELS the function to define.

#include "kernel_table.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace benchmarks {

const kernel_table& XSOFTMAX_BENCHMARK_KERNELS();

namespace {

using element = XSOFTMAX_BENCHMARK_TYPE;
using input = xsoftmax::matrix_view<const element>;
using output = xsoftmax::matrix_view<element>;

/// A row's operands as users hold them.
struct row {
    explicit row(const void* state) : p(*static_cast<const problem<element>*>(state)) {}

    std::span<const element> first() const { return {p.first, p.of.columns}; }
    std::span<const element> second() const { return {p.second, p.of.columns}; }
    std::span<element> output() const { return {p.output, p.of.columns}; }

    const problem<element>& p;
};

/// The same of many rows.
struct rows {
    explicit rows(const void* state) : p(*static_cast<const problem<element>*>(state)) {}

    input first() const { return {p.first, p.of.rows, p.of.columns}; }
    input second() const { return {p.second, p.of.rows, p.of.columns}; }
    benchmarks::output output() const { return {p.output, p.of.rows, p.of.columns}; }
    std::span<const std::int64_t> classes() const { return {p.classes, p.of.rows}; }
    xsoftmax::matrix_view<const unsigned char> keep() const { return {p.keep, p.of.rows, p.of.columns}; }
    std::span<const element> weights() const { return {p.weights, p.of.columns}; }
    std::span<element> values() const { return {p.values, p.of.rows}; }

    const problem<element>& p;
};

/// Arrays of three axes, of which the operation runs along the middle one.
struct inner_axis {
    explicit inner_axis(const void* state) : p(*static_cast<const problem<element>*>(state)) {}

    xsoftmax::tensor_view<const element, 3> first() const { return {p.first, {p.of.rows, p.of.columns, p.of.inner}}; }
    xsoftmax::tensor_view<element, 3> output() const { return {p.output, {p.of.rows, p.of.columns, p.of.inner}}; }
    std::span<const std::int64_t> classes() const { return {p.classes, p.of.row_count()}; }

    const problem<element>& p;
};

void softmax_inner_axis(const void* state)
{
    const inner_axis r(state);
    xsoftmax::softmax(r.first(), r.output(), {.axis = 1});
}

void log_softmax_inner_axis(const void* state)
{
    const inner_axis r(state);
    xsoftmax::log_softmax(r.first(), r.output(), {.axis = 1});
}

void cross_entropy_gradient_inner_axis(const void* state)
{
    const inner_axis r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.classes(), r.output(), {.axis = 1});
}

void softmax_row(const void* state)
{
    const row r(state);
    xsoftmax::softmax(r.first(), r.output());
}

void softmax_rows(const void* state)
{
    const rows r(state);
    xsoftmax::softmax(r.first(), r.output());
}

void log_softmax_row(const void* state)
{
    const row r(state);
    xsoftmax::log_softmax(r.first(), r.output());
}

void log_softmax_rows(const void* state)
{
    const rows r(state);
    xsoftmax::log_softmax(r.first(), r.output());
}

void log_sum_exp_row(const void* state)
{
    const row r(state);
    *r.p.values = xsoftmax::log_sum_exp(r.first());
}

void log_sum_exp_rows(const void* state)
{
    const rows r(state);
    xsoftmax::log_sum_exp(r.first(), r.values());
}

void cross_entropy_row(const void* state)
{
    const row r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), *r.p.classes);
}

void cross_entropy_rows(const void* state)
{
    const rows r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.classes());
}

void cross_entropy_gradient_row(const void* state)
{
    const row r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), *r.p.classes, r.output());
}

void cross_entropy_gradient_rows(const void* state)
{
    const rows r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.classes(), r.output());
}

void cross_entropy_losses_rows(const void* state)
{
    const rows r(state);
    xsoftmax::cross_entropy_losses(r.first(), r.classes(), r.values());
}

void cross_entropy_targets_row(const void* state)
{
    const row r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.second());
}

void cross_entropy_targets_rows(const void* state)
{
    const rows r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.second());
}

void cross_entropy_targets_gradient_row(const void* state)
{
    const row r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.second(), r.output());
}

void cross_entropy_targets_gradient_rows(const void* state)
{
    const rows r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.second(), r.output());
}

void smoothed_gradient_rows(const void* state)
{
    const rows r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.classes(), r.output(), {.label_smoothing = 0.1});
}

void weighted_smoothed_gradient_rows(const void* state)
{
    const rows r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.classes(), r.output(),
                                                  {.label_smoothing = 0.1, .class_weights = r.weights()});
}

void z_loss_gradient_rows(const void* state)
{
    const rows r(state);
    *r.p.values = xsoftmax::softmax_cross_entropy(r.first(), r.classes(), r.output(), {.z_loss = 1e-4});
}

void softmax_backward_row(const void* state)
{
    const row r(state);
    xsoftmax::softmax_backward(r.first(), r.second(), r.output());
}

void softmax_backward_rows(const void* state)
{
    const rows r(state);
    xsoftmax::softmax_backward(r.first(), r.second(), r.output());
}

void log_softmax_backward_row(const void* state)
{
    const row r(state);
    xsoftmax::log_softmax_backward(r.first(), r.second(), r.output());
}

void log_softmax_backward_rows(const void* state)
{
    const rows r(state);
    xsoftmax::log_softmax_backward(r.first(), r.second(), r.output());
}

void causal_softmax_rows(const void* state)
{
    const rows r(state);
    xsoftmax::masked_softmax(r.first(), r.output(), {.causal = 0});
}

void padded_softmax_rows(const void* state)
{
    const rows r(state);
    xsoftmax::masked_softmax(r.first(), r.output(), {.lengths = r.classes()});
}

void kept_softmax_rows(const void* state)
{
    const rows r(state);
    xsoftmax::masked_softmax(r.first(), r.output(), {.keep = r.keep()});
}

void biased_softmax_rows(const void* state)
{
    const rows r(state);
    xsoftmax::masked_softmax(r.first(), r.output(), {.bias = r.second()});
}

void kept_log_softmax_rows(const void* state)
{
    const rows r(state);
    xsoftmax::masked_log_softmax(r.first(), r.output(), {.keep = r.keep()});
}

void kept_cross_entropy_gradient_rows(const void* state)
{
    const rows r(state);
    *r.p.values =
        xsoftmax::softmax_cross_entropy(xsoftmax::masked(r.first(), {.keep = r.keep()}), r.classes(), r.output());
}

#if !defined(XSOFTMAX_DISPATCH)
/// Exponentials as the kernels compute them, relative to a maximum that is known beforehand. Not of run-time dispatch: the
/// header's exponential is that of this file's own flags.
void exp_map(const void* state)
{
    using namespace xsoftmax::kernels;
    using batch = xsimd::batch<element, default_arch>;
    const auto& p = *static_cast<const problem<element>*>(state);
    scale_for<batch> room;
    const auto& scale = scale_for<batch>::make(1, room);
    const auto relative_to = reference<batch>::to(batch(element(16)), scale);
    const std::size_t n = p.of.elements();
    std::size_t i = 0;
    for (; i + batch::size <= n; i += batch::size)
        store_whole(p.output + i, exponential(load_whole<batch>(p.first + i), relative_to, scale));
    for (; i < n; ++i) p.output[i] = p.first[i];  // lengths are whole vectors, but for what nobody would notice
}
#endif

constexpr void put(kernel_function* table, operation o, kernel_function f) { table[static_cast<std::size_t>(o)] = f; }

constexpr kernel_table functions()
{
    kernel_table table{};
    put(table.row, operation::softmax, softmax_row);
    put(table.row, operation::log_softmax, log_softmax_row);
    put(table.row, operation::log_sum_exp, log_sum_exp_row);
    put(table.row, operation::cross_entropy, cross_entropy_row);
    put(table.row, operation::cross_entropy_gradient, cross_entropy_gradient_row);
    put(table.row, operation::cross_entropy_targets, cross_entropy_targets_row);
    put(table.row, operation::cross_entropy_targets_gradient, cross_entropy_targets_gradient_row);
    put(table.row, operation::softmax_backward, softmax_backward_row);
    put(table.row, operation::log_softmax_backward, log_softmax_backward_row);
    put(table.rows, operation::softmax, softmax_rows);
    put(table.rows, operation::log_softmax, log_softmax_rows);
    put(table.rows, operation::log_sum_exp, log_sum_exp_rows);
    put(table.rows, operation::cross_entropy, cross_entropy_rows);
    put(table.rows, operation::cross_entropy_gradient, cross_entropy_gradient_rows);
    put(table.rows, operation::cross_entropy_losses, cross_entropy_losses_rows);
    put(table.rows, operation::cross_entropy_targets, cross_entropy_targets_rows);
    put(table.rows, operation::cross_entropy_targets_gradient, cross_entropy_targets_gradient_rows);
    put(table.rows, operation::smoothed_gradient, smoothed_gradient_rows);
    put(table.rows, operation::weighted_smoothed_gradient, weighted_smoothed_gradient_rows);
    put(table.rows, operation::z_loss_gradient, z_loss_gradient_rows);
    put(table.rows, operation::softmax_backward, softmax_backward_rows);
    put(table.rows, operation::log_softmax_backward, log_softmax_backward_rows);
    put(table.rows, operation::causal_softmax, causal_softmax_rows);
    put(table.rows, operation::padded_softmax, padded_softmax_rows);
    put(table.rows, operation::kept_softmax, kept_softmax_rows);
    put(table.rows, operation::biased_softmax, biased_softmax_rows);
    put(table.rows, operation::kept_log_softmax, kept_log_softmax_rows);
    put(table.rows, operation::kept_cross_entropy_gradient, kept_cross_entropy_gradient_rows);
    put(table.inner_axis, operation::softmax, softmax_inner_axis);
    put(table.inner_axis, operation::log_softmax, log_softmax_inner_axis);
    put(table.inner_axis, operation::cross_entropy_gradient, cross_entropy_gradient_inner_axis);
#if !defined(XSOFTMAX_DISPATCH)
    put(table.row, operation::exp_map, exp_map);
    put(table.rows, operation::exp_map, exp_map);
#endif
    return table;
}

constinit kernel_table table = functions();

}  // namespace

const kernel_table& XSOFTMAX_BENCHMARK_KERNELS()
{
    table.instruction_set = xsoftmax::architecture().data();
    return table;
}

}  // namespace benchmarks
