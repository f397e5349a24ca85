/// ONNX Runtime: a model of one node, made in memory, its inputs and output bound to the buffers.

#include "../suite/contender.hpp"

#include <onnxruntime_cxx_api.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace benchmarks {
namespace {

// A model as the bytes of protocol buffers: fields of a number and a varint, or a number and a string.

std::string varint(std::uint64_t value)
{
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    return bytes + static_cast<char>(value);
}

std::string field(unsigned number, std::uint64_t value) { return varint(number << 3) + varint(value); }

std::string field(unsigned number, const std::string& bytes)
{
    return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}

// Of elements, in TensorProto.
constexpr std::uint64_t float_type = 1, int64_type = 7, double_type = 11;

/// ValueInfoProto: name, and type with element type and extents.
std::string array(const std::string& name, std::uint64_t element_type, const std::vector<std::int64_t>& extents)
{
    std::string dimensions;
    for (const std::int64_t extent : extents) dimensions += field(1, field(1, static_cast<std::uint64_t>(extent)));
    return field(1, name) + field(2, field(1, field(1, element_type) + field(2, dimensions)));
}

// AttributeProto: name, type and value, of one number or of a list of one.

std::string number(const std::string& name, std::uint64_t value)
{
    return field(1, name) + field(3, value) + field(20, 2);
}

std::string list(const std::string& name, std::uint64_t value)
{
    return field(1, name) + field(8, value) + field(20, 7);
}

/// A node's function and attributes, the extents of what it gives, and whether it takes a class for each row.
struct node {
    std::string function;
    std::vector<std::string> attributes;
    std::vector<std::int64_t> output_extents;
    bool takes_classes = false;
};

/// ModelProto: y = node(x), or node(x, t).
std::string model(const node& what, std::uint64_t element_type, const std::vector<std::int64_t>& input_extents)
{
    std::string bytes = field(1, std::string("x"));
    std::string inputs = field(11, array("x", element_type, input_extents));
    if (what.takes_classes) {
        bytes += field(1, std::string("t"));
        inputs += field(11, array("t", int64_type, {input_extents[0]}));
    }
    bytes += field(2, std::string("y")) + field(4, what.function);
    for (const std::string& attribute : what.attributes) bytes += field(5, attribute);
    const std::string graph = field(1, bytes) + field(2, std::string("g")) + inputs +
                              field(12, array("y", element_type, what.output_extents));
    return field(1, 8) + field(7, graph) + field(8, field(2, 13));  // IR version 8, operators of version 13
}

struct plan {
    Ort::Session session{nullptr};
    Ort::IoBinding binding{nullptr};
    Ort::RunOptions options;
};

/// Keeps quiet what is written to stderr meanwhile. Where PyTorch is in the same program, it has registered the operators
/// already, and a thousand lines say so, which do no harm.
class quiet_stderr {
public:
    quiet_stderr() : kept_(dup(STDERR_FILENO))
    {
        const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(nowhere, STDERR_FILENO);
        close(nowhere);
    }
    ~quiet_stderr()
    {
        dup2(kept_, STDERR_FILENO);
        close(kept_);
    }
    quiet_stderr(const quiet_stderr&) = delete;
    quiet_stderr& operator=(const quiet_stderr&) = delete;

private:
    int kept_;
};

Ort::Env& environment()
{
    static Ort::Env made(ORT_LOGGING_LEVEL_ERROR, "benchmarks");
    return made;
}

template <class T>
call prepare(const problem<T>& p)
{
    const std::vector<std::int64_t> extents{static_cast<std::int64_t>(p.of.rows),
                                            static_cast<std::int64_t>(p.of.columns)};
    node what;
    if (p.operation == operation::softmax)
        what = {"Softmax", {number("axis", 1)}, extents};
    else if (p.operation == operation::log_softmax)
        what = {"LogSoftmax", {number("axis", 1)}, extents};
    else if (p.operation == operation::log_sum_exp)
        what = {"ReduceLogSumExp", {list("axes", 1), number("keepdims", 0)}, {extents[0]}};
    else if (p.operation == operation::cross_entropy)  // it has no kernel, and makes other operators of it; the mean
        what = {"SoftmaxCrossEntropyLoss", {}, {}, true};
    else
        return {};
    if (p.of.inner != 1) return {};
    const quiet_stderr quiet;
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1).SetInterOpNumThreads(1).SetExecutionMode(ORT_SEQUENTIAL);
    const std::string bytes = model(what, sizeof(T) == 4 ? float_type : double_type, extents);
    const auto made = std::make_shared<plan>();
    made->session = Ort::Session(environment(), bytes.data(), bytes.size(), options);
    made->binding = Ort::IoBinding(made->session);
    const Ort::MemoryInfo here = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
    const auto bound = [&]<class Element>(const Element* data, const std::vector<std::int64_t>& of) {
        std::size_t count = 1;
        for (const std::int64_t extent : of) count *= static_cast<std::size_t>(extent);
        return Ort::Value::CreateTensor<Element>(here, const_cast<Element*>(data), count, of.data(), of.size());
    };
    made->binding.BindInput("x", bound(p.first, extents));
    if (what.takes_classes) made->binding.BindInput("t", bound(p.classes, {extents[0]}));
    made->binding.BindOutput("y", bound(what.output_extents.size() == 2 ? p.output : p.values, what.output_extents));
    return make_call([made] { made->session.Run(made->options, made->binding); });
}

contender make()
{
    contender c{"ONNX Runtime", kind::peer, XSOFTMAX_BENCHMARK_PEER_VERSION,
                "a session of one node, inputs and output bound, one thread"};
    c.prepare_float = prepare<float>;
    c.prepare_double = prepare<double>;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
