#pragma once

/// Which instruction set is in use, and which could be.

#include "detail/architecture.hpp"
#include "version.hpp"

#include <string_view>
#include <vector>

namespace xsoftmax {
inline namespace XSOFTMAX_TARGET {

/// The name of the architecture whose kernels run: "sse2", "avx2" (with FMA), "avx512", "neon64", "sve256", …
///
/// That of the compiler's flags; or, in programs that link xsoftmax::dispatch, the best one of architectures(), unless the
/// environment variable XSOFTMAX_ARCH names another one of them. The variable is read once, at the first call of any function
/// of this library that computes, or of this one.
/// Throws: std::invalid_argument if XSOFTMAX_ARCH is not one of architectures(), naming them, as does every function that
/// computes.
[[nodiscard]] inline std::string_view architecture()
{
#if defined(XSOFTMAX_DISPATCH)
    return detail::current_table().name;
#else
    return kernels::architecture_name<kernels::default_arch>();
#endif
}

/// The names of the architectures that could be in use on this processor, best first.
[[nodiscard]] inline std::vector<std::string_view> architectures()
{
#if defined(XSOFTMAX_DISPATCH)
    std::size_t count = 0;
    const char* const* const names = dispatch_1::runnable(&count);
    return {names, names + count};
#else
    return {architecture()};
#endif
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
