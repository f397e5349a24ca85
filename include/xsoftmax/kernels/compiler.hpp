#pragma once

/// What compilers spell differently: forced inlining, unrolling, cold paths, format checks.

#include "../version.hpp"
#include "target.hpp"

/// For functions of types outside of XSOFTMAX_TARGET (views, options, plain data): left out of line, the linker would keep one
/// copy for units of different instruction sets.
#if defined(_MSC_VER) && !defined(__clang__)
#define XSOFTMAX_SHARED_INLINE __forceinline
#else
#define XSOFTMAX_SHARED_INLINE [[gnu::always_inline]] inline
#endif

/// For what kernels call for each vector: g++ 12 otherwise calls the exponential once for each, which doubles the time of a
/// row. XSOFTMAX_NO_FORCED_INLINE leaves it to the compiler, as unoptimised builds do, which would take four times as long.
#if defined(XSOFTMAX_NO_FORCED_INLINE) || (defined(__GNUC__) && !defined(__OPTIMIZE__))
#define XSOFTMAX_INLINE inline
#define XSOFTMAX_INLINE_LAMBDA
#define XSOFTMAX_UNROLL
#elif defined(_MSC_VER) && !defined(__clang__)
#define XSOFTMAX_INLINE __forceinline
#define XSOFTMAX_INLINE_LAMBDA
#define XSOFTMAX_UNROLL
#else
#define XSOFTMAX_INLINE [[gnu::always_inline]] inline
#define XSOFTMAX_INLINE_LAMBDA __attribute__((always_inline))
#if defined(__clang__)
#define XSOFTMAX_UNROLL _Pragma("unroll")
#else
#define XSOFTMAX_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define XSOFTMAX_NEVER_INLINE __declspec(noinline)
#define XSOFTMAX_COLD __declspec(noinline)
#define XSOFTMAX_PRINTF_LIKE(text, values)
#else
#define XSOFTMAX_NEVER_INLINE [[gnu::noinline]]
#define XSOFTMAX_COLD [[gnu::noinline, gnu::cold]]
#define XSOFTMAX_PRINTF_LIKE(text, values) [[gnu::format(printf, text, values)]]
#endif
