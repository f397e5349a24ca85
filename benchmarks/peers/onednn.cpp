/// oneDNN: its softmax primitives, made once for a shape.

#include "../suite/contender.hpp"

#include <oneapi/dnnl/dnnl.hpp>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <memory>
#include <unordered_map>

namespace benchmarks {
namespace {

struct plan {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    dnnl::primitive primitive;
    std::unordered_map<int, dnnl::memory> arguments;
};

call prepare(const problem<float>& p)
{
    const bool logarithm = p.operation == operation::log_softmax || p.operation == operation::log_softmax_backward;
    const bool backward = is_backward(p.operation);
    if ((p.operation != operation::softmax && !logarithm && !backward) || p.of.inner != 1) return {};
#if defined(_OPENMP)
    omp_set_num_threads(1);
#endif
    const auto made = std::make_shared<plan>();
    const dnnl::memory::dims extents{static_cast<dnnl::memory::dim>(p.of.rows),
                                     static_cast<dnnl::memory::dim>(p.of.columns)};
    const dnnl::memory::desc layout(extents, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::library);
    const dnnl::algorithm algorithm = logarithm ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate;
    const dnnl::softmax_forward::primitive_desc forward(
        made->engine, backward ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference, algorithm,
        layout, layout, 1, attributes);
    const auto memory = [&](const float* data) {
        return dnnl::memory(layout, made->engine, const_cast<float*>(data));
    };
    if (backward) {
        made->primitive = dnnl::softmax_backward(dnnl::softmax_backward::primitive_desc(
            made->engine, algorithm, layout, layout, layout, 1, forward, attributes));
        made->arguments = {{DNNL_ARG_DST, memory(p.first)},
                           {DNNL_ARG_DIFF_DST, memory(p.second)},
                           {DNNL_ARG_DIFF_SRC, memory(p.output)}};
    }
    else {
        made->primitive = dnnl::softmax_forward(forward);
        made->arguments = {{DNNL_ARG_SRC, memory(p.first)}, {DNNL_ARG_DST, memory(p.output)}};
    }
    return make_call([made] {
        made->primitive.execute(made->stream, made->arguments);
        made->stream.wait();
    });
}

contender make()
{
    contender c{"oneDNN", kind::peer, XSOFTMAX_BENCHMARK_PEER_VERSION,
                "softmax_forward and _backward, primitive and memory kept"};
    c.prepare_float = prepare;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
