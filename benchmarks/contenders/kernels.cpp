/// This library's functions, compiled once for each instruction set and element type: XSOFTMAX_BENCHMARK_TYPE names the
/// latter, XSOFTMAX_BENCHMARK_KERNELS the function to define.

#include "kernel_table.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <type_traits>

namespace benchmarks {

kernel_tables XSOFTMAX_BENCHMARK_KERNELS();

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
    *r.p.values = xsoftmax::masked_softmax_cross_entropy(r.first(), r.classes(), {.keep = r.keep()}, r.output());
}

#if !defined(XSOFTMAX_DISPATCH)
/// Exponentials as the kernels compute them, relative to a maximum that is known beforehand. Not of run-time dispatch: the
/// header's exponential is that of this file's own flags.
void exp_map(const void* state)
{
    using namespace xsoftmax::kernels;
    using batch = xsimd::batch<element>;
    const auto& p = *static_cast<const problem<element>*>(state);
    const auto scale = scale_for<batch>::make(1, 1);
    const near_maximum<batch> reference(element(16), scale);
    const std::size_t n = p.of.elements();
    std::size_t i = 0;
    for (; i + batch::size <= n; i += batch::size)
        reference.exponential(batch::load_unaligned(p.first + i)).store_unaligned(p.output + i);
    for (; i < n; ++i) p.output[i] = p.first[i];  // lengths are whole vectors, but for what nobody would notice
}
#endif

constexpr void put(kernel_function* table, operation o, kernel_function f) { table[static_cast<std::size_t>(o)] = f; }

