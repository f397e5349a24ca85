#include <xsoftmax/xsoftmax.hpp>

#include <cstdio>
#include <vector>

int main()
{
    const std::vector<float> logits{2.3f, 1.1f, -0.4f};
    const std::vector<float> p = xsoftmax::softmax(logits);
    const char* const names[] = {"cat", "dog", "horse"};
    for (std::size_t i = 0; i < p.size(); ++i) std::printf("%-5s %.4f\n", names[i], static_cast<double>(p[i]));
}
