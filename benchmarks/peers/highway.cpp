/// Highway, which has no softmax among its public functions: three plain loops over its vectorised exponential.

#include "../suite/contender.hpp"
#include "rows.hpp"

// As compiled, and nothing chosen at run time, which version 1.0 would refuse for AVX-512 of today's processors.
#define HWY_COMPILE_ONLY_STATIC
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <limits>

namespace benchmarks {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using lanes = hn::ScalableTag<T>;

/// Calls whole(i) for each whole vector and rest(i) for each element behind them.
template <class T, class Whole, class Rest>
void for_vectors(std::size_t n, Whole whole, Rest rest)
{
    const std::size_t width = hn::Lanes(lanes<T>());
    std::size_t i = 0;
    for (; i + width <= n; i += width) whole(i);
    for (; i < n; ++i) rest(i);
}

template <class T>
T maximum(const row_operands<T>& r)
{
    const lanes<T> d;
    auto largest = hn::Set(d, -std::numeric_limits<T>::infinity());
    T rest = -std::numeric_limits<T>::infinity();
    for_vectors<T>(
        r.first.size(), [&](std::size_t i) { largest = hn::Max(largest, hn::LoadU(d, &r.first[i])); },
        [&](std::size_t i) { rest = std::max(rest, r.first[i]); });
    return std::max(rest, hn::GetLane(hn::MaxOfLanes(d, largest)));
}

/// Σ exp(x − top); the exponentials are stored where that is asked for.
template <bool Store, class T>
T sum_of_exponentials(const row_operands<T>& r, T top)
{
    const lanes<T> d;
    auto sums = hn::Zero(d);
    T rest = 0;
    for_vectors<T>(
        r.first.size(),
        [&](std::size_t i) {
            const auto e = hn::Exp(d, hn::Sub(hn::LoadU(d, &r.first[i]), hn::Set(d, top)));
            if constexpr (Store) hn::StoreU(e, d, &r.output[i]);
            sums = hn::Add(sums, e);
        },
        [&](std::size_t i) {
            const T e = std::exp(r.first[i] - top);
            if constexpr (Store) r.output[i] = e;
            rest += e;
        });
    return rest + hn::GetLane(hn::SumOfLanes(d, sums));
}

template <class T>
void softmax(const row_operands<T>& r)
{
    const lanes<T> d;
    const T factor = 1 / sum_of_exponentials<true>(r, maximum(r));
    for_vectors<T>(
        r.output.size(),
        [&](std::size_t i) { hn::StoreU(hn::Mul(hn::LoadU(d, &r.output[i]), hn::Set(d, factor)), d, &r.output[i]); },
        [&](std::size_t i) { r.output[i] *= factor; });
}

template <class T>
void log_softmax(const row_operands<T>& r)
{
    const lanes<T> d;
    const T top = maximum(r);
    const T normalizer = top + std::log(sum_of_exponentials<false>(r, top));
    for_vectors<T>(
        r.output.size(),
        [&](std::size_t i) { hn::StoreU(hn::Sub(hn::LoadU(d, &r.first[i]), hn::Set(d, normalizer)), d, &r.output[i]); },
        [&](std::size_t i) { r.output[i] = r.first[i] - normalizer; });
}

template <class T>
call prepare(const problem<T>& p)
{
    switch (p.operation) {
        case operation::softmax: return for_rows(p, [](const row_operands<T>& r) { softmax(r); });
        case operation::log_softmax: return for_rows(p, [](const row_operands<T>& r) { log_softmax(r); });
        case operation::log_sum_exp:
            return for_rows(p, [](const row_operands<T>& r) {
                const T top = maximum(r);
                r.value = top + std::log(sum_of_exponentials<false>(r, top));
            });
        default: return {};
    }
}

contender make()
{
    contender c{"Highway", kind::peer, XSOFTMAX_BENCHMARK_PEER_VERSION, "three plain loops over hwy's Exp"};
    c.prepare_float = prepare<float>;
    c.prepare_double = prepare<double>;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
