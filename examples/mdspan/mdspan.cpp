// std::mdspan goes in as it is, and so does any part of one: layouts with strides are views.

#include <xsoftmax/xsoftmax.hpp>

#include <array>
#include <cstdio>
#include <mdspan>
#include <vector>

int main()
{
    // Scores of 2 heads, 2 queries and 3 keys, in somebody's memory.
    std::vector<float> memory{2, 1, -1, 0, 0, 0, 2, 1, -1, 0, 0, 0};
    const std::mdspan scores(memory.data(), std::dextents<std::size_t, 3>(2, 2, 3));

    std::vector<float> weights_memory(memory.size());
    const std::mdspan weights(weights_memory.data(), scores.extents());
    xsoftmax::softmax(scores, weights);  // along the last axis
    std::printf("head 0, query 0: %.4f %.4f %.4f\n", static_cast<double>(weights[0, 0, 0]),
                static_cast<double>(weights[0, 0, 1]), static_cast<double>(weights[0, 0, 2]));

    // The same scores with keys and queries swapped, without moving them.
    const std::array<std::size_t, 3> strides{6, 1, 3};
    const std::layout_stride::mapping swapped(std::dextents<std::size_t, 3>(2, 3, 2), strides);
    const std::mdspan transposed(memory.data(), swapped);
    const std::mdspan transposed_weights(weights_memory.data(), swapped);
    xsoftmax::softmax(transposed, transposed_weights, {.axis = 1});
    std::printf("swapped:         %.4f %.4f %.4f\n", static_cast<double>(weights[0, 0, 0]),
                static_cast<double>(weights[0, 0, 1]), static_cast<double>(weights[0, 0, 2]));

    // One value for each row, in row-major order of the other axes.
    const std::vector<float> values = xsoftmax::log_sum_exp(scores);
    std::printf("log_sum_exp of zeros: log 3 = %.4f\n", static_cast<double>(values[1]));
}
