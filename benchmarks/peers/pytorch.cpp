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

/// The mean loss, with everything between kept in memory of its own: cross_entropy_loss would allocate it in each call.
class cross_entropy {
public:
    template <class T>
    cross_entropy(const problem<T>& p, const at::Tensor& logits)
        : logits_(logits),
          classes_(tensor(p.classes, {p.of.rows})),
          loss_{tensor(p.values, {})},
          log_probabilities_{at::empty_like(logits)},
          total_weight_{at::empty({}, logits.options())}
    {
    }

    void forward() const
    {
        at::_log_softmax_out(log_probabilities_.tensor, logits_, 1, false);
        at::nll_loss_forward_out(loss_.tensor, total_weight_.tensor, log_probabilities_.tensor, classes_, {},
                                 at::Reduction::Mean, ignore_index);
    }

    /// After forward.
    void backward(const at::Tensor& of_loss, at::Tensor& of_log_probabilities, at::Tensor& of_logits) const
    {
        at::nll_loss_backward_out(of_log_probabilities, of_loss, log_probabilities_.tensor, classes_, {},
                                  at::Reduction::Mean, ignore_index, total_weight_.tensor);
        at::_log_softmax_backward_data_out(of_logits, of_log_probabilities, log_probabilities_.tensor, 1,
                                           logits_.scalar_type());
    }

private:
    static constexpr std::int64_t ignore_index = -100;  // its default

    at::Tensor logits_, classes_;
    output loss_, log_probabilities_, total_weight_;
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
            return make_call([loss = cross_entropy(p, x)] {
                const c10::InferenceMode guard;
                loss.forward();
            });
        case operation::cross_entropy_gradient:
            return make_call([loss = cross_entropy(p, x), y, of_loss = at::ones({}, x.options()),
                              between = output{at::empty_like(x)}] {
                const c10::InferenceMode guard;
                loss.forward();
                loss.backward(of_loss, between.tensor, y.tensor);
            });
        case operation::softmax_backward:
            return make_call([x, y, upstream = tensor(p.second, {p.of.rows, p.of.columns})] {
                const c10::InferenceMode guard;
                at::_softmax_backward_data_out(y.tensor, upstream, x, 1, x.scalar_type());
            });
        case operation::log_softmax_backward:
            return make_call([x, y, upstream = tensor(p.second, {p.of.rows, p.of.columns})] {
                const c10::InferenceMode guard;
                at::_log_softmax_backward_data_out(y.tensor, upstream, x, 1, x.scalar_type());
            });
        default: return {};
    }
}

contender make()
{
    contender c{"PyTorch", kind::peer, TORCH_VERSION, "_softmax_out and its like in inference mode, one thread"};
    c.prepare_float = prepare<float>;
    c.prepare_double = prepare<double>;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
