/// PyTorch: its functions with an output given, without autograd, one thread.

#include "../suite/contender.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#if __has_include(<torch/headeronly/version.h>)
#include <torch/headeronly/version.h>
#elif __has_include(<torch/csrc/api/include/torch/version.h>)
#include <torch/csrc/api/include/torch/version.h>
#endif

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace benchmarks {
namespace {

/// The numbers, which stay where they are.
template <class T>
at::Tensor tensor(const T* data, std::initializer_list<std::size_t> extents)
{
    std::vector<std::int64_t> sizes;
    for (const std::size_t extent : extents) sizes.push_back(static_cast<std::int64_t>(extent));
    return at::from_blob(const_cast<T*>(data), sizes, at::TensorOptions(c10::CppTypeToScalarType<T>::value));
}

/// Its functions take outputs as lvalues that are not const, and leave them what they are.
struct output {
    mutable at::Tensor tensor;
};

template <class T>
call prepare(const problem<T>& p)
{
    static const bool one_thread = [] {
        at::set_num_threads(1);
        return true;
    }();
    if (!one_thread || p.of.inner != 1) return {};
    const c10::InferenceMode no_autograd;
    const at::Tensor x = tensor(p.first, {p.of.rows, p.of.columns});
    const output y{tensor(p.output, {p.of.rows, p.of.columns})};
    const output values{tensor(p.values, {p.of.rows})};
    const at::Tensor classes = tensor(p.classes, {p.of.rows});
    switch (p.operation) {
        case operation::softmax:
            return make_call([x, y] {
                const c10::InferenceMode guard;
                at::_softmax_out(y.tensor, x, 1, false);
            });
        case operation::log_softmax:
            return make_call([x, y] {
                const c10::InferenceMode guard;
                at::_log_softmax_out(y.tensor, x, 1, false);
            });
        case operation::log_sum_exp:
            return make_call([x, values] {
                const c10::InferenceMode guard;
                at::logsumexp_out(values.tensor, x, 1);
            });
        case operation::cross_entropy:
            // Has no output to be given.
            return make_call([x, classes, loss = p.values] {
                const c10::InferenceMode guard;
                *loss = at::cross_entropy_loss(x, classes).template item<T>();
            });
        default: return {};
    }
}

contender make()
{
    contender c{"PyTorch", kind::peer, TORCH_VERSION, "_softmax_out in inference mode, one thread"};
    c.prepare_float = prepare<float>;
    c.prepare_double = prepare<double>;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
