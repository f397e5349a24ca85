#pragma once

/// This library as a contender, a yardstick, and what nobody can be faster than.

#include "../suite/contender.hpp"

#include <vector>

namespace benchmarks {

/// What a user of this build calls.
contender xsoftmax_itself();

/// The same, rows of a batch one at a time.
contender xsoftmax_row_by_row();

/// The kernels of every other instruction set that was built and that this machine runs.
std::vector<contender> xsoftmax_kernels();

/// "plain loop, degree 5", which stands for XNNPACK's kernel: with the flags of this build...
std::vector<contender> yardstick();

/// ...and for every instruction set that was built and that this machine runs, that one first.
std::vector<contender> yardsticks();

/// The least that a softmax has to do: exponentials, and a copy by either kind of store.
std::vector<contender> limits();

/// All registered peers, in the order of their labels.
std::vector<contender> peers();

}  // namespace benchmarks
