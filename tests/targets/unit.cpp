// One of a program's translation units, each of which is compiled for another target; see main.cpp.
// It keeps away from std::vector, whose functions are the standard library's and the program's own to mix.
#include "targets.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

namespace {

template <class T>
void run_all(std::span<const T> logits, const T* targets, results_of<T>& to)
{
    constexpr std::size_t columns = results_of<T>::columns, rows = results_of<T>::rows;
    const xsoftmax::matrix_view<const T> in(logits.data(), rows, columns), t(targets, rows, columns);
    const auto out = [](T(&where)[rows * columns]) {
        return xsoftmax::matrix_view<T>(where, rows, columns);
    };
    std::int64_t classes[rows], long_classes[columns];
    std::int32_t lengths[rows];
    for (std::size_t r = 0; r < rows; ++r) {
        classes[r] = r == 3 ? -100 : static_cast<std::int64_t>(r * 7 % columns);
        lengths[r] = static_cast<std::int32_t>(1 + r * 5 % columns);
    }
    for (std::int64_t& c : long_classes) c = 2;

    xsoftmax::softmax(logits, std::span<T>(to.row));
    to.row_loss = xsoftmax::softmax_cross_entropy(logits, 5, std::span<T>(to.row_gradient), {.temperature = 0.7});
    to.row_loss += xsoftmax::log_sum_exp(logits) + xsoftmax::softmax_cross_entropy(logits, 5);
    xsoftmax::softmax(in, out(to.softmax));
    xsoftmax::log_softmax(in, out(to.log_softmax), {.temperature = 1.5, .axis = 0});
    xsoftmax::log_sum_exp(in, std::span<T>(to.log_sum_exp));
    xsoftmax::cross_entropy_losses(in, std::span<const std::int64_t>(classes), std::span<T>(to.losses),
                                   out(to.gradient), {.label_smoothing = 0.1, .z_loss = 1e-3});
    to.loss = xsoftmax::softmax_cross_entropy(in, t, out(to.target_gradient), {.label_smoothing = 0.1});
    to.loss += xsoftmax::softmax_cross_entropy(in, std::span<const std::int64_t>(long_classes), {.axis = 0});
    xsoftmax::softmax(xsoftmax::masked(in, {.lengths = std::span<const std::int32_t>(lengths), .causal = 3}),
                      out(to.masked));
    const auto upstream = t;
    xsoftmax::softmax_backward(xsoftmax::matrix_view<const T>(to.softmax, rows, columns), upstream,
                               out(to.softmax_backward));
    xsoftmax::log_softmax_backward(xsoftmax::matrix_view<const T>(to.log_softmax, rows, columns), upstream,
                                   out(to.log_softmax_backward), {.temperature = 1.5, .axis = 0});
}

}  // namespace

#define XSOFTMAX_UNIT_NAMED(name) unit_##name
#define XSOFTMAX_UNIT_OF(name) XSOFTMAX_UNIT_NAMED(name)

const char* XSOFTMAX_UNIT_OF(XSOFTMAX_UNIT)(const inputs& in, results& to)
{
    run_all<float>(in.logits_float, in.targets_float, to.of_float);
    run_all<double>(in.logits_double, in.targets_double, to.of_double);
    to.log_sum_exp_of_infinity = xsoftmax::log_sum_exp(std::span<const float>(in.with_infinity));
    return xsoftmax::architecture().data();
}
