#pragma once

/// What becomes of a failed check: an exception of the standard library, or, where the program is compiled without exceptions
/// (-fno-exceptions), one replaceable handler.

#if !defined(__cpp_exceptions)
#include <atomic>
#include <cstdio>
#include <cstdlib>
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

}  // namespace xsoftmax
