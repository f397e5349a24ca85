#pragma once

/// What compilers spell differently: forced inlining, unrolling, cold paths, format checks.
///
/// Everything a kernel calls per vector is forced inline: g++ 12 otherwise calls the polynomial once a vector and doubles
/// the time of a row, and a helper left out of line would be shared by translation units of different instruction sets.
/// XSOFTMAX_NO_FORCED_INLINE leaves it to the compiler, for sanitizers, which take minutes for what is inlined by force.

#include "target.hpp"

#if defined(XSOFTMAX_NO_FORCED_INLINE)
#define XSOFTMAX_ALWAYS_INLINE inline
#define XSOFTMAX_INLINE_LAMBDA
#elif defined(_MSC_VER) && !defined(__clang__)
#define XSOFTMAX_ALWAYS_INLINE __forceinline
#define XSOFTMAX_INLINE_LAMBDA
#else
#define XSOFTMAX_ALWAYS_INLINE [[gnu::always_inline]] inline
#define XSOFTMAX_INLINE_LAMBDA __attribute__((always_inline))
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define XSOFTMAX_NEVER_INLINE __declspec(noinline)
#define XSOFTMAX_COLD __declspec(noinline)
#define XSOFTMAX_PRINTF_LIKE(text, values)
#define XSOFTMAX_UNROLL
#else
#define XSOFTMAX_NEVER_INLINE [[gnu::noinline]]
#define XSOFTMAX_COLD [[gnu::noinline, gnu::cold]]
#define XSOFTMAX_PRINTF_LIKE(text, values) [[gnu::format(printf, text, values)]]
#if defined(XSOFTMAX_NO_FORCED_INLINE)
#define XSOFTMAX_UNROLL
#elif defined(__clang__)
#define XSOFTMAX_UNROLL _Pragma("unroll")
#else
#define XSOFTMAX_UNROLL _Pragma("GCC unroll 16")
#endif
#endif
