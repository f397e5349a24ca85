/// Batches against what they replace: many rows in one call against the rows one at a time, other axes against the last
/// one, losses and gradients against softmax, backward passes against plain loops; all in one run.
///
///     xsoftmax_batch_benchmarks [flags of Google Benchmark]     a table, in a minute

#include "data.hpp"
#include "naive_xsimd.hpp"

#include <benchmark/benchmark.h>
#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

using call = std::function<void()>;

/// Two calls that take turns.
struct comparison {
    std::string what;
    std::string with;   ///< what it is compared with
    std::size_t count;  ///< of the rows or elements that a time is given for
    call ours, other;
};

/// Operands of one shape, which the calls of a comparison share.
template <class T>
struct operands {
    benchmarks::aligned_vector<T> logits, upstream, output, forward;

    explicit operands(std::size_t count)
        : logits(benchmarks::normal_logits<T>(count)),
          upstream(benchmarks::normal_logits<T>(count + 16)),
          output(count),
          forward(count)
    {
        upstream.resize(count);
    }
};

template <class T>
using matrix = xsoftmax::matrix_view<T>;

template <class T>
constexpr const char* type_name = sizeof(T) == 4 ? "float" : "double";

std::string shape(std::size_t rows, std::size_t columns)
{
    return std::to_string(rows) + "x" + std::to_string(columns);
}

template <class T>
comparison bulk(std::size_t rows, std::size_t columns, bool log)
{
    const auto data = std::make_shared<operands<T>>(rows * columns);
    const auto row = [data, columns](auto& of, std::size_t r) {
        return std::span(&of[r * columns], columns);
    };
    const matrix<const T> in(data->logits.data(), rows, columns);
    const matrix<T> out(data->output.data(), rows, columns);
    const std::string name = (log ? "log_softmax " : "softmax ") + shape(rows, columns) + ' ' + type_name<T>;
    if (log)
        return {name, "rows one at a time", rows, [data, in, out] { xsoftmax::log_softmax(in, out); },
                [data, row, rows] {
                    for (std::size_t r = 0; r < rows; ++r)
                        xsoftmax::log_softmax(row(data->logits, r), row(data->output, r));
                }};
    return {name, "rows one at a time", rows, [data, in, out] { xsoftmax::softmax(in, out); },
            [data, row, rows] {
                for (std::size_t r = 0; r < rows; ++r) xsoftmax::softmax(row(data->logits, r), row(data->output, r));
            }};
}

template <class T>
comparison inner_axis(bool against_rows)
{
    const auto data = std::make_shared<operands<T>>(64 * 512 * 64);
    const xsoftmax::tensor_view<const T, 3> in(data->logits.data(), {64, 512, 64});
    const xsoftmax::tensor_view<T, 3> out(data->output.data(), {64, 512, 64});
    const matrix<const T> row_in(data->logits.data(), 4096, 512);
    const matrix<T> row_out(data->output.data(), 4096, 512);
    const std::string name = std::string("softmax 64x512x64 ") + type_name<T> + ", axis 1";
    const call along_1 = [data, in, out] {
        xsoftmax::softmax(in, out, {.axis = 1});
    };
    if (against_rows)
        return {name, "rows of 512", data->logits.size(), along_1, [data, row_in, row_out] {
                    xsoftmax::softmax(row_in, row_out);
                }};
    return {name, "axis 2", data->logits.size(), along_1, [data, in, out] {
                xsoftmax::softmax(in, out, {.axis = 2});
            }};
}

template <class T>
comparison cross_entropy(bool gradient)
{
    const std::size_t rows = 256, columns = 1024;
    const auto data = std::make_shared<operands<T>>(rows * columns);
    const auto targets = std::make_shared<std::vector<int>>(rows);
    for (std::size_t r = 0; r < rows; ++r) (*targets)[r] = static_cast<int>(r * 37 % columns);
    const matrix<const T> in(data->logits.data(), rows, columns);
    const matrix<T> out(data->output.data(), rows, columns);
    const call softmax = [data, in, out] {
        xsoftmax::softmax(in, out);
    };
    const std::string name = "cross-entropy 256x1024 " + std::string(type_name<T>);
    if (gradient)
        return {name + " and gradient", "softmax", rows * columns,
                [data, targets, in, out] { xsoftmax::softmax_cross_entropy(in, *targets, out); }, softmax};
    return {name, "softmax", rows * columns,
            [data, targets, in] { benchmark::DoNotOptimize(xsoftmax::softmax_cross_entropy(in, *targets)); }, softmax};
}

/// Reads both operands and writes the result, once.
template <class T>
[[gnu::noinline]] void plain_backward(const T* p, const T* g, T* to, std::size_t count, T mean)
{
    for (std::size_t i = 0; i < count; ++i) to[i] = p[i] * (g[i] - mean);
}

