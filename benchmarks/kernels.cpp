/// Which kernel? Every function, element type, instruction set and shape of this library, beside the scalar reference, plain
/// loops over xsimd::exp and over a cheap exponential, and the limits. Usage: suite/suite.hpp.

#include "contenders/xsoftmax.hpp"
#include "suite/suite.hpp"

#include <utility>
#include <vector>

namespace benchmarks {
namespace {

const std::vector<std::size_t> all_lengths = {8,    16,   32,    64,     128,     256,    512,
                                              1000, 4096, 32000, 128256, 1 << 20, 1 << 24};
// The scalar reference takes a quarter of a second for a gradient of 2^24 elements.
const std::vector<std::size_t> lengths_up_to_a_million(all_lengths.begin(), all_lengths.end() - 1);
const std::vector<std::size_t> quick_lengths = {8, 64, 1000, 4096, 1 << 20};

const std::vector<shape> batches = {{4096, 3}, {4096, 10}, {4096, 16}, {4096, 17}, {1024, 32},
                                    {512, 64}, {256, 128}, {64, 1024}, {16, 4096}, {32768, 1000}};
const std::vector<shape> loss_batches = {{4096, 10}, {256, 1024}, {4096, 1000}};
const std::vector<shape> scores = {{256, 256}, {1024, 1024}};

std::vector<block> full_blocks()
{
    std::vector<block> all;
    for (const bool of_double : {false, true}) {
        all.push_back({operation::softmax, of_double, rows_of(all_lengths)});
        for (const operation o : {operation::log_softmax, operation::log_sum_exp, operation::cross_entropy,
                                  operation::cross_entropy_gradient, operation::cross_entropy_targets_gradient})
            all.push_back({o, of_double, rows_of(lengths_up_to_a_million)});
        all.push_back({operation::exp_map, of_double, rows_of({512, 4096, 32000, 1 << 20})});
        all.push_back({operation::softmax, of_double, batches, ", batches"});
        all.push_back({operation::log_softmax, of_double, batches, ", batches"});
        // Softmax too, as the least that a loss and its gradient can take.
        all.push_back({operation::softmax, of_double, {{256, 1024}, {4096, 1000}}, ", batches of a loss"});
        for (const operation o : {operation::log_sum_exp, operation::cross_entropy, operation::cross_entropy_gradient,
                                  operation::smoothed_gradient, operation::weighted_smoothed_gradient,
                                  operation::z_loss_gradient, operation::cross_entropy_losses,
                                  operation::cross_entropy_targets, operation::cross_entropy_targets_gradient})
            all.push_back({o, of_double, loss_batches, ", batches of a loss"});
        for (const operation o : {operation::softmax_backward, operation::log_softmax_backward})
            all.push_back({o, of_double, {{1, 64}, {1, 1000}, {1, 4096}, {256, 1024}, {4096, 1024}}});
        // The same numbers along either axis.
        for (const operation o : {operation::softmax, operation::log_softmax, operation::cross_entropy_gradient})
            all.push_back({o, of_double, {{64, 512, 64}, {4096, 512}}, ", axis 1 and axis 2"});
        for (const operation o :
             {operation::causal_softmax, operation::padded_softmax, operation::kept_softmax, operation::biased_softmax,
              operation::kept_log_softmax, operation::kept_cross_entropy_gradient})
            all.push_back({o, of_double, scores});
    }
    return all;
}

std::vector<block> quick_blocks()
{
    std::vector<block> all;
    for (const bool of_double : {false, true}) all.push_back({operation::softmax, of_double, rows_of(all_lengths)});
    for (const operation o : {operation::log_softmax, operation::log_sum_exp, operation::cross_entropy,
                              operation::cross_entropy_gradient, operation::cross_entropy_targets_gradient})
        all.push_back({o, false, rows_of(quick_lengths)});
    all.push_back({operation::softmax, false, batches, ", batches"});
    return all;
}

suite kernels()
{
    suite all{"kernels", {xsoftmax_itself(), xsoftmax_row_by_row()}, full_blocks(), quick_blocks()};
    for (auto* more : {&xsoftmax_kernels, &yardsticks, &peers, &limits})
        for (contender& c : more()) all.contenders.push_back(std::move(c));
    return all;
}

}  // namespace
}  // namespace benchmarks

// An exception here, such as std::bad_alloc, may end the program. NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) { return benchmarks::run_suite(argc, argv, benchmarks::kernels()); }
