// Prints which of the tested instruction sets this machine runs, as a CMake list.
#include <cstdio>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#include <sys/prctl.h>
#endif

int main()
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    std::printf("sse2");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) std::printf(";avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        std::printf(";avx512");
#elif defined(__aarch64__)
    std::printf("default;neon64");
#if defined(__linux__) && defined(HWCAP_SVE) && defined(PR_SVE_GET_VL)
    if ((getauxval(AT_HWCAP) & HWCAP_SVE) != 0) std::printf(";sve%d", (prctl(PR_SVE_GET_VL) & PR_SVE_VL_LEN_MASK) * 8);
#endif
#else
    std::printf("default;baseline");
#endif
}
