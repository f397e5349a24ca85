#pragma once

/// How a failed check leaves: an exception, or, where the compiler has none (-fno-exceptions), one replaceable handler.

#include "../kernels/compiler.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#if !defined(__cpp_exceptions)
#include <atomic>
#endif

namespace xsoftmax {

/// The kinds of failed checks; each is an exception of the standard library where there are exceptions.
enum class error_kind {
    invalid_argument,  ///< std::invalid_argument
    out_of_range       ///< std::out_of_range
};

#if !defined(__cpp_exceptions)

/// Called with the kind and the message of a failed check where the program is compiled without exceptions. It must not
/// return (it may terminate the program, or leave by longjmp); if it returns all the same, std::abort is called.
using error_handler = void (*)(error_kind kind, const char* message);

namespace detail {

inline void print_and_abort(error_kind, const char* message)
{
    std::fprintf(stderr, "%s\n", message);
    std::abort();
}

inline std::atomic<error_handler> current_error_handler{&print_and_abort};

}  // namespace detail

/// Replaces the handler, for the whole program, and returns the one before; nullptr brings back the default, which
/// prints the message to stderr and aborts. Exists only where the program is compiled without exceptions.
inline error_handler set_error_handler(error_handler handler) noexcept
{
    return detail::current_error_handler.exchange(handler != nullptr ? handler : &detail::print_and_abort);
}

#endif

namespace detail {
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
}  // namespace detail
}  // namespace xsoftmax
