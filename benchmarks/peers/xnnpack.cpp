/// XNNPACK: its softmax operator, without a thread pool.

#include "../suite/contender.hpp"

#include <xnnpack.h>

#include <memory>

namespace benchmarks {
namespace {

using owned_operator = std::shared_ptr<xnn_operator>;

call prepare(const problem<float>& p)
{
    if (p.operation != operation::softmax || p.of.inner != 1) return {};
    const std::size_t n = p.of.columns;
    xnn_operator_t made = nullptr;
    if (xnn_initialize(nullptr) != xnn_status_success || xnn_create_softmax_nc_f32(0, &made) != xnn_status_success)
        return {};
    const owned_operator owned(made, xnn_delete_operator);
    if (xnn_reshape_softmax_nc_f32(made, n, n, n, p.of.rows, nullptr) != xnn_status_success ||
        xnn_setup_softmax_nc_f32(made, p.first, p.output) != xnn_status_success)
        return {};
    return make_call([owned] { xnn_run_operator(owned.get(), nullptr); });
}

contender make()
{
    contender c{"XNNPACK", kind::peer, XSOFTMAX_BENCHMARK_PEER_VERSION, "softmax_nc_f32, operator set up once"};
    c.prepare_float = prepare;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
