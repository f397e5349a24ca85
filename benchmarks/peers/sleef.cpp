/// SLEEF, which has no softmax: three plain loops over its vectorised exponential of 1 ULP.

#include "../suite/contender.hpp"
#include "plain_loops.hpp"

#include <sleef.h>

#include <string>

namespace benchmarks {
namespace {

struct sleef_exp {
    template <class T>
    xsimd::batch<T> operator()(const xsimd::batch<T>& x) const
    {
#if defined(__AVX512F__)
        if constexpr (sizeof(T) == 4)
            return Sleef_expf16_u10avx512f(x);
        else
            return Sleef_expd8_u10avx512f(x);
#elif defined(__AVX2__)
        if constexpr (sizeof(T) == 4)
            return Sleef_expf8_u10avx2(x);
        else
            return Sleef_expd4_u10avx2(x);
#elif defined(__SSE2__)
        if constexpr (sizeof(T) == 4)
            return Sleef_expf4_u10(x);
        else
            return Sleef_expd2_u10(x);
#elif defined(__ARM_NEON)
        if constexpr (sizeof(T) == 4)
            return Sleef_expf4_u10advsimd(x);
        else
            return Sleef_expd2_u10advsimd(x);
#else
#error peers.cmake passes SLEEF over on other processors than x86-64 and AArch64
#endif
    }
};

contender make()
{
    const std::string version = std::to_string(SLEEF_VERSION_MAJOR) + '.' + std::to_string(SLEEF_VERSION_MINOR) + '.' +
                                std::to_string(SLEEF_VERSION_PATCHLEVEL);
    contender c{"SLEEF", kind::peer, version, "three plain loops over Sleef_exp, 1 ULP"};
    c.prepare_float = plain_loops<sleef_exp, float>::prepare;
    c.prepare_double = plain_loops<sleef_exp, double>::prepare;
    return c;
}

const peer_registration registration(make);

}  // namespace
}  // namespace benchmarks
