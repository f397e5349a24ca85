/// Eigen: array expressions, a row at a time.

#include "../suite/contender.hpp"
#include "rows.hpp"

#include <Eigen/Core>

#include <span>

// g++ 12 takes the undefined operand of its own AVX-512 intrinsics for a mistake of their users (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace benchmarks {
namespace {

template <class T>
using row = Eigen::Array<T, Eigen::Dynamic, 1>;

template <class T>
Eigen::Map<const row<T>> map(std::span<const T> x)
{
    return {x.data(), static_cast<Eigen::Index>(x.size())};
}

template <class T>
Eigen::Map<row<T>> map(std::span<T> x)
{
    return {x.data(), static_cast<Eigen::Index>(x.size())};
}

template <class T>
call prepare(const problem<T>& p)
{
    switch (p.operation) {
        case operation::softmax:
            return for_rows(p, [](const row_operands<T>& r) {
                const auto x = map(r.first);
                auto y = map(r.output);
                y = (x - x.maxCoeff()).exp();
                y *= 1 / y.sum();
            });
        case operation::log_softmax:
            return for_rows(p, [](const row_operands<T>& r) {
                const auto x = map(r.first);
                const T top = x.maxCoeff();
                map(r.output) = x - (top + std::log((x - top).exp().sum()));
            });
        case operation::log_sum_exp:
            return for_rows(p, [](const row_operands<T>& r) {
                const auto x = map(r.first);
                const T top = x.maxCoeff();
                r.value = top + std::log((x - top).exp().sum());
            });
        case operation::exp_map:
            return for_rows(p, [](const row_operands<T>& r) { map(r.output) = map(r.first).exp(); });
        default: return {};
    }
}

contender make()
{
    contender c{"Eigen", kind::peer, XSOFTMAX_BENCHMARK_PEER_VERSION, "array expressions, a row at a time"};
    c.prepare_float = prepare<float>;
    c.prepare_double = prepare<double>;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
