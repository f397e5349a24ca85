#pragma once

/// What the compiler may use, and in which mode it compiles, as the name of an inline namespace.
///
/// One program may hold translation units that were compiled with different options, each of which includes this library.
/// Under one name the linker would keep one copy of a function for all of them: AVX-512 where the processor has none, or
/// code that was told that there are no NaNs. So all that has code is in the namespace XSOFTMAX_TARGET: two units share it
/// only where they were compiled alike. Outside are types that programs pass around (options, views, masks) and plain data
/// that passes between the library's parts; what these have of functions is forced inline.
///
/// The name holds the extensions that compilers use by themselves, not those that are there for intrinsics alone (AES, CRC32,
/// AMX).

/// 1 where a macro is defined as 1, or as version 1.0, and 0 where it is not defined.
#define XSOFTMAX_IS_ONE(macro) XSOFTMAX_IS_ONE_EXPANDED(macro)
#define XSOFTMAX_IS_ONE_EXPANDED(value) XSOFTMAX_SECOND_OF(XSOFTMAX_BEFORE_##value, 0, ~)
#define XSOFTMAX_BEFORE_1 ~, 1
#define XSOFTMAX_BEFORE_1000000 ~, 1  // version 1.0 of an extension of RISC-V
#define XSOFTMAX_SECOND_OF(...) XSOFTMAX_SECOND(__VA_ARGS__)
#define XSOFTMAX_SECOND(first, second, ...) second

#define XSOFTMAX_JOIN_EXPANDED(a, b, c, d, e, f, g, h) a##b##c##d##e##f##g##h
#define XSOFTMAX_JOIN(a, b, c, d, e, f, g, h) XSOFTMAX_JOIN_EXPANDED(a, b, c, d, e, f, g, h)

#define XSOFTMAX_EIGHT(a, b, c, d, e, f, g, h)                                                                        \
    XSOFTMAX_JOIN(XSOFTMAX_IS_ONE(a), XSOFTMAX_IS_ONE(b), XSOFTMAX_IS_ONE(c), XSOFTMAX_IS_ONE(d), XSOFTMAX_IS_ONE(e), \
                  XSOFTMAX_IS_ONE(f), XSOFTMAX_IS_ONE(g), XSOFTMAX_IS_ONE(h))

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#define XSOFTMAX_INSTRUCTIONS                                                                                        \
    XSOFTMAX_JOIN(                                                                                                   \
        XSOFTMAX_JOIN(                                                                                               \
            x86_, XSOFTMAX_EIGHT(__SSE2__, __SSE3__, __SSSE3__, __SSE4_1__, __SSE4_2__, __AVX__, __FMA__, __AVX2__), \
            _, XSOFTMAX_EIGHT(__POPCNT__, __LZCNT__, __BMI__, __BMI2__, __F16C__, __MOVBE__, __FMA4__, __XOP__), _,  \
            XSOFTMAX_EIGHT(__AVX512F__, __AVX512CD__, __AVX512DQ__, __AVX512BW__, __AVX512VL__, __AVX512VBMI__,      \
                           __AVX512VBMI2__, __AVX512VNNI__),                                                         \
            _,                                                                                                       \
            XSOFTMAX_EIGHT(__AVX512BITALG__, __AVX512VPOPCNTDQ__, __AVX512IFMA__, __AVX512BF16__, __AVX512FP16__,    \
                           __AVXVNNI__, __GFNI__, __AVX10_1__)),                                                     \
        _,                                                                                                           \
        XSOFTMAX_EIGHT(__AVX10_1_512__, __AVX10_2__, __AVX10_2_512__, __EVEX512__, __APX_F__, __AVX512ER__,          \
                       __AVXIFMA__, __AVXNECONVERT__),                                                               \
        _,                                                                                                           \
        XSOFTMAX_EIGHT(__AVXVNNIINT8__, __AVXVNNIINT16__, __SSE4A__, __TBM__, __PRFCHW__, __SSE__, __SSE_MATH__,     \
                       __SSE2_MATH__),                                                                               \
        , , )
