#pragma once

/// What compilers spell differently: forced inlining, unrolling, cold paths.
///
/// Everything a kernel calls per vector is forced inline: g++ 12 otherwise calls the polynomial once a vector and doubles
/// the time of a row, and a helper left out of line would be shared by translation units of different instruction sets.

#if defined(_MSC_VER) && !defined(__clang__)
#define XSOFTMAX_ALWAYS_INLINE __forceinline
#define XSOFTMAX_INLINE_LAMBDA
#define XSOFTMAX_NEVER_INLINE __declspec(noinline)
#define XSOFTMAX_COLD __declspec(noinline)
#define XSOFTMAX_UNROLL
#else
#define XSOFTMAX_ALWAYS_INLINE [[gnu::always_inline]] inline
#define XSOFTMAX_INLINE_LAMBDA __attribute__((always_inline))
#define XSOFTMAX_NEVER_INLINE [[gnu::noinline]]
#define XSOFTMAX_COLD [[gnu::noinline, gnu::cold]]
#if defined(__clang__)
#define XSOFTMAX_UNROLL _Pragma("unroll")
#else
#define XSOFTMAX_UNROLL _Pragma("GCC unroll 16")
#endif
#endif
