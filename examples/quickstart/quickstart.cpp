#include <xsoftmax/xsoftmax.hpp>

#include <cstdio>
#include <vector>

int main()
{
    const char* names[] = {"cat", "dog", "horse"};
    const std::vector<float> logits{2.3f, 1.1f, -0.4f};

    const std::vector<float> probabilities = xsoftmax::softmax(logits);

    for (std::size_t i = 0; i < logits.size(); ++i)
        std::printf("%-5s %.4f\n", names[i], static_cast<double>(probabilities[i]));
}
