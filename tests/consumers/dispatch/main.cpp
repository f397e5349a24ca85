#include <xsoftmax/xsoftmax.hpp>

#include <cstdio>
#include <string>
#include <vector>

int main(int count, char**)
{
    if (count > 1) {
        for (const auto name : xsoftmax::architectures()) std::puts(std::string(name).c_str());
        return 0;
    }
    const std::vector<float> p = xsoftmax::softmax(std::vector{1.0f, 1.0f, 1.0f, 1.0f});
    std::printf("%s: %g\n", std::string(xsoftmax::architecture()).c_str(), static_cast<double>(p[3]));
    return p[3] != 0.25f;
}
