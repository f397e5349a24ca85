#include "table.hpp"

#include "machine.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace benchmarks {
namespace {

constexpr int label_width = 32;
constexpr int cell_width = 10;

const measured_call* find(const std::vector<measured_call>& group, const contender* who)
{
    const auto found = std::find_if(group.begin(), group.end(), [&](const measured_call& m) { return m.who == who; });
    return found == group.end() || found->times.empty() ? nullptr : &*found;
}

/// Contenders that have anything in these results, in the order of the groups.
std::vector<const contender*> contenders_of(const block_results& results)
{
    std::vector<const contender*> all;
    for (const auto& group : results.groups)
        for (const measured_call& m : group)
            if (std::find(all.begin(), all.end(), m.who) == all.end()) all.push_back(m.who);
    return all;
}

void print_label(const std::string& label) { std::printf("%-*s", label_width, label.c_str()); }

/// A number as wide as a cell, with as many digits as fit.
void print_cell(double x, char mark = ' ')
{
    if (x != x)
        std::printf("%*s ", cell_width - 1, "-");
    else
        std::printf("%*.*f%c", cell_width - 1, x < 100 ? 3 : 1, x, mark);
}

void print_line(const block_results& results, const contender* who)
{
    print_label("  " + who->label);
    for (std::size_t i = 0; i < results.groups.size(); ++i) {
        const measured_call* const m = find(results.groups[i], who);
        const double elements = static_cast<double>(results.of->shapes[i].elements());
        if (m == nullptr)
            print_cell(std::numeric_limits<double>::quiet_NaN());
        else
            print_cell(m->times.least() / elements, m->times.is_disturbed() ? '~' : ' ');
    }
    std::puts("");
}

/// The time of one by that of another.
void print_ratios(const block_results& results, const contender* label, const contender* above, const contender* below)
{
    print_label("  " + label->label);
    for (const auto& group : results.groups) {
        const measured_call* const a = find(group, above);
        const measured_call* const b = find(group, below);
        print_cell(a != nullptr && b != nullptr ? a->times.least() / b->times.least()
                                                : std::numeric_limits<double>::quiet_NaN());
    }
    std::puts("");
}

bool stderr_is_terminal()
{
#if __has_include(<unistd.h>)
    return isatty(STDERR_FILENO) != 0;
#else
    return false;
#endif
}

}  // namespace

void print_machine()
{
    const auto line = [](const char* name, const std::string& value) {
        std::printf("%-16s %s\n", name, value.c_str());
    };
    for (const auto& [name, value] : describe_machine()) line(name.c_str(), value);
    if (!commit().empty()) line("commit", commit());
}

void print_block(const block_results& results)
{
    const std::vector<const contender*> contenders = contenders_of(results);
    if (contenders.empty()) return;
    std::printf("\n%s, %s%s\n", name_of(results.of->operation), results.of->of_double ? "double" : "float",
                results.of->title.c_str());
    print_label("ns/element");
    for (const shape& s : results.of->shapes) std::printf("%*s ", cell_width - 1, name_of(s).c_str());
    std::puts("");
    for (const contender* who : contenders) print_line(results, who);

    const contender* const ours = contenders.front();
    if (ours->kind != kind::xsoftmax || contenders.size() == 1) return;
    std::printf("%s is so many times as fast as\n", ours->label.c_str());
    for (const contender* who : contenders)
        if (who != ours && who->kind != kind::limit) print_ratios(results, who, who, ours);
    if (contenders.back()->kind == kind::limit) std::puts("and takes so many times as long as");
    for (const contender* who : contenders)
        if (who->kind == kind::limit) print_ratios(results, who, ours, who);
    std::fflush(stdout);
}

void print_footer()
{
    std::puts("\n"
              "ns/element   least CPU time of the repetitions; the calls of a column take turns in random order\n"
              "1000, 64x16  elements of a row, which is computed again and again; rows x columns in one call\n"
              "~            disturbed: the median of the repetitions is over 15 % above the least");
}

progress::progress(std::size_t steps) : steps_(steps), visible_(stderr_is_terminal()) {}

void progress::show(const std::string& what)
{
    ++current_;
    if (!visible_) return;
    std::fprintf(stderr, "\r\033[K[%zu/%zu] %s ", current_, steps_, what.c_str());
    std::fflush(stderr);
}

void progress::clear() const
{
    if (visible_) std::fputs("\r\033[K", stderr);
}

}  // namespace benchmarks
