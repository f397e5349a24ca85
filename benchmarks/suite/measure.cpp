#include "measure.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace benchmarks {
namespace {

/// Takes every repetition; a call's benchmark is named by its place in the group.
class collector : public benchmark::BenchmarkReporter {
public:
    explicit collector(std::vector<measured_call>& into) : group_(into) {}

    bool ReportContext(const Context&) override { return true; }

    void ReportRuns(const std::vector<Run>& runs) override
    {
        for (const Run& run : runs)
            if (run.run_type == Run::RT_Iteration)
                group_[std::stoul(run.run_name.function_name)].times.add(run.cpu_accumulated_time * 1e9 /
                                                                         static_cast<double>(run.iterations));
    }

private:
    std::vector<measured_call>& group_;
};

/// Half as many, rounded up, of a call that takes longer than several repetitions of others: most of a run would be those.
int repetitions_of(const call& what, const effort& how_much)
{
    const auto begin = std::chrono::steady_clock::now();
    what();
    const std::chrono::duration<double> once = std::chrono::steady_clock::now() - begin;
    return once.count() > 5 * how_much.seconds ? (how_much.repetitions + 1) / 2 : how_much.repetitions;
}

void add_benchmark(const std::string& name, const call& what, const effort& how_much)
{
    const auto run = [what](benchmark::State& state) {
        for (auto _ : state) {
            what();
            benchmark::ClobberMemory();
        }
    };
    // The whole process' time: nobody gains by threads of his own.
    benchmark::RegisterBenchmark(name.c_str(), run)
        ->MeasureProcessCPUTime()
        ->MinTime(how_much.seconds)
        ->Repetitions(repetitions_of(what, how_much));
}

}  // namespace

double sample::least() const
{
    if (empty()) return std::numeric_limits<double>::quiet_NaN();
    return *std::min_element(times_.begin(), times_.end());
}

double sample::median() const
{
    if (empty()) return std::numeric_limits<double>::quiet_NaN();
    std::vector<double> sorted = times_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    return *middle;
}

void measure(std::vector<measured_call>& group, const effort& how_much)
{
    if (group.empty()) return;
    benchmark::ClearRegisteredBenchmarks();
    for (std::size_t i = 0; i < group.size(); ++i) add_benchmark(std::to_string(i), group[i].what, how_much);
    const auto disturbed = [](const measured_call& m) {
        return m.times.is_disturbed();
    };
    for (int attempt = 0; attempt < how_much.attempts; ++attempt) {
        collector reporter(group);
        benchmark::RunSpecifiedBenchmarks(&reporter, std::string("."));
        if (std::none_of(group.begin(), group.end(), disturbed)) break;
    }
}

}  // namespace benchmarks
