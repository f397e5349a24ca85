#pragma once

/// Rows of logits to test with.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace logits {

/// Do tests leave nothing out? Where the environment has XSOFTMAX_TEST_THOROUGH, which is how CTest runs the slow ones. Others
/// are for every day and for emulated processors, and take some of the lengths, and some of many cases that are alike.
inline bool thorough()
{
    static const bool is_set = std::getenv("XSOFTMAX_TEST_THOROUGH") != nullptr;
    return is_set;
}

/// From a length to the next: to all, or to the first eight and every seventh beyond, among them 64 and, of whichever number of
/// lanes, a row with each possible number of elements left over.
inline std::size_t next_length(std::size_t n) { return thorough() || n < 8 ? n + 1 : n + 7; }

/// All of these lengths, in order.
inline std::vector<std::size_t> lengths_to(std::size_t last)
{
    std::vector<std::size_t> lengths;
    for (std::size_t n = 1; n <= last; n = next_length(n)) lengths.push_back(n);
    return lengths;
}

/// Is the i-th of many cases that are alike left out? Four of five are.
inline bool is_left_out(std::uint64_t i) { return !thorough() && i % 5 != 0; }

/// Fixed, unless the environment names another; tests print it when they fail.
inline std::uint64_t seed()
{
    static const char* const text = std::getenv("XSOFTMAX_TEST_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 0) : 20261123;
}

/// A generator of its own for each test and row, so that each can be repeated alone.
inline std::mt19937_64 generator(std::uint64_t salt = 0) { return std::mt19937_64(seed() + salt * 0x9e3779b97f4a7c15); }

template <class T>
std::vector<T> normal(std::size_t n, double spread, std::uint64_t salt = 0, double offset = 0)
{
    auto random = generator(salt);
    std::normal_distribution<double> distribution(0, spread);
    std::vector<T> row(n);
    for (T& x : row) x = static_cast<T>(distribution(random) + offset);
    return row;
}

template <class T>
std::vector<T> uniform(std::size_t n, double low, double high, std::uint64_t salt = 0)
{
    auto random = generator(salt);
    std::uniform_real_distribution<double> distribution(low, high);
    std::vector<T> row(n);
    for (T& x : row) x = static_cast<T>(distribution(random));
    return row;
}

/// Normal, and one element above all others by `lead`.
template <class T>
std::vector<T> one_hot(std::size_t n, double lead, std::uint64_t salt = 0)
{
    std::vector<T> row = normal<T>(n, 1, salt);
    row[salt % n] = static_cast<T>(4 + lead);
    return row;
}

template <class T>
std::vector<T> ramp(std::size_t n, double height)
{
    std::vector<T> row(n);
    for (std::size_t i = 0; i < n; ++i)
        row[i] = static_cast<T>(height * static_cast<double>(i) / static_cast<double>(n));
    return row;
}

template <class T>
struct distribution {
    std::string name;
    std::function<std::vector<T>(std::size_t n, std::uint64_t salt)> make;
};

/// What the accuracy tests go through. Logits are made for temperature 1 and scaled to others by their caller.
template <class T>
std::vector<distribution<T>> distributions()
{
    std::vector<distribution<T>> all;
    for (const double spread : {0.1, 1.0, 3.0, 10.0, 40.0})
        all.push_back({"normal, spread " + std::to_string(spread), [=](std::size_t n, std::uint64_t salt) {
                           return normal<T>(n, spread, salt);
                       }});
    all.push_back({"uniform in [-20, 0]", [](std::size_t n, std::uint64_t salt) {
                       return uniform<T>(n, -20, 0, salt);
                   }});
    for (const double lead : {25.0, 40.0, 85.0, 110.0})
        all.push_back({"one element leads by " + std::to_string(lead), [=](std::size_t n, std::uint64_t salt) {
                           return one_hot<T>(n, lead, salt);
                       }});
    all.push_back({"ramp to 30", [](std::size_t n, std::uint64_t) {
                       return ramp<T>(n, 30);
                   }});
    all.push_back({"ramp down to -5", [](std::size_t n, std::uint64_t) {
                       return ramp<T>(n, -5);
                   }});
    all.push_back({"all equal", [](std::size_t n, std::uint64_t) {
                       return std::vector<T>(n, T(0.7));
                   }});
    for (const double offset : {300.0, 1e4, -1e4, 1e30})
        all.push_back({"normal, spread 3, offset " + std::to_string(offset), [=](std::size_t n, std::uint64_t salt) {
                           return normal<T>(n, 3, salt, offset);
                       }});
    return all;
}

}  // namespace logits
