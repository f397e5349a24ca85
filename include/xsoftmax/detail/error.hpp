#pragma once

/// How a failed check leaves: an exception, or, where the compiler has none, the handler of error.hpp.

#include "../error.hpp"
#include "../kernels/compiler.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// Takes what std::printf takes. The message lies in this frame, so that a handler which leaves by longjmp leaks nothing.
[[noreturn]] XSOFTMAX_COLD XSOFTMAX_PRINTF_LIKE(2, 3) inline void fail(error_kind kind, const char* format, ...)
{
    char message[256];
    std::va_list values;
    va_start(values, format);
    std::vsnprintf(message, sizeof message, format, values);
    va_end(values);
#if defined(__cpp_exceptions)
    if (kind == error_kind::out_of_range) throw std::out_of_range(message);
    throw std::invalid_argument(message);
#else
    current_error_handler.load()(kind, message);
    std::abort();
#endif
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
