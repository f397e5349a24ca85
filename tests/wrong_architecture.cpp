// Run with an XSOFTMAX_ARCH that does not exist: each function that computes says so, and lists those that do.
#include <xsoftmax/xsoftmax.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

int main()
{
    const std::vector<float> logits{1, 2, 3};
    for (int k = 0; k < 2; ++k) try {
            static_cast<void>(xsoftmax::softmax(logits));
            std::puts("not refused");
            return 1;
        }
        catch (const std::invalid_argument& error) {
            const std::string message = error.what();
            for (const auto name : xsoftmax::architectures())
                if (message.find(" " + std::string(name)) == std::string::npos) {
                    std::printf("%s: lacks %s\n", message.c_str(), std::string(name).c_str());
                    return 1;
                }
            std::puts(message.c_str());
        }
    std::puts("wrong architecture: ok");
}
