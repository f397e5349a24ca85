#include "table.hpp"

#include <benchmark/benchmark.h>
#include <xsimd/xsimd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <limits>
#include <regex>
#include <string>
#include <vector>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace benchmarks {
namespace {

/// A contender whose median exceeds its minimum by this factor was disturbed.
constexpr double disturbed_spread = 1.15;

/// How often a disturbed line is measured, at most.
constexpr int attempts = 3;

// What is measured.

struct line {
    const series* of;
    std::int64_t length;
};

std::string benchmark_name(const line& l, const char* contender)
{
    return l.of->function + '/' + l.of->type + '/' + contender + '/' + std::to_string(l.length);
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

    /// Does any contender's benchmark of this line pass?
    bool lets_through(const line& l) const
    {
        return std::any_of(contenders.begin(), contenders.end(), [&](const char* contender) {
            return std::regex_search(benchmark_name(l, contender), pattern_) != excludes_;
        });
    }

private:
    bool excludes_;
    std::regex pattern_;
};

std::vector<line> selected_lines(const std::vector<series>& blocks, const std::vector<std::int64_t>& lengths)
{
    const name_filter filter(benchmark::GetBenchmarkFilter());
    std::vector<line> lines;
    for (const series& block : blocks)
        for (const std::int64_t length : lengths)
            if (const line l{&block, length}; filter.lets_through(l)) lines.push_back(l);
    return lines;
}

// Measuring.

/// The times of one contender at one line, in nanoseconds per element.
class sample {
public:
    void add(double nanoseconds) { times_.push_back(nanoseconds); }

    /// NaN where nothing was measured.
    double minimum() const
    {
        if (times_.empty()) return std::numeric_limits<double>::quiet_NaN();
        return *std::min_element(times_.begin(), times_.end());
    }

    bool is_disturbed() const { return !times_.empty() && median() > disturbed_spread * minimum(); }

private:
    double median() const
    {
        std::vector<double> sorted = times_;
        const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
        std::nth_element(sorted.begin(), middle, sorted.end());
        return *middle;
    }

    std::vector<double> times_;
};

using samples = std::array<sample, contenders.size()>;

/// Takes every repetition of the contenders' benchmarks at one line.
class sample_collector : public benchmark::BenchmarkReporter {
public:
    sample_collector(samples& into, std::int64_t length) : samples_(into), length_(static_cast<double>(length)) {}

    bool ReportContext(const Context&) override { return true; }

    void ReportRuns(const std::vector<Run>& runs) override
    {
        for (const Run& run : runs)
            if (run.run_type == Run::RT_Iteration) add(run);
    }

private:
    void add(const Run& run)
    {
        const double elements = static_cast<double>(run.iterations) * length_;
        for (std::size_t c = 0; c < contenders.size(); ++c)
            if (run.run_name.function_name.ends_with(std::string("/") + contenders[c]))
                samples_[c].add(run.cpu_accumulated_time * 1e9 / elements);
    }

    samples& samples_;
    double length_;
};

samples measure(const line& l)
{
    const std::string names = '^' + benchmark_name(l, "[^/]+") + "(/|$)";
    samples result;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        sample_collector collector(result, l.length);
        benchmark::RunSpecifiedBenchmarks(&collector, names);
        if (std::none_of(result.begin(), result.end(), [](const sample& s) { return s.is_disturbed(); })) break;
    }
    return result;
}

// What is printed above the table.

std::string cpu_name()
{
    std::ifstream file("/proc/cpuinfo");
    for (std::string text; std::getline(file, text);)
        if (text.starts_with("model name"))
            if (const std::size_t colon = text.find(": "); colon != std::string::npos) return text.substr(colon + 2);
    return "unknown";
}

std::string compiler_name()
{
#if defined(__clang__)
    return "clang++ " + std::to_string(__clang_major__) + '.' + std::to_string(__clang_minor__) + '.' +
           std::to_string(__clang_patchlevel__);
#elif defined(__GNUC__)
    return "g++ " __VERSION__;
#elif defined(_MSC_VER)
    return "MSVC " + std::to_string(_MSC_FULL_VER);
#else
    return "unknown";
#endif
}

