#include "suite.hpp"

#include "document.hpp"
#include "json.hpp"
#include "measure.hpp"
#include "table.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace benchmarks {
namespace {

constexpr effort full_effort{0.006, 7, 2};
constexpr effort quick_effort{0.003, 7, 2};

// The command line.

struct command_line {
    bool table = false;
    bool quick = false;
    std::string json;
    std::vector<char*> for_google_benchmark;
};

/// In front, so that the user's own flags count: calls take turns in random order, and more than once.
std::vector<char*> default_flags(bool table)
{
    static std::string interleaving = interleaving_flag;
    static std::string for_list[] = {"--benchmark_repetitions=5", "--benchmark_min_time=0.05",
                                     "--benchmark_display_aggregates_only=true"};
    std::vector<char*> flags{interleaving.data()};
    if (!table)
        for (std::string& flag : for_list) flags.push_back(flag.data());
    return flags;
}

command_line parse(int argc, char** argv)
{
    command_line result;
    for (int i = 0; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--table")
            result.table = true;
        else if (argument == "--quick")
            result.quick = true;
        else if (argument.starts_with("--json="))
            result.json = argument.substr(7);
        else
            result.for_google_benchmark.push_back(argv[i]);
    }
    const std::vector<char*> defaults = default_flags(result.table);
    result.for_google_benchmark.insert(result.for_google_benchmark.begin() + 1, defaults.begin(), defaults.end());
    return result;
}

/// The table runs the benchmarks group by group, and Google Benchmark would begin its file anew with every group.
bool is_contradictory(const command_line& options)
{
    const auto& arguments = options.for_google_benchmark;
    const bool writes_file = std::any_of(arguments.begin(), arguments.end(), [](std::string_view argument) {
        return argument.starts_with("--benchmark_out") || argument.starts_with("--benchmark_format");
    });
    return options.table ? writes_file : options.quick || !options.json.empty();
}

void print_help()
{
    std::puts("[--table [--quick] [--json=FILE]] [flags of Google Benchmark]\n"
              "          [--table]           tables with speed-ups; goes with --benchmark_filter=<regex>\n"
              "          [--quick]           with --table: a part of it, in a minute\n"
              "          [--json=<file>]     with --table: also into a file, for report.py and compare.py");
    benchmark::PrintDefaultHelp();
}

// What is measured.

std::string benchmark_name(const block& b, const contender& who, const shape& s)
{
    return std::string(name_of(b.operation)) + '/' + (b.of_double ? "double" : "float") + '/' + who.label + '/' +
           name_of(s);
}

/// --benchmark_filter: a regular expression, or, with a minus sign before it, what is to be left out.
class name_filter {
public:
    explicit name_filter(std::string pattern)
    {
        if (pattern.empty() || pattern == "all") pattern = ".";
        excludes_ = pattern.front() == '-';
        pattern_.assign(excludes_ ? pattern.substr(1) : pattern, std::regex::extended);
    }

    bool lets_through(const std::string& name) const { return std::regex_search(name, pattern_) != excludes_; }

private:
    bool excludes_;
    std::regex pattern_;
};

// The table.

template <class T>
std::vector<measured_call> measure_group(const suite& all, const block& b, const shape& s, const name_filter& filter,
                                         const effort& how_much)
{
    operands<T> memory(b.operation, s);
    const problem<T> p = memory.view();
    std::vector<measured_call> group;
    for (const contender& who : all.contenders)
        if (filter.lets_through(benchmark_name(b, who, s)))
            if (const call what = who.prepare(p)) group.push_back({&who, what, {}});
    measure(group, how_much);
    return group;
}

std::vector<std::string> json_of(const block_results& results)
{
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < results.groups.size(); ++i) {
        const shape& s = results.of->shapes[i];
        for (const measured_call& m : results.groups[i]) {
            std::vector<std::string> times;
            for (const double t : m.times.times()) times.push_back(json::number(t));
            lines.push_back(json::object()
                                .add("operation", json::text(name_of(results.of->operation)))
                                .add("type", json::text(results.of->of_double ? "double" : "float"))
                                .add("rows", std::to_string(s.rows))
                                .add("columns", std::to_string(s.columns))
                                .add("inner", std::to_string(s.inner))
                                .add("contender", json::text(m.who->label))
                                .add("ns", json::number(m.times.least()))
                                .add("median", json::number(m.times.median()))
                                .add("disturbed", m.times.is_disturbed() ? "true" : "false")
                                .add("times", json::array(times, false))
                                .str());
        }
    }
    return lines;
}

