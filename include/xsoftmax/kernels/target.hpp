#pragma once

/// What the compiler may use, and in which mode it compiles, as the name of an inline namespace.
///
/// One program may hold translation units that were compiled with different options, each of which includes this library.
/// Under one name the linker would keep one copy of a function for all of them: AVX-512 where the processor has none, or
/// code that was told that there are no NaNs. So all that has code is in the namespace XSOFTMAX_TARGET: two units share it
/// only where they were compiled alike. Outside are types that programs pass around (options, views, masks) and plain data
/// that passes between the library's parts; what these have of functions is forced inline.

/// 1 where a macro is defined as 1, and 0 where it is not defined.
#define XSOFTMAX_IS_ONE(macro) XSOFTMAX_IS_ONE_EXPANDED(macro)
#define XSOFTMAX_IS_ONE_EXPANDED(value) XSOFTMAX_SECOND_OF(XSOFTMAX_BEFORE_##value, 0, ~)
#define XSOFTMAX_BEFORE_1 ~, 1
#define XSOFTMAX_SECOND_OF(...) XSOFTMAX_SECOND(__VA_ARGS__)
#define XSOFTMAX_SECOND(first, second, ...) second

#define XSOFTMAX_JOIN_EXPANDED(a, b, c, d, e, f, g, h) a##b##c##d##e##f##g##h
#define XSOFTMAX_JOIN(a, b, c, d, e, f, g, h) XSOFTMAX_JOIN_EXPANDED(a, b, c, d, e, f, g, h)

#define XSOFTMAX_EIGHT(a, b, c, d, e, f, g, h)                                                                        \
    XSOFTMAX_JOIN(XSOFTMAX_IS_ONE(a), XSOFTMAX_IS_ONE(b), XSOFTMAX_IS_ONE(c), XSOFTMAX_IS_ONE(d), XSOFTMAX_IS_ONE(e), \
                  XSOFTMAX_IS_ONE(f), XSOFTMAX_IS_ONE(g), XSOFTMAX_IS_ONE(h))

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#define XSOFTMAX_INSTRUCTIONS                                                                                       \
    XSOFTMAX_JOIN(                                                                                                  \
        x86_, XSOFTMAX_EIGHT(__SSE2__, __SSE3__, __SSSE3__, __SSE4_1__, __SSE4_2__, __AVX__, __FMA__, __AVX2__), _, \
        XSOFTMAX_EIGHT(__POPCNT__, __LZCNT__, __BMI__, __BMI2__, __F16C__, __MOVBE__, __FMA4__, __XOP__), _,        \
        XSOFTMAX_EIGHT(__AVX512F__, __AVX512CD__, __AVX512DQ__, __AVX512BW__, __AVX512VL__, __AVX512VBMI__,         \
                       __AVX512VBMI2__, __AVX512VNNI__),                                                            \
        _,                                                                                                          \
        XSOFTMAX_EIGHT(__AVX512BITALG__, __AVX512VPOPCNTDQ__, __AVX512IFMA__, __AVX512BF16__, __AVX512FP16__,       \
                       __AVXVNNI__, __GFNI__, __AVX10_1__))
#elif defined(__aarch64__) || defined(__arm__) || defined(_M_ARM64)
#if defined(__ARM_FEATURE_SVE_BITS)
#define XSOFTMAX_VECTOR_BITS __ARM_FEATURE_SVE_BITS
#else
#define XSOFTMAX_VECTOR_BITS 0
#endif
#define XSOFTMAX_INSTRUCTIONS                                                                                       \
    XSOFTMAX_JOIN(                                                                                                  \
        arm_,                                                                                                       \
        XSOFTMAX_EIGHT(__ARM_NEON, __ARM_FEATURE_FMA, __ARM_FEATURE_SVE, __ARM_FEATURE_SVE2, __ARM_FEATURE_DOTPROD, \
                       __ARM_FEATURE_FP16_VECTOR_ARITHMETIC, __ARM_FEATURE_ATOMICS, __ARM_FEATURE_BF16),            \
        _, XSOFTMAX_VECTOR_BITS, , , , )
#elif defined(__riscv_v)
#define XSOFTMAX_INSTRUCTIONS riscv_vector
#else
#define XSOFTMAX_INSTRUCTIONS other
#endif

#if defined(__cpp_exceptions)
#define XSOFTMAX_THROWS 1
#else
#define XSOFTMAX_THROWS 0
#endif

/// What xsoftmax::dispatch defines for those who link it, with no value.
#if defined(XSOFTMAX_DISPATCH)
#define XSOFTMAX_DISPATCHES 1
#else
#define XSOFTMAX_DISPATCHES 0
#endif

#if defined(XSOFTMAX_SCALAR)
#define XSOFTMAX_SCALARS 1
#else
#define XSOFTMAX_SCALARS 0
#endif

#if defined(XSOFTMAX_NO_FORCED_INLINE)
#define XSOFTMAX_CALLS 1
#else
#define XSOFTMAX_CALLS 0
#endif

#define XSOFTMAX_TARGET                                                                                              \
    XSOFTMAX_JOIN(XSOFTMAX_INSTRUCTIONS, _, XSOFTMAX_THROWS, XSOFTMAX_DISPATCHES, XSOFTMAX_CALLS,                    \
                  XSOFTMAX_EIGHT(__FAST_MATH__, __FINITE_MATH_ONLY__, __RECIPROCAL_MATH__, __ASSOCIATIVE_MATH__,     \
                                 __NO_SIGNED_ZEROS__, __NO_TRAPPING_MATH__, __ROUNDING_MATH__, __SANITIZE_THREAD__), \
                  XSOFTMAX_SCALARS, )
