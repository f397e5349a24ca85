#pragma once

/// What is measured: logits in memory whose alignment a run does not depend on.

#include <algorithm>
#include <cstddef>
#include <new>
#include <random>
#include <vector>

namespace benchmarks {

/// Rows begin on a cache line, so that a run does not depend on where the allocator put them.
template <class T>
struct cache_line_allocator {
    using value_type = T;
    static constexpr std::align_val_t alignment{64};

    T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
    void deallocate(T* p, std::size_t) { ::operator delete(p, alignment); }
    bool operator==(const cache_line_allocator&) const = default;
};

template <class T>
using aligned_vector = std::vector<T, cache_line_allocator<T>>;

template <class T>
aligned_vector<T> normal_logits(std::size_t n)
{
    std::mt19937_64 generator(n);
    std::normal_distribution<T> distribution(0, 4);
    aligned_vector<T> logits(n);
    std::generate(logits.begin(), logits.end(), [&] { return distribution(generator); });
    return logits;
}

}  // namespace benchmarks
