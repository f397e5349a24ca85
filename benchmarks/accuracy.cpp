/// How accurate? Errors in units in the last place against a long double oracle, by length and by distribution of the
/// logits, and what becomes of special values: this library's kernels, and every library that was found.
///
///     xsoftmax_accuracy [--quick] [--json=FILE]
///
/// Results that are denormal count in the table of edges alone: there one sees who flushes them.

#include "accuracy/edges.hpp"
#include "accuracy/errors.hpp"
#include "contenders/xsoftmax.hpp"
#include "suite/document.hpp"
#include "suite/table.hpp"

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace benchmarks {
namespace {

struct command_line {
    bool quick = false;
    std::string json;
    bool understood = true;
};

command_line parse(int argc, char** argv)
{
    command_line result;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--quick")
            result.quick = true;
        else if (argument.starts_with("--json="))
            result.json = argument.substr(7);
        else
            result.understood = false;
    }
    return result;
}

int run(int argc, char** argv)
{
    const command_line options = parse(argc, argv);
    if (!options.understood) {
        std::fputs("usage: xsoftmax_accuracy [--quick] [--json=FILE]\n", stderr);
        return 2;
    }
    std::vector<contender> contenders{xsoftmax_itself()};
    for (auto* more : {&xsoftmax_kernels, &yardsticks, &peers})
        for (contender& c : more()) contenders.push_back(std::move(c));

    print_machine();
    const std::vector<results_section> sections{{"distributions", names_of_distributions()},
                                                {"accuracy", measure_errors(contenders, options.quick)},
                                                {"edges", judge_edges(contenders)}};
    if (!options.json.empty() && !write_document(options.json, "accuracy", options.quick, contenders, sections)) {
        std::fprintf(stderr, "%s: cannot be written\n", options.json.c_str());
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace benchmarks

// An exception here, such as std::bad_alloc, may end the program. NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) { return benchmarks::run(argc, argv); }
