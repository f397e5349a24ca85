#include "xsoftmax.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace benchmarks {

#if defined(XSOFTMAX_BENCHMARK_AVX2)
namespace {

/// Before main, since whoever chooses an instruction set reads these once. Others cannot be told, and are not compiled in.
const bool are_held_to_avx2 = [] {
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    setenv("ATEN_CPU_CAPABILITY", "avx2", 1);
    setenv("XSOFTMAX_ARCH", "avx2", 1);  // of xsoftmax::dispatch
    return true;
}();

}  // namespace
#endif

std::vector<contender> peers()
{
    std::vector<contender> all;
    for (const peer_registration::maker make : peer_registration::makers()) all.push_back(make());
    std::sort(all.begin(), all.end(), [](const contender& a, const contender& b) { return a.label < b.label; });
    return all;
}

}  // namespace benchmarks
