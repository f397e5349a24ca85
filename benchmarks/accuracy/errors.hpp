#pragma once

/// Errors in units in the last place.

#include "../suite/contender.hpp"

#include <string>
#include <vector>

namespace benchmarks {

/// The distributions of the logits, as JSON strings.
std::vector<std::string> names_of_distributions();

/// Prints tables, and gives the errors as JSON objects: of each contender and length the largest and the mean error for
/// each distribution, null where it was not measured.
std::vector<std::string> measure_errors(const std::vector<contender>& contenders, bool quick);

}  // namespace benchmarks
