// The exponential of the kernels: the bound of the rows rests on it.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <bit>
#include <cstdio>

namespace {

using namespace xsoftmax::kernels;

template <class T>
using batch = xsimd::batch<T, default_arch>;

template <class T>
constexpr double stored_factor = sizeof(T) == 4 ? 0x1p65 : 0x1p257;

/// A table with residuals leaves little but the last rounding, that of eighths has none; without fused multiply-add there are
/// more roundings.
template <class T>
constexpr double bound = !has_fused_multiply_add<default_arch> ? 1.6
                         : table_size<batch<T>> == 16          ? 0.6
                         : sizeof(T) == 8                      ? 1.0
                                                               : 1.2;

template <class T>
T exponential_at(T x, double temperature = 1)
{
    scale_for<batch<T>> room;
    const auto& scale = scale_for<batch<T>>::make(temperature, room);
    return first_lane(exponential(batch<T>(x), reference<batch<T>>::to_one(scale), scale));
}

}  // namespace

TEST_CASE("a sample of the floats from -0 to -104", "[exp]")
{
    double worst = 0;
    float at = 0;
    for (std::uint32_t bits = 0x80000000; bits < 0xc2d00000; bits += logits::thorough() ? 1021 : 40099) {
        const float x = std::bit_cast<float>(bits);
        const double error =
            oracle::ulp_error(std::exp(static_cast<long double>(x)) * stored_factor<float>, exponential_at(x));
        if (error > worst) {
            worst = error;
            at = x;
        }
    }
    std::printf("exp, float, %s: largest error %.4f ULP at %a\n", architecture_name<default_arch>(), worst,
                static_cast<double>(at));
    CHECK(worst <= bound<float>);
}

TEST_CASE("a sample of the doubles from -0 to -740", "[exp]")
{
    auto random = logits::generator(1);
    std::uniform_real_distribution<double> exponent(-8, std::log10(740));
    double worst = 0;
    for (int i = 0; i < (logits::thorough() ? 1 << 19 : 1 << 14); ++i) {
        const double x = -std::pow(10, exponent(random));
        worst = std::max(
            worst, oracle::ulp_error(std::exp(static_cast<long double>(x)) * stored_factor<double>, exponential_at(x)));
    }
    std::printf("exp, double, %s: largest error %.4f ULP\n", architecture_name<default_arch>(), worst);
    CHECK(worst <= bound<double>);
}

TEMPLATE_TEST_CASE("exponentials far below the reference are exactly 0, of NaN NaN", "[exp]", float, double)
{
    using T = TestType;
    CHECK(exponential_at(T(0)) == static_cast<T>(stored_factor<T>));
    for (const double temperature : {1.0, 0.3, 7.0, 1e-5}) {
        const double floor = (sizeof(T) == 4 ? 133.1 : 887.3) * temperature;
        for (const double times : {1.0, 1.001, 2.0, 1e10, 1e30}) {
            const T y = exponential_at(static_cast<T>(-floor * times), temperature);
            CHECK(y == 0);
            CHECK(!std::signbit(y));
        }
    }
    CHECK(exponential_at(-std::numeric_limits<T>::infinity()) == 0);
    CHECK(exponential_at(std::numeric_limits<T>::lowest()) == 0);
    CHECK(std::isnan(exponential_at(std::numeric_limits<T>::quiet_NaN())));
    CHECK(std::isnan(exponential_at(-std::numeric_limits<T>::quiet_NaN())));
}
