#pragma once

/// Times of calls that take turns.

#include "contender.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace benchmarks {

/// The repetitions' times of one call, in nanoseconds. The least of them is what it takes; the others tell how far the
/// machine was disturbed.
class sample {
public:
    void add(double nanoseconds) { times_.push_back(nanoseconds); }

    bool empty() const { return times_.empty(); }
    const std::vector<double>& times() const { return times_; }
    double least() const;   ///< NaN where nothing was measured
    double median() const;  ///< likewise

    /// Is the median so far above the least that neither is to be trusted?
    bool is_disturbed() const { return !empty() && median() > disturbed_spread * least(); }
    static constexpr double disturbed_spread = 1.15;

private:
    std::vector<double> times_;
};

/// One call of a group, which are compared with each other.
struct measured_call {
    const contender* who;
    call what;
    sample times;
};

struct effort {
    double seconds;   ///< of one repetition, at least
    int repetitions;  ///< of each call; fewer of one that takes many times as long
    int attempts;     ///< how often a group is measured, at most, while any of it is disturbed
};

/// Measures calls in random order, interleaved, by Google Benchmark, which must have been initialised so.
void measure(std::vector<measured_call>& group, const effort& how_much);

/// The flag that makes Google Benchmark interleave; for the front of its command line.
inline constexpr const char* interleaving_flag = "--benchmark_enable_random_interleaving=true";

}  // namespace benchmarks
