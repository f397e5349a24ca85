#pragma once

/// Where and by what a program was built and runs.

#include <string>
#include <utility>
#include <vector>

namespace benchmarks {

/// Names and values, for people: CPU, caches, compiler, flags, versions.
std::vector<std::pair<std::string, std::string>> describe_machine();

/// What was built, as `git describe` names it; empty if that is not known.
std::string commit();

/// 2026-11-24 09:00 UTC
std::string now();

}  // namespace benchmarks
