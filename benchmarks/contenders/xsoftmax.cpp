#include "xsoftmax.hpp"

#include "kernel_table.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace benchmarks {

// kernel_list.inc has XSOFTMAX_KERNELS(name) for the kernels of each instruction set, and XSOFTMAX_YARDSTICK(name).
#define XSOFTMAX_KERNELS(NAME)                    \
    const kernel_table& kernels_##NAME##_float(); \
    const kernel_table& kernels_##NAME##_double();
#define XSOFTMAX_YARDSTICK(NAME)                    \
    const kernel_table& yardstick_##NAME##_float(); \
    const kernel_table& yardstick_##NAME##_double();
#include "kernel_list.inc"
#undef XSOFTMAX_KERNELS
#undef XSOFTMAX_YARDSTICK

namespace {

/// The kernels of one list entry; the first is compiled with the flags of this build.
struct entry {
    std::string name;
    const kernel_table &of_float, &of_double;
};

std::vector<entry> all_entries()
{
    return {
#define XSOFTMAX_KERNELS(NAME) {#NAME, kernels_##NAME##_float(), kernels_##NAME##_double()},
#define XSOFTMAX_YARDSTICK(NAME)
#include "kernel_list.inc"
#undef XSOFTMAX_KERNELS
#undef XSOFTMAX_YARDSTICK
    };
}

std::vector<entry> all_yardsticks()
{
    return {
#define XSOFTMAX_KERNELS(NAME)
#define XSOFTMAX_YARDSTICK(NAME) {#NAME, yardstick_##NAME##_float(), yardstick_##NAME##_double()},
#include "kernel_list.inc"
#undef XSOFTMAX_KERNELS
#undef XSOFTMAX_YARDSTICK
    };
}

bool runs_here(std::string_view name)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (name == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (name == "avx512") return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
    return !name.empty();
}

template <class T>
call prepare(const kernel_table& table, const problem<T>& p)
{
    const auto& functions = p.of.inner != 1 ? table.inner_axis : p.of.rows == 1 ? table.row : table.rows;
    const kernel_function f = functions[static_cast<std::size_t>(p.operation)];
    return f == nullptr ? call{} : call{f, std::make_shared<const problem<T>>(p)};
}

contender with_functions(contender c, const kernel_table& of_float, const kernel_table& of_double)
{
    c.prepare_float = [&of_float](const problem<float>& p) {
        return prepare(of_float, p);
    };
    c.prepare_double = [&of_double](const problem<double>& p) {
        return prepare(of_double, p);
    };
    return c;
}

contender make(const std::string& label, const kernel_table& of_float, const kernel_table& of_double)
{
    return with_functions(
        {label, kind::xsoftmax, XSOFTMAX_BENCHMARK_VERSION, "spans and views, output given", of_float.instruction_set},
        of_float, of_double);
}

template <class T>
call prepare_row_by_row(const kernel_table& table, const problem<T>& p)
{
    const kernel_function f = table.row[static_cast<std::size_t>(p.operation)];
    if (f == nullptr || p.of.rows == 1 || p.of.inner != 1) return {};
    std::vector<problem<T>> rows(p.of.rows, p);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        rows[r].of.rows = 1;
        rows[r].first += r * p.of.columns;
        rows[r].second += p.second == nullptr ? 0 : r * p.of.columns;
        rows[r].output += r * p.of.columns;
        rows[r].classes += r;
        rows[r].values += r;
    }
    return make_call([f, rows = std::move(rows)] {
        for (const problem<T>& row : rows) f(&row);
    });
}

}  // namespace

contender xsoftmax_itself()
{
    const entry e = all_entries().front();
    return make("xsoftmax", e.of_float, e.of_double);
}

contender xsoftmax_row_by_row()
{
    const entry e = all_entries().front();
    contender c = make("xsoftmax by row", e.of_float, e.of_double);
    c.description = "a call for each row";
    c.prepare_float = [&table = e.of_float](const problem<float>& p) {
        return prepare_row_by_row(table, p);
    };
    c.prepare_double = [&table = e.of_double](const problem<double>& p) {
        return prepare_row_by_row(table, p);
    };
    return c;
}

std::vector<contender> xsoftmax_kernels()
{
    std::vector<contender> all;
    const std::vector<entry> entries = all_entries();
    for (std::size_t i = 1; i < entries.size(); ++i) {  // the first is xsoftmax_itself
        const entry& e = entries[i];
        const std::string architecture = e.of_float.instruction_set;
        const bool dispatches = e.name == "dispatch";
        if (!runs_here(e.name) || (!dispatches && architecture == entries.front().of_float.instruction_set)) continue;
        all.push_back(make("xsoftmax " + (dispatches ? e.name : architecture), e.of_float, e.of_double));
    }
    return all;
}

std::vector<contender> yardsticks()
{
    std::vector<contender> all;
    const std::string default_architecture = xsoftmax_itself().architecture;
    for (const entry& e : all_yardsticks()) {
        const bool is_default = all.empty();
        if (!is_default && (!runs_here(e.name) || e.name == default_architecture)) continue;
        all.push_back(with_functions({"plain loop, degree 5" + (is_default ? "" : ' ' + e.name), kind::peer, "",
                                      "three plain loops over a cheap exponential, of degree 11 for doubles",
                                      is_default ? default_architecture : e.name},
                                     e.of_float, e.of_double));
    }
    return all;
}

std::vector<contender> yardstick() { return {yardsticks().front()}; }

}  // namespace benchmarks
