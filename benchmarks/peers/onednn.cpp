/// oneDNN: its softmax primitive, made once for a shape.

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
    dnnl::softmax_forward primitive;
    std::unordered_map<int, dnnl::memory> arguments;
};

call prepare(const problem<float>& p)
{
    const bool logarithm = p.operation == operation::log_softmax;
    if ((p.operation != operation::softmax && !logarithm) || p.of.inner != 1) return {};
#if defined(_OPENMP)
    omp_set_num_threads(1);
#endif
    const auto made = std::make_shared<plan>();
    const dnnl::memory::dims extents{static_cast<dnnl::memory::dim>(p.of.rows),
                                     static_cast<dnnl::memory::dim>(p.of.columns)};
    const dnnl::memory::desc layout(extents, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::library);
    made->primitive = dnnl::softmax_forward(dnnl::softmax_forward::primitive_desc(
        made->engine, dnnl::prop_kind::forward_inference,
        logarithm ? dnnl::algorithm::softmax_log : dnnl::algorithm::softmax_accurate, layout, layout, 1, attributes));
    made->arguments = {{DNNL_ARG_SRC, {layout, made->engine, const_cast<float*>(p.first)}},
                       {DNNL_ARG_DST, {layout, made->engine, p.output}}};
    return make_call([made] {
        made->primitive.execute(made->stream, made->arguments);
        made->stream.wait();
    });
}

contender make()
{
    contender c{"oneDNN", kind::peer, XSOFTMAX_BENCHMARK_PEER_VERSION, "softmax_forward, primitive and memory kept"};
    c.prepare_float = prepare;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
