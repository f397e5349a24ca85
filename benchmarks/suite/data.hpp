#pragma once

/// Numbers to measure with, in memory whose alignment a run does not depend on.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <new>
#include <random>
#include <vector>

namespace benchmarks {

/// Arrays begin on a cache line, so that a run does not depend on where the allocator put them.
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

/// Up to 2^20 draws, again and again: a row of 16 million is made in no time, and no sweep can tell.
template <class T, class Distribution>
aligned_vector<T> random_numbers(std::size_t n, std::size_t seed, Distribution distribution)
{
    constexpr std::size_t most_draws = std::size_t{1} << 20;
    std::mt19937_64 generator(seed);
    aligned_vector<T> numbers(n);
    for (std::size_t i = 0; i < n; ++i)
        numbers[i] = i < most_draws ? static_cast<T>(distribution(generator)) : numbers[i - most_draws];
    return numbers;
}

template <class T>
aligned_vector<T> normal_logits(std::size_t n)
{
    return random_numbers<T>(n, n, std::normal_distribution<double>(0, 4));
}

/// Rows that sum to about 1.
template <class T>
aligned_vector<T> random_probabilities(std::size_t n, std::size_t columns)
{
    return random_numbers<T>(n, n + 1, std::uniform_real_distribution<double>(0, 2 / static_cast<double>(columns)));
}

/// Of classes.
template <class T>
aligned_vector<T> random_weights(std::size_t n)
{
    return random_numbers<T>(n, n + 2, std::uniform_real_distribution<double>(0.5, 1.5));
}

/// What a forward pass gives, for a backward pass to begin with; nothing that is measured.
template <class T>
void replace_by_forward_pass(aligned_vector<T>& logits, std::size_t columns, bool logarithms)
{
    for (std::size_t begin = 0; begin < logits.size(); begin += columns) {
        T* const row = &logits[begin];
        double sum = 0;
        for (std::size_t i = 0; i < columns; ++i) sum += std::exp(static_cast<double>(row[i]));
        for (std::size_t i = 0; i < columns; ++i) {
            const double y = static_cast<double>(row[i]) - std::log(sum);
            row[i] = static_cast<T>(logarithms ? y : std::exp(y));
        }
    }
}

}  // namespace benchmarks