template <class T>
comparison backward(std::size_t rows, bool log)
{
    const std::size_t columns = 1024, count = rows * columns;
    const auto data = std::make_shared<operands<T>>(count);
    const matrix<const T> in(data->logits.data(), rows, columns), g(data->upstream.data(), rows, columns),
        forward(data->forward.data(), rows, columns);
    const matrix<T> out(data->output.data(), rows, columns), to(data->forward.data(), rows, columns);
    if (log)
        xsoftmax::log_softmax(in, to);
    else
        xsoftmax::softmax(in, to);
    const std::string name =
        (log ? "log_softmax_backward " : "softmax_backward ") + shape(rows, columns) + ' ' + type_name<T>;
    if (log)
        return {name, "plain loop over xsimd::exp", count,
                [data, forward, g, out] { xsoftmax::log_softmax_backward(forward, g, out); },
                [data] {
                    benchmarks::naive_xsimd::log_softmax_backward<T>(data->forward, data->upstream, T(0.1),
                                                                     data->output);
                }};
    return {name, "plain streaming loop", count,
            [data, forward, g, out] { xsoftmax::softmax_backward(forward, g, out); },
            [data, count] {
                plain_backward<T>(data->forward.data(), data->upstream.data(), data->output.data(), count, T(0.1));
            }};
}

comparison causal()
{
    const auto data = std::make_shared<operands<float>>(8 * 256 * 256);
    const xsoftmax::tensor_view<const float, 3> in(data->logits.data(), {8, 256, 256});
    const xsoftmax::tensor_view<float, 3> out(data->output.data(), {8, 256, 256});
    return {"masked_softmax 8x256x256 float, causal", "softmax of all", data->logits.size(),
            [data, in, out] { xsoftmax::masked_softmax(in, out, {.causal = 0}); },
            [data, in, out] {
                xsoftmax::softmax(in, out);
            }};
}

/// The least CPU time of each benchmark's repetitions, in nanoseconds a call.
class least_times : public benchmark::BenchmarkReporter {
public:
    bool ReportContext(const Context&) override { return true; }

    void ReportRuns(const std::vector<Run>& runs) override
    {
        for (const Run& run : runs) {
            if (run.run_type != Run::RT_Iteration) continue;
            const double time = run.cpu_accumulated_time * 1e9 / static_cast<double>(run.iterations);
            const auto found = times_.try_emplace(run.run_name.function_name, time).first;
            found->second = std::min(found->second, time);
        }
    }

    double of(const std::string& name) const
    {
        const auto found = times_.find(name);
        return found == times_.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
    }

private:
    std::map<std::string, double> times_;
};

void add(const std::string& name, const call& measured)
{
    benchmark::RegisterBenchmark(name.c_str(),
                                 [measured](benchmark::State& state) {
                                     for (auto _ : state) {
                                         measured();
                                         benchmark::ClobberMemory();
                                     }
                                 })
        ->MinTime(0.02)
        ->Repetitions(9);
}

int run(int argc, char** argv)
{
    std::vector<comparison> all;
    for (const std::size_t columns : {3u, 10u, 16u, 17u}) all.push_back(bulk<float>(4096, columns, false));
    all.push_back(bulk<float>(1024, 32, false));
    all.push_back(bulk<float>(512, 64, false));
    all.push_back(bulk<float>(256, 128, false));
    all.push_back(bulk<float>(4096, 10, true));
    for (const std::size_t columns : {3u, 10u, 16u, 31u}) all.push_back(bulk<double>(4096, columns, false));
    for (const bool against_rows : {false, true}) all.push_back(inner_axis<float>(against_rows));
    all.push_back(inner_axis<double>(false));
    for (const bool gradient : {false, true}) {
        all.push_back(cross_entropy<float>(gradient));
        all.push_back(cross_entropy<double>(gradient));
    }
    for (const std::size_t rows : {256u, 4096u}) all.push_back(backward<float>(rows, false));
    all.push_back(backward<double>(256, false));
    all.push_back(backward<float>(256, true));
    all.push_back(causal());

    // The two calls of a comparison take turns in random order.
    static char interleaving[] = "--benchmark_enable_random_interleaving=true";
    std::vector<char*> arguments(argv, argv + argc);
    arguments.insert(arguments.begin() + 1, interleaving);
    int count = static_cast<int>(arguments.size());
    arguments.push_back(nullptr);
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
    std::printf("%-44s %-27s %9s %9s  %s\n", "", "compared with", "ns", "its ns", "time by its time");
    for (const comparison& c : all) {
        benchmark::ClearRegisteredBenchmarks();
        add("xsoftmax", c.ours);
        add("other", c.other);
        least_times times;
        benchmark::RunSpecifiedBenchmarks(&times, std::string("."));
        const double elements = static_cast<double>(c.count);
        const double ours = times.of("xsoftmax") / elements, other = times.of("other") / elements;
        std::printf("%-44s %-27s %9.3f %9.3f  %5.2f  (%.2f times as fast)\n", c.what.c_str(), c.with.c_str(), ours,
                    other, ours / other, other / ours);
        std::fflush(stdout);
    }
    std::puts("\nns: the least CPU time of 9 repetitions, for a row where rows are compared one at a time, else for an "
              "element");
    benchmark::Shutdown();
    return 0;
}

}  // namespace

// An exception here, such as std::bad_alloc, may end the program. NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) { return run(argc, argv); }
