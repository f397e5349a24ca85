#pragma once

/// Batches of 16 bytes in plain C++, for processors of which xsimd knows no vectors, or none of double: RISC-V in most
/// versions of it, ARM of 32 bits, or a compiler that was told to use none. They are xsimd's batches, with what the kernels use
/// of them, for an architecture of our own; compilers may still make vectors of them.
///
/// XSOFTMAX_SCALAR takes them everywhere, for tests.

#include "../compiler.hpp"

#include <xsimd/xsimd.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

// All of xsimd that the kernels name, for where <xsimd/xsimd.hpp> has none of it.
#if defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
#include <xsimd/types/xsimd_all_registers.hpp>

namespace xsimd {

template <class T, class A>
class batch;
template <class T, class A>
class batch_bool;

template <class B>
B(max)
(const B&, const B&);
template <class B>
B abs(const B&);
template <class B>
B fma(const B&, const B&, const B&);
template <class M, class B>
B select(const M&, const B&, const B&);
template <class To, class B>
To bitwise_cast(const B&);
template <class B>
typename B::value_type reduce_max(const B&);
template <class M>
bool all(const M&);
template <class M>
bool any(const M&);

}  // namespace xsimd
#endif

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

struct scalar {
    static constexpr const char* name() { return "scalar"; }
    static constexpr std::size_t bytes = 16;
};

#if defined(XSOFTMAX_SCALAR) || defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
using default_arch = scalar;
#else
// The NEON of 32 bits has no vectors of double.
using default_arch = std::conditional_t<std::is_same_v<xsimd::default_arch, xsimd::neon>, scalar, xsimd::default_arch>;
#endif

template <class Arch>
inline constexpr bool is_scalar = std::is_same_v<Arch, scalar>;

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels

namespace xsimd {

template <class T>
class batch_bool<T, xsoftmax::kernels::scalar> {
public:
    using value_type = T;
    using arch_type = xsoftmax::kernels::scalar;
    static constexpr std::size_t size = arch_type::bytes / sizeof(T);

    bool lane[size];

    XSOFTMAX_INLINE friend batch_bool operator|(const batch_bool& a, const batch_bool& b)
    {
        batch_bool result;
        for (std::size_t k = 0; k < size; ++k) result.lane[k] = a.lane[k] || b.lane[k];
        return result;
    }
    XSOFTMAX_INLINE batch_bool operator!() const
    {
        batch_bool result;
        for (std::size_t k = 0; k < size; ++k) result.lane[k] = !lane[k];
        return result;
    }
};

template <class T>
class batch<T, xsoftmax::kernels::scalar> {
public:
    using value_type = T;
    using arch_type = xsoftmax::kernels::scalar;
    using batch_bool_type = batch_bool<T, arch_type>;
    using register_type = batch;
    static constexpr std::size_t size = arch_type::bytes / sizeof(T);

    alignas(arch_type::bytes) T lane[size];

    batch() = default;
    XSOFTMAX_INLINE explicit batch(T value)
    {
        for (T& x : lane) x = value;
    }

    XSOFTMAX_INLINE static batch load_unaligned(const T* from)
    {
        return of([from](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return from[k]; });
    }
    XSOFTMAX_INLINE static batch load_aligned(const T* from) { return load_unaligned(from); }

    XSOFTMAX_INLINE void store_unaligned(T* to) const
    {
        for (std::size_t k = 0; k < size; ++k) to[k] = lane[k];
    }
    XSOFTMAX_INLINE void store_aligned(T* to) const { store_unaligned(to); }

    /// Lane k is value(k).
    template <class Value>
    XSOFTMAX_INLINE static batch of(const Value& value)
    {
        batch result;
        for (std::size_t k = 0; k < size; ++k) result.lane[k] = value(k);
        return result;
    }

    template <class Holds>
    XSOFTMAX_INLINE static batch_bool_type where(const Holds& holds)
    {
        batch_bool_type result;
        for (std::size_t k = 0; k < size; ++k) result.lane[k] = holds(k);
        return result;
    }

#define XSOFTMAX_LANE_BY_LANE(operation)                                                                   \
    XSOFTMAX_INLINE friend batch operator operation(const batch& a, const batch& b)                        \
    {                                                                                                      \
        return of([&](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return T(a.lane[k] operation b.lane[k]); }); \
    }
#define XSOFTMAX_COMPARED_LANE_BY_LANE(operation)                                                          \
    XSOFTMAX_INLINE friend batch_bool_type operator operation(const batch& a, const batch& b)              \
    {                                                                                                      \
        return where([&](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return a.lane[k] operation b.lane[k]; }); \
    }
    XSOFTMAX_LANE_BY_LANE(+)
    XSOFTMAX_LANE_BY_LANE(-)
    XSOFTMAX_LANE_BY_LANE(*)
    XSOFTMAX_LANE_BY_LANE(/)
    XSOFTMAX_LANE_BY_LANE(&)
    XSOFTMAX_COMPARED_LANE_BY_LANE(==)
    XSOFTMAX_COMPARED_LANE_BY_LANE(<)
    XSOFTMAX_COMPARED_LANE_BY_LANE(>)
    XSOFTMAX_COMPARED_LANE_BY_LANE(<=)
    XSOFTMAX_COMPARED_LANE_BY_LANE(>=)
#undef XSOFTMAX_LANE_BY_LANE
#undef XSOFTMAX_COMPARED_LANE_BY_LANE

    XSOFTMAX_INLINE friend batch operator<<(const batch& a, int bits)
    {
        return of([&](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return T(a.lane[k] << bits); });
    }
    XSOFTMAX_INLINE friend batch operator>>(const batch& a, int bits)
    {
        return of([&](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return T(a.lane[k] >> bits); });
    }
    XSOFTMAX_INLINE batch operator~() const
    {
        return of([this](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return T(~lane[k]); });
    }
    XSOFTMAX_INLINE batch operator-() const
    {
        return of([this](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return T(-lane[k]); });
    }
};

}  // namespace xsimd
