/// One row at a time: every function, type and length, against a naive loop over xsimd and the scalar reference.
///
///     xsoftmax_benchmarks [flags of Google Benchmark]              its list; see --help
///     xsoftmax_benchmarks --table [--benchmark_filter=REGEX]       a table with the speed-ups, in 2 to 4 minutes
///     xsoftmax_benchmarks --table --quick                          a small part of it, in 15 seconds

#include "data.hpp"
#include "naive_xsimd.hpp"
#include "table.hpp"

#include <benchmark/benchmark.h>
#include <xsoftmax/reference.hpp>
#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <numeric>
#include <random>
#include <regex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace benchmarks {
namespace {

const std::vector<std::int64_t> all_lengths = {8,    16,   32,    64,     128,     256,    512,
                                               1000, 4096, 32000, 128256, 1 << 20, 1 << 24};
const std::vector<std::int64_t> quick_lengths = {8, 64, 1000, 4096, 1 << 20};

// Each line of the table takes repetitions × contenders × about 1.4 × this, in seconds.
constexpr double table_min_time = 0.015;
constexpr int table_repetitions = 9;

// The row.

/// A row and everything the functions take with it.
template <class T>
struct row {
    std::span<const T> logits;
    std::span<const T> targets;  ///< probabilities
    std::span<T> output;
    std::size_t target;
};

template <class T>
aligned_vector<T> random_probabilities(std::size_t n)
{
    std::mt19937_64 generator(n + 1);
    std::uniform_real_distribution<T> distribution(0, 1);
    aligned_vector<T> probabilities(n);
    std::generate(probabilities.begin(), probabilities.end(), [&] { return distribution(generator); });
    const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
    for (T& p : probabilities) p = static_cast<T>(p / sum);
    return probabilities;
}

/// The row of this length; the one before it is freed. The contenders share its memory.
template <class T>
row<T> row_of_length(std::size_t n)
{
    static aligned_vector<T> logits, targets, output;
    if (logits.size() != n) {
        logits = normal_logits<T>(n);
        targets = random_probabilities<T>(n);
        output = aligned_vector<T>(n);
    }
    return {logits, targets, output, n / 2};
}

// The benchmarks.

template <class T, class Call>
void measure(benchmark::State& state, std::size_t bytes_per_element, Call call)
{
    const std::int64_t length = state.range(0);
    const row<T> r = row_of_length<T>(static_cast<std::size_t>(length));
    for (auto _ : state) {
        call(r);
        benchmark::ClobberMemory();
    }
    const std::int64_t elements = static_cast<std::int64_t>(state.iterations()) * length;
    state.SetItemsProcessed(elements);
    state.SetBytesProcessed(elements * static_cast<std::int64_t>(bytes_per_element));
    // Google Benchmark prints it with its unit: 0.3ns.
    state.counters["per_element"] = benchmark::Counter(
        static_cast<double>(length), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

/// Registers benchmarks, and keeps what the table has to know of them.
class registry {
public:
    explicit registry(bool for_table) : for_table_(for_table) {}

    /// A function with its three contenders, in the order of `contenders`. `spans`: how many spans of the row's length
    /// the caller passes.
    template <class T, class... Calls>
    void add(const char* function, std::size_t spans, Calls... calls)
    {
        static_assert(sizeof...(Calls) == contenders.size());
        const series s{function, std::is_same_v<T, float> ? "float" : "double", spans * sizeof(T)};
        for (const std::int64_t length : all_lengths) {
            const char* const* contender = contenders.data();
            (add_benchmark<T>(s, *contender++, length, calls), ...);
        }
        blocks_.push_back(s);
    }

    const std::vector<series>& blocks() const { return blocks_; }

private:
    template <class T, class Call>
    void add_benchmark(const series& s, const char* contender, std::int64_t length, Call call)
    {
        const std::string name = s.function + '/' + s.type + '/' + contender;
        const auto run_with = [bytes = s.bytes_per_element, call](benchmark::State& state) {
            measure<T>(state, bytes, call);
        };
        auto* registered = benchmark::RegisterBenchmark(name.c_str(), run_with)->Arg(length);
        if (for_table_) registered->MinTime(table_min_time)->Repetitions(table_repetitions);
    }

    bool for_table_;
    std::vector<series> blocks_;
};

template <class T>
void keep(T value)
{
    benchmark::DoNotOptimize(value);
}

template <class T>
void add_softmax(registry& to)
{
    to.add<T>(
        "softmax", 2,  //
        [](const row<T>& r) { xsoftmax::softmax(r.logits, r.output); },
        [](const row<T>& r) { naive_xsimd::softmax(r.logits, r.output); },
        [](const row<T>& r) { xsoftmax::reference::softmax(r.logits, r.output); });
}

template <class T>
void add_log_softmax(registry& to)
{
    to.add<T>(
        "log_softmax", 2,  //
        [](const row<T>& r) { xsoftmax::log_softmax(r.logits, r.output); },
        [](const row<T>& r) { naive_xsimd::log_softmax(r.logits, r.output); },
        [](const row<T>& r) { xsoftmax::reference::log_softmax(r.logits, r.output); });
}

template <class T>
void add_log_sum_exp(registry& to)
{
    to.add<T>(
        "log_sum_exp", 1,  //
        [](const row<T>& r) { keep(xsoftmax::log_sum_exp(r.logits)); },
        [](const row<T>& r) { keep(naive_xsimd::log_sum_exp(r.logits)); },
        [](const row<T>& r) { keep(xsoftmax::reference::log_sum_exp(r.logits)); });
}

template <class T>
void add_cross_entropy(registry& to)
{
    to.add<T>(
        "cross_entropy", 1,  //
        [](const row<T>& r) { keep(xsoftmax::softmax_cross_entropy(r.logits, r.target)); },
        [](const row<T>& r) { keep(naive_xsimd::softmax_cross_entropy(r.logits, r.target)); },
        [](const row<T>& r) { keep(xsoftmax::reference::softmax_cross_entropy(r.logits, r.target)); });
}

template <class T>
void add_cross_entropy_gradient(registry& to)
{
    to.add<T>(
        "cross_entropy_gradient", 2,
        [](const row<T>& r) { keep(xsoftmax::softmax_cross_entropy(r.logits, r.target, r.output)); },
        [](const row<T>& r) { keep(naive_xsimd::softmax_cross_entropy(r.logits, r.target, r.output)); },
        [](const row<T>& r) { keep(xsoftmax::reference::softmax_cross_entropy(r.logits, r.target, r.output)); });
}

template <class T>
void add_cross_entropy_targets_gradient(registry& to)
{
    to.add<T>(
        "cross_entropy_targets_gradient", 3,
        [](const row<T>& r) { keep(xsoftmax::softmax_cross_entropy(r.logits, r.targets, r.output)); },
        [](const row<T>& r) { keep(naive_xsimd::softmax_cross_entropy(r.logits, r.targets, r.output)); },
        [](const row<T>& r) { keep(xsoftmax::reference::softmax_cross_entropy(r.logits, r.targets, r.output)); });
}

template <class... Types>
void add_all(registry& to)
{
    (add_softmax<Types>(to), ...);
    (add_log_softmax<Types>(to), ...);
    (add_log_sum_exp<Types>(to), ...);
    (add_cross_entropy<Types>(to), ...);
    (add_cross_entropy_gradient<Types>(to), ...);
    (add_cross_entropy_targets_gradient<Types>(to), ...);
}

// The program.

struct command_line {
    bool table = false;
    bool quick = false;
    std::vector<char*> for_google_benchmark;
};

command_line parse(int argc, char** argv)
{
    // The contenders of a line take turns in random order.
    static char interleaving[] = "--benchmark_enable_random_interleaving=true";

    command_line result;
    for (int i = 0; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--table")
            result.table = true;
        else if (argument == "--quick")
            result.quick = true;
        else
            result.for_google_benchmark.push_back(argv[i]);
    }
    if (result.table) result.for_google_benchmark.insert(result.for_google_benchmark.begin() + 1, interleaving);
    return result;
}

/// The table runs the benchmarks line by line, and Google Benchmark would begin its file anew with every line.
bool is_contradictory(const command_line& options)
{
    const auto& arguments = options.for_google_benchmark;
    const bool writes_file = std::any_of(arguments.begin(), arguments.end(), [](std::string_view argument) {
        return argument.starts_with("--benchmark_out") || argument.starts_with("--benchmark_format");
    });
    return options.table ? writes_file : options.quick;
}

void print_help()
{
    std::puts("xsoftmax_benchmarks [--table [--quick]] [flags of Google Benchmark]\n"
              "          [--table]           a table with the speed-ups; goes with --benchmark_filter=<regex>\n"
              "          [--quick]           with --table: a few lengths, softmax and log_softmax of float");
    benchmark::PrintDefaultHelp();
}

std::vector<series> quick_blocks(const std::vector<series>& blocks)
{
    std::vector<series> quick;
    std::copy_if(blocks.begin(), blocks.end(), std::back_inserter(quick), [](const series& s) {
        return s.type == "float" && (s.function == "softmax" || s.function == "log_softmax");
    });
    return quick;
}

int run_table(const std::vector<series>& blocks, bool quick)
{
    try {
        if (quick ? print_table(quick_blocks(blocks), quick_lengths) : print_table(blocks, all_lengths)) return 0;
        std::fputs("--benchmark_filter lets no line of the table through\n", stderr);
    }
    catch (const std::regex_error& error) {
        std::fprintf(stderr, "--benchmark_filter: %s\n", error.what());
    }
    return 1;
}

int run_list()
{
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}

int run(int argc, char** argv)
{
    command_line options = parse(argc, argv);
    if (is_contradictory(options)) {
        std::fputs("--quick goes with --table only, --benchmark_out and --benchmark_format without it only\n", stderr);
        return 1;
    }
    int count = static_cast<int>(options.for_google_benchmark.size());
    options.for_google_benchmark.push_back(nullptr);
    benchmark::Initialize(&count, options.for_google_benchmark.data(), print_help);
    if (benchmark::ReportUnrecognizedArguments(count, options.for_google_benchmark.data())) return 1;

    registry registered(options.table);
    add_all<float, double>(registered);
    const int status = options.table ? run_table(registered.blocks(), options.quick) : run_list();
    benchmark::Shutdown();
    return status;
}

}  // namespace
}  // namespace benchmarks

// An exception here, such as std::bad_alloc, may end the program. NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) { return benchmarks::run(argc, argv); }
