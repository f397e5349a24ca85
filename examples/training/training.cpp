// Softmax regression by gradient descent: three clouds of points, a linear model, and one call for loss and gradient.

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <cstdio>
#include <random>
#include <vector>

namespace {

constexpr std::size_t points = 300, classes = 3, features = 3;  // x, y, and 1 for the offset

struct data {
    std::vector<float> inputs;  // points × features
    std::vector<int> labels;
};

/// Points around three corners, by the generator's own numbers: the same with every standard library.
data made_data()
{
    constexpr float corners[classes][2] = {{-1, -1}, {1, -1}, {0, 1}};
    std::mt19937 generator(7);
    const auto noise = [&] {
        return static_cast<float>(generator()) / 4294967296.0f - 0.5f;
    };
    data made;
    for (std::size_t i = 0; i < points; ++i) {
        const std::size_t label = i % classes;
        made.labels.push_back(static_cast<int>(label));
        for (const float corner : corners[label]) made.inputs.push_back(corner + 1.2f * noise());
        made.inputs.push_back(1);
    }
    return made;
}

/// logits[i][k] = inputs[i]·weights[k]
void predict(const std::vector<float>& inputs, const std::vector<float>& weights, std::vector<float>& logits)
{
    for (std::size_t i = 0; i < points; ++i)
        for (std::size_t k = 0; k < classes; ++k) {
            float sum = 0;
            for (std::size_t f = 0; f < features; ++f) sum += inputs[i * features + f] * weights[k * features + f];
            logits[i * classes + k] = sum;
        }
}

double accuracy(const std::vector<float>& logits, const std::vector<int>& labels)
{
    double right = 0;
    for (std::size_t i = 0; i < points; ++i) {
        const float* const row = &logits[i * classes];
        right += std::max_element(row, row + classes) - row == labels[i] ? 1 : 0;
    }
    return right / points;
}

}  // namespace

int main()
{
    const data train = made_data();
    std::vector<float> weights(classes * features), logits(points * classes), gradient(points * classes);
    const xsoftmax::matrix_view<const float> logits_view(logits.data(), points, classes);
    const xsoftmax::matrix_view<float> gradient_view(gradient.data(), points, classes);

    std::puts("          loss   accuracy");
    for (int step = 0; step <= 200; ++step) {
        predict(train.inputs, weights, logits);

        // The mean of the points' losses, and its gradient by the logits, in one sweep.
        const float loss = xsoftmax::softmax_cross_entropy(logits_view, train.labels, gradient_view);

        if (step % 50 == 0)
            std::printf("step %3d  %.4f  accuracy %.3f\n", step, static_cast<double>(loss),
                        accuracy(logits, train.labels));

        // From the logits' gradient to the weights', and a step down.
        const float rate = 2;
        for (std::size_t i = 0; i < points; ++i)
            for (std::size_t k = 0; k < classes; ++k)
                for (std::size_t f = 0; f < features; ++f)
                    weights[k * features + f] -= rate * gradient[i * classes + k] * train.inputs[i * features + f];
    }
}
