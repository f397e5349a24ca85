#pragma once

/// What the backward passes are held against: the definitions in long double.

#include "oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

/// What a row's gradient should be, and what its error is measured against (see backward.hpp).
template <class T>
struct exact_gradient {
    std::vector<long double> value, scale;
};

/// p·(g − Σ p·g)/T, of the probabilities as they are; relative to the g of the largest one, beside which others vanish.
template <class T>
exact_gradient<T> softmax_gradient(const std::vector<T>& p, const std::vector<T>& g, double temperature)
{
    const std::size_t n = p.size(),
                      largest = static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
    const long double c = g[largest];
    long double mean = 0, size = 0, others = 0;
    for (std::size_t i = 0; i < n; ++i) {
        mean += p[i] * (g[i] - c);
        size += std::abs(static_cast<long double>(p[i]) * g[i]);
        if (i != largest) others += p[i];
    }
    const long double missing = (1 - static_cast<long double>(p[largest])) - others;
    exact_gradient<T> result;
    for (std::size_t i = 0; i < n; ++i) {
        result.value.push_back(p[i] * ((g[i] - c) - mean + c * missing) / temperature);
        result.scale.push_back(p[i] * std::max(std::abs(static_cast<long double>(g[i])), size) / temperature);
    }
    return result;
}

/// (g − exp(y)·Σ g)/T, and at an element y > −log 2 (−Σ g elsewhere + (1 − exp(y))·Σ g)/T.
template <class T>
exact_gradient<T> log_softmax_gradient(const std::vector<T>& y, const std::vector<T>& g, double temperature)
{
    long double sum = 0, size = 0;
    for (const T x : g) {
        sum += x;
        size += std::abs(x);
    }
    exact_gradient<T> result;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const long double p = std::exp(static_cast<long double>(y[i]));
        if (p > 0.5L) {
            const long double lacking = -std::expm1(static_cast<long double>(y[i]));
            long double elsewhere = 0;  // a difference might leave no digits of it
            for (std::size_t j = 0; j < y.size(); ++j)
                if (j != i) elsewhere += g[j];
            result.value.push_back((lacking * sum - elsewhere) / temperature);
            result.scale.push_back((lacking * size + (size - std::abs(g[i]))) / temperature);
        }
        else {
            result.value.push_back((g[i] - p * sum) / temperature);
            result.scale.push_back(std::max(static_cast<long double>(std::abs(g[i])), p * size) / temperature);
        }
    }
    return result;
}

template <class T>
double worst_error(const exact_gradient<T>& exact, const std::vector<T>& got)
{
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
        worst = std::max(worst, oracle::ulp_error(exact.value[i], got[i], exact.scale[i]));
    return worst;
}
