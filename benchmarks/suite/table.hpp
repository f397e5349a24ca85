#pragma once

/// Results as tables for people.

#include "measure.hpp"
#include "suite.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace benchmarks {

/// What was measured of a block: groups[i] are the calls at shapes[i].
struct block_results {
    const block* of;
    std::vector<std::vector<measured_call>> groups;
};

void print_machine();
void print_block(const block_results& results);
void print_footer();

/// One line on stderr that says what is being measured; nothing where stderr is not a terminal.
class progress {
public:
    explicit progress(std::size_t steps);

    void show(const std::string& what);
    void clear() const;

private:
    std::size_t steps_;
    std::size_t current_ = 0;
    bool visible_;
};

}  // namespace benchmarks
