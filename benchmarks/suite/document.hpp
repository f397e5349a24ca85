#pragma once

/// What a program of benchmarks writes into its file, the only source of the report: when, where, by what, who, results.

#include "contender.hpp"

#include <string>
#include <vector>

namespace benchmarks {

/// Results as JSON objects, under a name.
struct results_section {
    std::string name;
    std::vector<std::string> objects;
};

/// Returns false if the file cannot be written.
bool write_document(const std::string& path, const std::string& question, bool quick,
                    const std::vector<contender>& contenders, const std::vector<results_section>& sections);

}  // namespace benchmarks
