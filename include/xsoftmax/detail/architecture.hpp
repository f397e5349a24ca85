#pragma once

/// Which instruction set the kernels run on: the best that the compiler's flags allow, as xsimd sees it.

#include <xsimd/xsimd.hpp>

namespace xsoftmax::detail {

using architecture = xsimd::default_arch;

}  // namespace xsoftmax::detail
