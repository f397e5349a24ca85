#pragma once

/// Primitives that an instruction set has an instruction for, as overloads by register type: a file for each instruction set,
/// and nothing of one in another. batch.hpp takes an overload where there is one, and its own portable form elsewhere.

#include "../compiler.hpp"

#if defined(__SSE2__)
#include "sse2.hpp"
#endif
#if defined(__AVX__)
#include "avx.hpp"
#endif
#if defined(__AVX512F__)
#include "avx512.hpp"
#endif

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {
namespace native {

/// So that names are there to look up where no instruction set is.
struct none {};
void at_least(none);
void load_part(none);
void store_part(none);
void store_past_caches(none);
void look_up(none);
void add(none);
void larger(none);
void reduce_across(none);
void to_doubles(none);
void to_floats(none);
void are_zero(none);
void bits_of(none);
void first(none);
void reduce(none, none);

}  // namespace native
}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
