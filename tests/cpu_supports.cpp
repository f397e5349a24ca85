// Prints which of the tested instruction sets this machine runs, as a CMake list.
#include <cstdio>

int main()
{
    __builtin_cpu_init();
    std::printf("sse2");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) std::printf(";avx2");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        std::printf(";avx512");
}
