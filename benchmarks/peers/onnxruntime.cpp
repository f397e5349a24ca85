/// ONNX Runtime: a model of one node, made in memory, its input and output bound to the buffers.

#include "../suite/contender.hpp"

#include <onnxruntime_cxx_api.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

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

/// ValueInfoProto of a matrix: name, and type with element type and extents.
std::string matrix(const std::string& name, int element_type, const shape& of)
{
    const std::string extents = field(1, field(1, of.rows)) + field(1, field(1, of.columns));
    return field(1, name) + field(2, field(1, field(1, static_cast<std::uint64_t>(element_type)) + field(2, extents)));
}

/// ModelProto: y = function(x) along axis 1.
std::string model(const std::string& function, int element_type, const shape& of)
{
    const std::string axis = field(1, std::string("axis")) + field(3, 1) + field(20, 2);
    const std::string node =
        field(1, std::string("x")) + field(2, std::string("y")) + field(4, function) + field(5, axis);
    const std::string graph = field(1, node) + field(2, std::string("g")) + field(11, matrix("x", element_type, of)) +
                              field(12, matrix("y", element_type, of));
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
    const char* const function = p.operation == operation::softmax       ? "Softmax"
                                 : p.operation == operation::log_softmax ? "LogSoftmax"
                                                                         : nullptr;
    if (function == nullptr || p.of.inner != 1) return {};
    const quiet_stderr quiet;
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1).SetInterOpNumThreads(1).SetExecutionMode(ORT_SEQUENTIAL);
    const std::string bytes = model(function, sizeof(T) == 4 ? 1 : 11, p.of);
    const auto made = std::make_shared<plan>();
    made->session = Ort::Session(environment(), bytes.data(), bytes.size(), options);
    made->binding = Ort::IoBinding(made->session);
    const Ort::MemoryInfo here = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
    const std::array<std::int64_t, 2> extents{static_cast<std::int64_t>(p.of.rows),
                                              static_cast<std::int64_t>(p.of.columns)};
    const std::size_t count = p.of.elements();
    made->binding.BindInput(
        "x", Ort::Value::CreateTensor<T>(here, const_cast<T*>(p.first), count, extents.data(), extents.size()));
    made->binding.BindOutput("y", Ort::Value::CreateTensor<T>(here, p.output, count, extents.data(), extents.size()));
    return make_call([made] { made->session.Run(made->options, made->binding); });
}

contender make()
{
    contender c{"ONNX Runtime", kind::peer, XSOFTMAX_BENCHMARK_PEER_VERSION,
                "a session of one node, input and output bound, one thread"};
    c.prepare_float = prepare<float>;
    c.prepare_double = prepare<double>;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