constexpr kernel_table chosen_by_the_library()
{
    kernel_table table{};
    table.regime = "";
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

#if defined(XSOFTMAX_BENCHMARK_REGIMES)
namespace kernels = xsoftmax::kernels;

using softmax_operation = kernels::softmax_operation<element>;
using log_softmax_operation = kernels::log_softmax_operation<element>;
using loss_operation = kernels::index_loss_operation;
using gradient_operation = kernels::index_gradient_operation<element>;

template <class Operation>
constexpr auto& row_regimes = kernels::row_regimes<kernels::default_arch, Operation, element>;
template <class Operations>
constexpr auto& rows_regimes = kernels::rows_regimes<kernels::default_arch, Operations, element>;

/// What is to be done with row r of a problem.
template <class Operation>
Operation operation_on(const problem<element>& p, std::size_t r)
{
    const auto target = static_cast<std::size_t>(p.classes[r]);
    const auto logit = static_cast<double>(p.first[r * p.of.columns + target]);
    element* const to = p.output + r * p.of.columns;
    if constexpr (std::is_same_v<Operation, loss_operation>)
        return {{}, logit};
    else if constexpr (std::is_same_v<Operation, gradient_operation>)
        return {{{}, logit}, to, target};
    else if constexpr (std::is_same_v<Operation, kernels::log_sum_exp_operation>)
        return {};
    else
        return {to};
}

/// The number that it gives beside what it writes, if any.
template <class Operation>
void store_value(const Operation& done, element& to)
{
    if constexpr (requires { done.loss; })
        to = static_cast<element>(done.loss);
    else if constexpr (requires { done.result; })
        to = static_cast<element>(done.result);
}

template <class Operation, std::size_t I>
void run_row_regime(const void* state)
{
    const auto& p = row(state).p;
    auto what = operation_on<Operation>(p, 0);
    row_regimes<Operation>[I].run(what, p.first, p.of.columns, 1);
    store_value(what, *p.values);
}

/// What is to be done with many rows, where it is no more than a place to write to.
template <class Operation>
using in_outputs = kernels::operations_apart<Operation, element>;

/// The same where it is kept for as many rows at a time as the library keeps it for.
template <class Operation>
using in_array = kernels::operations_of_rows<Operation>;

template <class Operations, std::size_t I>
void run_rows_regime(const void* state)
{
    using operation_type = kernels::operation_of<Operations>;
    const auto& p = rows(state).p;
    const auto n = static_cast<std::ptrdiff_t>(p.of.columns);
    const auto run = rows_regimes<Operations>[I].run;
    if constexpr (std::is_same_v<Operations, in_outputs<operation_type>>)
        run({{p.output, n}}, {p.first, n}, p.of.rows, p.of.columns, 1);
    else {
        constexpr std::size_t most = xsoftmax::detail::operations_at_once;
        for (std::size_t r = 0; r < p.of.rows; r += most) {
            const std::size_t count = p.of.rows - r < most ? p.of.rows - r : most;
            operation_type what[most];
            for (std::size_t k = 0; k < count; ++k) what[k] = operation_on<operation_type>(p, r + k);
            run({what}, {p.first + r * p.of.columns, n}, count, p.of.columns, 1);
            for (std::size_t k = 0; k < count; ++k) store_value(what[k], p.values[r + k]);
        }
    }
}

/// The sweep of this place in the list, for all functions of one row that have it.
template <std::size_t I>
constexpr kernel_table row_regime()
{
    kernel_table table{};
    table.regime = row_regimes<softmax_operation>[I].name;
    const auto put_sweep = [&]<class Operation>(operation o, const Operation*) {
        put(table.row, o, run_row_regime<Operation, I>);
        table.accepts[static_cast<std::size_t>(o)] = [](std::size_t n) {
            return row_regimes<Operation>[I].accepts(n, false);
        };
    };
    put_sweep(operation::softmax, static_cast<softmax_operation*>(nullptr));
    put_sweep(operation::log_softmax, static_cast<log_softmax_operation*>(nullptr));
    put_sweep(operation::log_sum_exp, static_cast<kernels::log_sum_exp_operation*>(nullptr));
    put_sweep(operation::cross_entropy, static_cast<loss_operation*>(nullptr));
    put_sweep(operation::cross_entropy_gradient, static_cast<gradient_operation*>(nullptr));
    return table;
}

/// The same for functions of many rows.
template <std::size_t I>
constexpr kernel_table rows_regime()
{
    kernel_table table{};
    table.regime = rows_regimes<in_outputs<softmax_operation>>[I].name;
    const auto put_sweep = [&]<class Operations>(operation o, const Operations*) {
        put(table.rows, o, run_rows_regime<Operations, I>);
        table.accepts[static_cast<std::size_t>(o)] = rows_regimes<Operations>[I].accepts;
    };
    put_sweep(operation::softmax, static_cast<in_outputs<softmax_operation>*>(nullptr));
    put_sweep(operation::log_softmax, static_cast<in_outputs<log_softmax_operation>*>(nullptr));
    put_sweep(operation::log_sum_exp, static_cast<in_array<kernels::log_sum_exp_operation>*>(nullptr));
    put_sweep(operation::cross_entropy, static_cast<in_array<loss_operation>*>(nullptr));
    put_sweep(operation::cross_entropy_gradient, static_cast<in_array<gradient_operation>*>(nullptr));
    return table;
}

static_assert(std::size(row_regimes<softmax_operation>) == 5 &&
                  std::size(rows_regimes<in_outputs<softmax_operation>>) == 3,
              "each has a line below");
kernel_table tables[] = {chosen_by_the_library(), row_regime<0>(),  row_regime<1>(),  row_regime<2>(), row_regime<3>(),
                         row_regime<4>(),         rows_regime<0>(), rows_regime<1>(), rows_regime<2>()};
#else
kernel_table tables[] = {chosen_by_the_library()};
#endif

}  // namespace

kernel_tables XSOFTMAX_BENCHMARK_KERNELS()
{
    for (kernel_table& table : tables) table.instruction_set = xsoftmax::architecture().data();
    return {tables, sizeof(tables) / sizeof(tables[0])};
}

}  // namespace benchmarks