int run_table(const suite& all, const command_line& options)
{
    const name_filter filter(benchmark::GetBenchmarkFilter());
    const std::vector<block>& blocks = options.quick ? all.quick : all.full;
    const effort& how_much = options.quick ? quick_effort : full_effort;
    std::size_t steps = 0;
    for (const block& b : blocks) steps += b.shapes.size();
    progress shown(steps);
    std::vector<std::string> lines;
    std::size_t calls = 0, disturbed = 0;
    const auto begin = std::chrono::steady_clock::now();
    print_machine();
    for (const block& b : blocks) {
        block_results results{&b, {}};
        for (const shape& s : b.shapes) {
            shown.show(std::string(name_of(b.operation)) + (b.of_double ? "/double/" : "/float/") + name_of(s));
            results.groups.push_back(b.of_double ? measure_group<double>(all, b, s, filter, how_much)
                                                 : measure_group<float>(all, b, s, filter, how_much));
            for (const measured_call& m : results.groups.back()) {
                ++calls;
                disturbed += m.times.is_disturbed() ? 1 : 0;
            }
        }
        shown.clear();
        print_block(results);
        const std::vector<std::string> more = json_of(results);
        lines.insert(lines.end(), more.begin(), more.end());
    }
    if (calls == 0) {
        std::fputs("--benchmark_filter lets nothing through\n", stderr);
        return 1;
    }
    print_footer();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    std::printf("\nmeasured in %.0f s\n", taken.count());
    if (disturbed > 0)
        std::fprintf(stderr, "warning: %zu of %zu figures are disturbed (~), and not to be quoted\n", disturbed, calls);
    const std::vector<results_section> sections{{"speed", lines}};
    if (!options.json.empty() && !write_document(options.json, all.question, options.quick, all.contenders, sections)) {
        std::fprintf(stderr, "%s: cannot be written\n", options.json.c_str());
        return 1;
    }
    return 0;
}

// The list.

template <class T>
void run_alone(benchmark::State& state, const contender& who, operation what, const shape& s)
{
    operands<T> memory(what, s);
    const call measured = who.prepare(memory.view());
    if (!measured) {
        state.SkipWithError("cannot be prepared again");
        return;
    }
    // The whole process' time, as in the table. Google Benchmark's own would be named, at the end where shapes are looked for.
    const std::clock_t begin = std::clock();
    for (auto _ : state) {
        measured();
        benchmark::ClobberMemory();
    }
    const double nanoseconds = 1e9 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    state.counters["ns_per_element"] =
        benchmark::Counter(nanoseconds / static_cast<double>(s.elements()), benchmark::Counter::kAvgIterations);
}

template <class T>
void list(const suite& all, const block& b, const name_filter& filter)
{
    for (const shape& s : b.shapes) {
        std::vector<const contender*> named;
        for (const contender& who : all.contenders)
            if (filter.lets_through(benchmark_name(b, who, s))) named.push_back(&who);
        if (named.empty()) continue;  // making the memory of all shapes takes seconds
        operands<T> memory(b.operation, s);
        for (const contender* who : named) {
            if (!who->prepare(memory.view())) continue;
            const auto run = [who, what = b.operation, s](benchmark::State& state) {
                run_alone<T>(state, *who, what, s);
            };
            benchmark::RegisterBenchmark(benchmark_name(b, *who, s).c_str(), run);
        }
    }
}

int run_list(const suite& all)
{
    const name_filter filter(benchmark::GetBenchmarkFilter());
    for (const block& b : all.full)
        if (b.of_double)
            list<double>(all, b, filter);
        else
            list<float>(all, b, filter);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}

}  // namespace

std::vector<shape> rows_of(const std::vector<std::size_t>& lengths)
{
    std::vector<shape> shapes;
    for (const std::size_t n : lengths) shapes.push_back({1, n});
    return shapes;
}

int run_suite(int argc, char** argv, const suite& all)
{
    command_line options = parse(argc, argv);
    if (is_contradictory(options)) {
        std::fputs("--quick and --json go with --table only, --benchmark_out and --benchmark_format without it only\n",
                   stderr);
        return 1;
    }
    int count = static_cast<int>(options.for_google_benchmark.size());
    options.for_google_benchmark.push_back(nullptr);
    benchmark::Initialize(&count, options.for_google_benchmark.data(), print_help);
    if (benchmark::ReportUnrecognizedArguments(count, options.for_google_benchmark.data())) return 1;
    int status = 1;
    try {
        status = options.table ? run_table(all, options) : run_list(all);
    }
    catch (const std::regex_error& error) {
        std::fprintf(stderr, "--benchmark_filter: %s\n", error.what());
    }
    benchmark::Shutdown();
    return status;
}

}  // namespace benchmarks
