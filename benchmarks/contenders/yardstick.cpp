/// The yardstick, compiled once for each instruction set and element type: three plain loops over a cheap exponential. It is
/// XNNPACK's way (three passes, x − max reduced by one product, degree 5, sums of floats), and stands for its kernel, which
/// chooses its instruction set itself and cannot be asked for another. XSOFTMAX_BENCHMARK_TYPE names the element type,
/// XSOFTMAX_BENCHMARK_YARDSTICK the function to define.

#include "../peers/plain_loops.hpp"
#include "kernel_table.hpp"

#include <xsimd/xsimd.hpp>
#include <xsoftmax/kernels/lanes/batch.hpp>

#include <cstddef>

namespace benchmarks {

const kernel_table& XSOFTMAX_BENCHMARK_YARDSTICK();

namespace {

using element = XSOFTMAX_BENCHMARK_TYPE;
using batch = xsimd::batch<element>;
constexpr bool is_float = sizeof(element) == 4;

/// exp(x) = 2^n·(1 + r·q(r)) for x ≤ 88 (709), with n = x/ln 2 rounded and r = x − n·ln 2.
struct cheap_exp {
    batch operator()(const batch& x) const
    {
        // Below it the exponent would leave its bits; at it they are all 0, and so is the result.
        const batch raised = xsimd::max(batch(element(is_float ? -88 : -709)), x);
        const batch rounded = xsimd::fma(raised, batch(element(0x1.71547652b82fep+0)), batch(magic));
        const batch n = rounded - batch(magic);
        const batch power = xsoftmax::kernels::shift_bits_left<fraction_bits>(rounded);
        const batch r = xsimd::fma(n, batch(element(-0x1.62e42fefa39efp-1)), raised);
        if constexpr (is_float)
            return xsimd::fma(power * r, horner(r, of_float), power);
        else
            return xsimd::fma(power * r, horner(r, of_double), power);
    }

private:
    static constexpr int fraction_bits = is_float ? 23 : 52;
    /// Sums with it have n and the exponent's bias in their low bits; a shift by the bits of the fraction leaves 2^n.
    static constexpr element magic = is_float ? element(0x1.8p23) + 127 : element(0x1.8p52) + 1023;

    // q from the highest power down: minimax in the relative error of 1 + r·q(r), which is 9.3e-8 and 3.5e-18, each
    // coefficient rounded by itself. In tests/, with 5 and with 11 for the degree,
    //     python3 -c "from exp2_coefficients import *
    //     print([float(c / LN2**k) for k, c in enumerate(fit(5, 1, (Decimal(0),)))])"
    static constexpr float of_float[] = {0x1.0fa6c6p-7f, 0x1.573c42p-5f, 0x1.555a76p-3f, 0x1.fffdcp-2f, 0x1.fffff6p-1f};
    static constexpr double of_double[] = {0x1.ad586a7ee1656p-26,
                                           0x1.28b06ac494f3ap-22,
                                           0x1.71df4af53079bp-19,
                                           0x1.a019967dc5b5ep-16,
                                           0x1.a01a011013878p-13,
                                           0x1.6c16c185aa4a6p-10,
                                           0x1.111111113001ap-7,
                                           0x1.5555555550034p-5,
                                           0x1.55555555554bp-3,
                                           0x1.000000000000bp-1,
                                           1.0};

    template <class T, std::size_t Count>
    static batch horner(const batch& r, const T (&coefficients)[Count])
    {
        batch q(static_cast<element>(coefficients[0]));
        for (std::size_t k = 1; k < Count; ++k) q = xsimd::fma(q, r, batch(static_cast<element>(coefficients[k])));
        return q;
    }
};

constexpr kernel_table functions()
{
    kernel_table table{};
    for (std::size_t o = 0; o < operation_count; ++o)
        table.row[o] = table.rows[o] = plain_loops<cheap_exp, element>::of(static_cast<operation>(o));
    return table;
}

constinit kernel_table table = functions();

}  // namespace

const kernel_table& XSOFTMAX_BENCHMARK_YARDSTICK() { return table; }

}  // namespace benchmarks