#elif defined(__aarch64__) || defined(__arm__) || defined(_M_ARM64)
#if defined(__ARM_FEATURE_SVE_BITS)
#define XSOFTMAX_VECTOR_BITS __ARM_FEATURE_SVE_BITS
#else
#define XSOFTMAX_VECTOR_BITS 0
#endif
#if defined(__ARM_ARCH)
#define XSOFTMAX_ARM_VERSION __ARM_ARCH
#else
#define XSOFTMAX_ARM_VERSION 0
#endif
#if defined(__ARM_FEATURE_RCPC)
#define XSOFTMAX_ACQUIRES __ARM_FEATURE_RCPC  // 1 to 3
#else
#define XSOFTMAX_ACQUIRES 0
#endif
#define XSOFTMAX_INSTRUCTIONS                                                                                         \
    XSOFTMAX_JOIN(                                                                                                    \
        XSOFTMAX_JOIN(                                                                                                \
            arm, XSOFTMAX_ARM_VERSION, _,                                                                             \
            XSOFTMAX_EIGHT(__ARM_NEON, __ARM_FEATURE_FMA, __ARM_FEATURE_SVE, __ARM_FEATURE_SVE2,                      \
                           __ARM_FEATURE_DOTPROD, __ARM_FEATURE_FP16_VECTOR_ARITHMETIC, __ARM_FEATURE_ATOMICS,        \
                           __ARM_FEATURE_BF16_VECTOR_ARITHMETIC),                                                     \
            _,                                                                                                        \
            XSOFTMAX_EIGHT(__ARM_FEATURE_COMPLEX, __ARM_FEATURE_FRINT, __ARM_FEATURE_MATMUL_INT8, __ARM_FEATURE_SHA3, \
                           __ARM_FEATURE_SVE2p1, __ARM_FEATURE_MOPS, __ARM_FEATURE_CSSC, __ARM_FEATURE_FAMINMAX),     \
            _, XSOFTMAX_VECTOR_BITS),                                                                                 \
        _,                                                                                                            \
        XSOFTMAX_EIGHT(__ARM_FEATURE_QRDMX, __ARM_FEATURE_UNALIGNED, __ARM_FEATURE_DSP, __ARM_FEATURE_IDIV,           \
                       __ARM_FEATURE_NUMERIC_MAXMIN, __ARM_FEATURE_DIRECTED_ROUNDING, __thumb__, __thumb2__),         \
        _, XSOFTMAX_ACQUIRES, , , )
#elif defined(__riscv)
#if defined(__riscv_v_min_vlen)
#define XSOFTMAX_VECTOR_BITS __riscv_v_min_vlen
#else
#define XSOFTMAX_VECTOR_BITS 0
#endif
#define XSOFTMAX_INSTRUCTIONS                                                                                       \
    XSOFTMAX_JOIN(riscv_,                                                                                           \
                  XSOFTMAX_EIGHT(__riscv_vector, __riscv_compressed, __riscv_mul, __riscv_atomic, __riscv_fdiv,     \
                                 __riscv_zba, __riscv_zbb, __riscv_zbs),                                            \
                  _,                                                                                                \
                  XSOFTMAX_EIGHT(__riscv_zbkb, __riscv_zfh, __riscv_zfa, __riscv_zicond, __riscv_zcb, __riscv_zcmp, \
                                 __riscv_zvfh, __riscv_zvbb),                                                       \
                  _, XSOFTMAX_VECTOR_BITS, , )
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
#define XSOFTMAX_OUTLINED 1
#else
#define XSOFTMAX_OUTLINED 0
#endif

#define XSOFTMAX_TARGET                                                                                              \
    XSOFTMAX_JOIN(XSOFTMAX_INSTRUCTIONS, _, XSOFTMAX_THROWS, XSOFTMAX_DISPATCHES, XSOFTMAX_OUTLINED,                 \
                  XSOFTMAX_EIGHT(__FAST_MATH__, __FINITE_MATH_ONLY__, __RECIPROCAL_MATH__, __ASSOCIATIVE_MATH__,     \
                                 __NO_SIGNED_ZEROS__, __NO_TRAPPING_MATH__, __ROUNDING_MATH__, __SANITIZE_THREAD__), \
                  XSOFTMAX_SCALARS, )
