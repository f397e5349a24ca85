/// Which library? This one beside every other that was found when this was built, one thread, same buffers, and the
/// limits. Usage: suite/suite.hpp.

#include "contenders/xsoftmax.hpp"
#include "suite/suite.hpp"

#include <utility>
#include <vector>

namespace benchmarks {
namespace {

const std::vector<std::size_t> all_lengths = {8, 16, 64, 128, 256, 512, 1000, 4096, 32000, 1 << 20, 1 << 24};
const std::vector<std::size_t> fewer_lengths = {8, 64, 128, 1000, 4096, 32000, 1 << 20};
const std::vector<std::size_t> quick_lengths = {8, 64, 1000, 4096, 32000, 1 << 20};

const std::vector<shape> batches = {{4096, 3},   {4096, 10}, {4096, 16},  {4096, 64},   {1024, 128},
                                    {256, 1000}, {64, 4096}, {16, 32000}, {32768, 1000}};
const std::vector<shape> fewer_batches = {{4096, 10}, {256, 128}, {256, 1000}, {64, 4096}, {4096, 1000}};
const std::vector<shape> batches_of_double = {{4096, 10}, {256, 128}, {256, 1000}, {64, 4096}};

suite libraries()
{
    suite all{"libraries", {xsoftmax_itself()}, {}, {}};
    for (auto* more : {&yardstick, &peers, &limits})
        for (contender& c : more()) all.contenders.push_back(std::move(c));
    all.full = {
        {operation::softmax, false, rows_of(all_lengths)},       {operation::softmax, false, batches, ", batches"},
        {operation::log_softmax, false, rows_of(fewer_lengths)}, {operation::cross_entropy, false, {{1, 1000}}},
        {operation::cross_entropy_gradient, false, {{1, 1000}}}, {operation::softmax, true, rows_of(fewer_lengths)},
    };
    for (const operation o :
         {operation::log_softmax, operation::log_sum_exp, operation::cross_entropy, operation::cross_entropy_gradient,
          operation::softmax_backward, operation::log_softmax_backward})
        all.full.push_back({o, false, fewer_batches, ", batches"});
    for (const operation o : {operation::softmax, operation::log_softmax})
        all.full.push_back({o, true, batches_of_double, ", batches"});
    all.quick = {{operation::softmax, false, rows_of(quick_lengths)},
                 {operation::softmax, false, {{4096, 16}, {256, 1000}, {64, 4096}, {32768, 1000}}, ", batches"}};
    return all;
}

}  // namespace
}  // namespace benchmarks

// An exception here, such as std::bad_alloc, may end the program. NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) { return benchmarks::run_suite(argc, argv, benchmarks::libraries()); }