void print_header()
{
    std::printf("CPU           %s\n", cpu_name().c_str());
    std::printf("compiler      %s\n", compiler_name().c_str());
    std::printf("architecture  %s\n", xsimd::default_arch::name());
    std::printf("xsimd         %d.%d.%d\n", XSIMD_VERSION_MAJOR, XSIMD_VERSION_MINOR, XSIMD_VERSION_PATCH);
}

// The table.

void print_block_header(const series& block)
{
    std::printf("\n%s, %s\n", block.function.c_str(), block.type.c_str());
    std::printf("%10s | %35s | %8s | %23s\n", "", "ns/element              ", "GB/s", "speed-up over     ");
    std::printf("%10s | %10s  %11s  %10s | %8s | %11s  %10s\n", "length", "xsoftmax ", "naive xsimd ", "reference ",
                "xsoftmax", "naive xsimd", "reference");
}

char mark(const sample& s) { return s.is_disturbed() ? '~' : ' '; }

void print_line(const line& l, const samples& measured)
{
    const auto& [xsoftmax, naive_xsimd, reference] = measured;
    const double nanoseconds = xsoftmax.minimum();
    std::printf("%10lld | %9.3f%c  %10.3f%c  %9.3f%c | %8.2f | %11.2f  %10.2f\n", static_cast<long long>(l.length),
                nanoseconds, mark(xsoftmax), naive_xsimd.minimum(), mark(naive_xsimd), reference.minimum(),
                mark(reference), static_cast<double>(l.of->bytes_per_element) / nanoseconds,
                naive_xsimd.minimum() / nanoseconds, reference.minimum() / nanoseconds);
    std::fflush(stdout);
}

void print_footer()
{
    std::puts("\n"
              "length       elements of the row; one row, again and again, so it stays in the caches it fits into\n"
              "ns/element   least CPU time of the repetitions; the three take turns in random order\n"
              "naive xsimd  three plain loops over xsimd::exp, less accurate; see naive_xsimd.hpp\n"
              "reference    scalar; xsoftmax/reference.hpp\n"
              "GB/s         bytes read and written in the caller's spans, each counted once, per second\n"
              "speed-up     time of the other divided by time of xsoftmax: above 1, xsoftmax is faster\n"
              "~            disturbed: the median of the repetitions is over 15 % above the least");
}

/// One line on stderr that says what is being measured; nothing where stderr is not a terminal.
class progress {
public:
    explicit progress(std::size_t lines) : lines_(lines) {}

    void show(const line& l)
    {
        ++current_;
        if (!visible_) return;
        std::fprintf(stderr, "\r\033[K[%zu/%zu] %s/%s/%lld ", current_, lines_, l.of->function.c_str(),
                     l.of->type.c_str(), static_cast<long long>(l.length));
        std::fflush(stderr);
    }

    void clear() const
    {
        if (visible_) std::fputs("\r\033[K", stderr);
    }

private:
    static bool stderr_is_terminal()
    {
#if __has_include(<unistd.h>)
        return isatty(STDERR_FILENO) != 0;
#else
        return false;
#endif
    }

    std::size_t lines_;
    std::size_t current_ = 0;
    bool visible_ = stderr_is_terminal();
};

}  // namespace

bool print_table(const std::vector<series>& blocks, const std::vector<std::int64_t>& lengths)
{
    const std::vector<line> lines = selected_lines(blocks, lengths);
    if (lines.empty()) return false;
    progress shown(lines.size());
    const series* block = nullptr;
    print_header();
    for (const line& l : lines) {
        shown.show(l);
        const samples measured = measure(l);
        shown.clear();
        if (l.of != block) print_block_header(*l.of);
        block = l.of;
        print_line(l, measured);
    }
    print_footer();
    return true;
}

}  // namespace benchmarks
