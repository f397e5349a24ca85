/// The textbook in scalar C++; compiled once as everything here and once with -Ofast, XSOFTMAX_BENCHMARK_OFAST.

#include "../suite/contender.hpp"
#include "rows.hpp"

#include <xsoftmax/reference.hpp>

#include <cmath>
#include <cstddef>
#include <string>

namespace benchmarks {
namespace {

namespace reference = xsoftmax::reference;

template <class T>
call prepare(const problem<T>& p)
{
    switch (p.operation) {
        case operation::softmax:
            return for_rows(p, [](const row_operands<T>& r) { reference::softmax(r.first, r.output); });
        case operation::log_softmax:
            return for_rows(p, [](const row_operands<T>& r) { reference::log_softmax(r.first, r.output); });
        case operation::log_sum_exp:
            return for_rows(p, [](const row_operands<T>& r) { r.value = reference::log_sum_exp(r.first); });
        case operation::cross_entropy:
        case operation::cross_entropy_losses:
            return for_rows(
                p, [](const row_operands<T>& r) { r.value = reference::softmax_cross_entropy(r.first, r.target); });
        case operation::cross_entropy_gradient:
            return for_rows(p, [](const row_operands<T>& r) {
                r.value = reference::softmax_cross_entropy(r.first, r.target, r.output);
            });
        case operation::cross_entropy_targets:
            return for_rows(
                p, [](const row_operands<T>& r) { r.value = reference::softmax_cross_entropy(r.first, r.second); });
        case operation::cross_entropy_targets_gradient:
            return for_rows(p, [](const row_operands<T>& r) {
                r.value = reference::softmax_cross_entropy(r.first, r.second, r.output);
            });
        case operation::exp_map:
            return for_rows(p, [](const row_operands<T>& r) {
                for (std::size_t i = 0; i < r.first.size(); ++i) r.output[i] = std::exp(r.first[i]);
            });
        default: return {};
    }
}

contender make()
{
#if defined(XSOFTMAX_BENCHMARK_OFAST)
    contender c{"reference -Ofast", kind::peer, "", "xsoftmax/reference.hpp, compiled with -Ofast"};
#else
    contender c{"reference", kind::peer, "", "xsoftmax/reference.hpp: scalar, std::exp"};
#endif
    c.prepare_float = prepare<float>;
    c.prepare_double = prepare<double>;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
