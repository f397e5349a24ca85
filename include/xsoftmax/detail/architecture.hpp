#pragma once

/// Which instruction set the kernels run on: the best that the compiler's flags allow, as xsimd sees it.

#include "../kernels/compiler.hpp"
#include "../kernels/entry_points.hpp"

#include <xsimd/xsimd.hpp>

namespace xsoftmax::detail {

/// Calls one of the kernels' entry points.
template <class Entry, class... Arguments>
XSOFTMAX_ALWAYS_INLINE auto call(Arguments&&... arguments)
{
    return Entry::template run<xsimd::default_arch>(arguments...);
}

}  // namespace xsoftmax::detail
