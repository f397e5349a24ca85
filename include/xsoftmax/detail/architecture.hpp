#pragma once

/// Which instruction set the kernels run on: the best that the compiler's flags allow, as xsimd sees it; or, in programs that
/// link xsoftmax::dispatch, the best that the processor has.

#include "../kernels/compiler.hpp"
#include "../kernels/entry_points.hpp"

#if defined(XSOFTMAX_DISPATCH)
#include "dispatch.hpp"
#endif

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// Calls one of the kernels' entry points.
template <class Entry, class... Arguments>
XSOFTMAX_INLINE auto call(Arguments&&... arguments)
{
#if defined(XSOFTMAX_DISPATCH)
    return current_table().template function<Entry>()(arguments...);
#else
    return Entry::template of<kernels::default_arch>()(arguments...);
#endif
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
