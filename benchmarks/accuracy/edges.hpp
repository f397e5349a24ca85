#pragma once

/// What becomes of special values.

#include "../suite/contender.hpp"

#include <string>
#include <vector>

namespace benchmarks {

/// Prints a table, and gives each verdict as a JSON object.
std::vector<std::string> judge_edges(const std::vector<contender>& contenders);

}  // namespace benchmarks
