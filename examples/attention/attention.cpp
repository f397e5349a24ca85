// Causal multi-head attention on a small input: softmax(Q·Kᵀ/√d)·V, where no token sees a later one.

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace {

constexpr std::size_t heads = 2, tokens = 6, width = 4;

/// [heads, tokens, width], filled with something that varies.
std::vector<float> made_input(double phase)
{
    std::vector<float> x(heads * tokens * width);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>(std::sin(phase + 0.7 * static_cast<double>(i * i)));
    return x;
}

float dot(const float* a, const float* b)
{
    float sum = 0;
    for (std::size_t k = 0; k < width; ++k) sum += a[k] * b[k];
    return sum;
}

/// The same by the definition, one query at a time, in double.
double plain_attention(const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v,
                       std::size_t head, std::size_t query, std::size_t column)
{
    double weighted = 0, sum = 0;
    for (std::size_t key = 0; key <= query; ++key) {
        const float* const at = &k[(head * tokens + key) * width];
        const double score =
            static_cast<double>(dot(&q[(head * tokens + query) * width], at)) / std::sqrt(double(width));
        weighted += std::exp(score) * static_cast<double>(v[(head * tokens + key) * width + column]);
        sum += std::exp(score);
    }
    return weighted / sum;
}

}  // namespace

int main()
{
    const std::vector<float> q = made_input(1), k = made_input(2), v = made_input(3);

    std::vector<float> weights(heads * tokens * tokens);
    for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t i = 0; i < tokens; ++i)
            for (std::size_t j = 0; j < tokens; ++j)
                weights[(h * tokens + i) * tokens + j] =
                    dot(&q[(h * tokens + i) * width], &k[(h * tokens + j) * width]);

    // From scores to weights, in place. Dividing by √d is a temperature; causal = 0 keeps the keys up to the query's own.
    const xsoftmax::tensor_view<float, 3> scores(weights.data(), {heads, tokens, tokens});
    xsoftmax::masked_softmax(scores, scores, {.causal = 0}, {.temperature = std::sqrt(double(width))});

    std::puts("attention of head 0: a row for each query, a column for each key");
    for (std::size_t i = 0; i < tokens; ++i) {
        for (std::size_t j = 0; j < tokens; ++j) std::printf(" %.3f", static_cast<double>(weights[i * tokens + j]));
        std::puts("");
    }

    double largest = 0;
    for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t i = 0; i < tokens; ++i)
            for (std::size_t c = 0; c < width; ++c) {
                float output = 0;
                for (std::size_t j = 0; j < tokens; ++j)
                    output += weights[(h * tokens + i) * tokens + j] * v[(h * tokens + j) * width + c];
                largest = std::max(largest, std::abs(static_cast<double>(output) - plain_attention(q, k, v, h, i, c)));
            }
    const bool ok = largest < 1e-6;
    std::printf("largest difference from a plain loop: %s\n", ok ? "below 1e-6" : "too large");
    return ok ? 0 : 1;
}
