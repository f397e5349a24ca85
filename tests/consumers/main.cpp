#include <xsoftmax/xsoftmax.hpp>

#include <cstdio>
#include <vector>

int main()
{
    const std::vector<float> probabilities = xsoftmax::softmax(std::vector{2.0f, 2.0f});
    if (probabilities != std::vector{0.5f, 0.5f}) return 1;
    std::puts("consumer: ok");
}
