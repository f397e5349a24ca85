// The exponential of the kernels, over every float it can meet: the bound of the rows rests on it.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <bit>
#include <cstdio>
#include <numbers>
#include <thread>

namespace {

using namespace xsoftmax::kernels;

template <class T>
using batch = xsimd::batch<T, default_arch>;

/// A table of 16 leaves little but the last rounding, one of 4 is for doubles. Without fused multiply-add there are more
/// roundings.
template <class T>
constexpr double bound = exp2_steps<batch<T>> == 16             ? 0.6
                         : exp2_steps<batch<T>> == 4            ? 0.9
                         : has_fused_multiply_add<default_arch> ? 1.0
                                                                : 1.6;

/// Before the last rounding. The short argument of a table loses less.
template <class T>
constexpr double precise_bound = !has_fused_multiply_add<default_arch>         ? 0.6
                                 : sizeof(T) == 4 && exp2_steps<batch<T>> != 1 ? 0.1
                                                                               : 0.4;

/// near_maximum at temperature 1, and the scale that it refers to.
template <class T>
struct relative_to {
    scale_for<batch<T>> scale = scale_for<batch<T>>::make(1, 1);
    near_maximum<batch<T>> maximum;

    explicit relative_to(T value) : maximum(value, scale) {}
    relative_to(const relative_to&) = delete;
    relative_to& operator=(const relative_to&) = delete;
    ~relative_to() = default;

    batch<T> exponential(batch<T> x) const { return maximum.exponential(x); }
    batch<T> exponential_of_parts(batch<T> x) const
    {
        return maximum.exponential(x, maximum.relative(exponential_parts<batch<T>>::of(x, scale)));
    }
};

struct worst_error {
    double error = 0;
    float at = 0;
};

/// Largest error of the exponential over the floats with bits first, first + step, … below last. The oracle is the C
/// library's exp in double, good to 1 ULP of double, which is 2^-29 of what is measured.
worst_error sweep(std::uint32_t first, std::uint32_t last, std::uint32_t step)
{
    using floats = batch<float>;
    const relative_to reference(0.0f);
    worst_error worst;
    alignas(64) float x[floats::size];
    alignas(64) float y[floats::size];
    for (std::uint64_t bits = first; bits < last; bits += std::uint64_t{step} * floats::size) {
        for (std::size_t k = 0; k < floats::size; ++k)
            x[k] = std::bit_cast<float>(static_cast<std::uint32_t>(std::min<std::uint64_t>(bits + k * step, last - 1)));
        reference.exponential(floats::load_aligned(x)).store_aligned(y);
        for (std::size_t k = 0; k < floats::size; ++k) {
            if (x[k] < exp_constants<float>::cutoff) continue;
            const double expected = std::exp(static_cast<double>(x[k])) * exp_constants<float>::stored_factor;
            // All results are normal: one ULP is 2^-23 of the power of two below.
            const auto binade = std::bit_cast<std::uint64_t>(expected) & 0x7ff0000000000000;
            const double error = std::abs(y[k] - expected) / (std::bit_cast<double>(binade) * 0x1p-23);
            if (!(error <= worst.error)) worst = {error, x[k]};
        }
    }
    return worst;
}

constexpr std::uint32_t minus_zero = 0x80000000;
constexpr std::uint32_t beyond_cutoff = 0xc3010000;  // −129

template <class T>
T exponential(T x)
{
    return first_lane(relative_to(T(0)).exponential(batch<T>(x)));
}

}  // namespace

TEST_CASE("a sample of the floats from -0 to the cutoff", "[exp]")
{
    constexpr std::uint32_t step = logits::emulated ? 4099 : 257;
    const worst_error worst = sweep(minus_zero, beyond_cutoff, step);
    std::printf("exp, float, every %u., %s: largest error %.4f ULP at %a\n", step, architecture_name<default_arch>(),
                worst.error, static_cast<double>(worst.at));
    CHECK(worst.error <= bound<float>);
}

TEST_CASE("every float around each power of two", "[exp]")
{
    for (std::uint32_t binade = minus_zero + (1u << 23); binade < beyond_cutoff; binade += 1u << 23) {
        const worst_error worst = sweep(binade - 200, binade + 200, 1);
        INFO("at " << worst.at);
        CHECK(worst.error <= bound<float>);
    }
}

TEST_CASE("every float from -0 to the cutoff", "[exp][.slow]")
{
    const std::uint32_t count = std::max(1U, std::thread::hardware_concurrency());
    std::vector<worst_error> worst(count);
    std::vector<std::thread> threads;
    for (std::uint32_t k = 0; k < count; ++k) {
        const auto begin = [&](std::uint64_t part) {
            return static_cast<std::uint32_t>(minus_zero + (beyond_cutoff - minus_zero) * part / count);
        };
        threads.emplace_back([&worst, k, from = begin(k), to = begin(k + 1)] { worst[k] = sweep(from, to, 1); });
    }
    for (std::thread& thread : threads) thread.join();
    const worst_error largest =
        *std::max_element(worst.begin(), worst.end(), [](auto a, auto b) { return a.error < b.error; });
    std::printf("exp, float, all %u of them, %s: largest error %.4f ULP at %a\n", beyond_cutoff - minus_zero,
                architecture_name<default_arch>(), largest.error, static_cast<double>(largest.at));
    CHECK(largest.error <= bound<float>);
}

TEST_CASE("a sample of the doubles from -0 to the cutoff", "[exp]")
{
    using doubles = batch<double>;
    const relative_to reference(0.0);
    auto random = logits::generator(1);
    std::uniform_real_distribution<double> exponent(-8, std::log10(-exp_constants<double>::cutoff));
    double worst = 0;
    double worst_at = 0;
    for (int i = 0; i < (logits::emulated ? 1 << 16 : 1 << 20); ++i) {
        const double x = -std::pow(10, exponent(random));
        const double y = first_lane(reference.exponential(doubles(x)));
        const double error =
            oracle::ulp_error(std::exp(static_cast<long double>(x)) * exp_constants<double>::stored_factor, y);
        if (error > worst) {
            worst = error;
            worst_at = x;
        }
    }
    std::printf("exp, double, 2^20 at random, %s: largest error %.4f ULP at %a\n", architecture_name<default_arch>(),
                worst, worst_at);
    INFO("seed " << logits::seed() << ", at " << worst_at);
    CHECK(worst <= bound<double>);
}

TEMPLATE_TEST_CASE("special values", "[exp]", float, double)
{
    using T = TestType;
    using constants = exp_constants<T>;
    CHECK(exponential(T(0)) == constants::stored_factor);
    CHECK(exponential(T(-0.0)) == constants::stored_factor);
    CHECK(exponential(-std::numeric_limits<T>::denorm_min()) == constants::stored_factor);
    CHECK(exponential(std::nextafter(constants::cutoff, T(-1e9))) == 0);
    CHECK(exponential(constants::cutoff) > 0);
    CHECK(exponential(T(-1e9)) == 0);
    CHECK(exponential(std::numeric_limits<T>::lowest()) == 0);
    CHECK(exponential(-std::numeric_limits<T>::infinity()) == 0);
    CHECK(!std::signbit(exponential(-std::numeric_limits<T>::infinity())));
}

TEST_CASE("NaN stays NaN, whatever its bits", "[exp]")
{
    for (const std::uint32_t bits :
         {0x7fc00000U, 0xffc00000U, 0x7fc00001U, 0x7fc001ffU, 0xffc00123U, 0x7f800001U, 0x7fffffffU, 0xffffffffU}) {
        const float nan = std::bit_cast<float>(bits);
        INFO("bits " << bits);
        CHECK(std::isnan(exponential(nan)));
        CHECK(std::isnan(exponential(static_cast<double>(nan))));
        const auto far_scale = scale_for<batch<float>>::make(1, 0.25);
        const far_maximum<batch<float>> far(1e30f, far_scale);
        CHECK(std::isnan(first_lane(far.exponential(batch<float>(nan)))));
        CHECK(std::isnan(first_lane(relative_to(0.0f).exponential_of_parts(batch<float>(nan)))));
    }
}

TEMPLATE_TEST_CASE("the maximum's exponential does not depend on the way it is computed", "[exp]", float, double)
{
    using T = TestType;
    auto random = logits::generator(2);
    std::uniform_real_distribution<double> exponent(-29, 29);
    std::uniform_real_distribution<double> ratio(-350, 350);
    for (int i = 0; i < 1000; ++i) {
        const double temperature = std::exp2(exponent(random));
        const T maximum = static_cast<T>(ratio(random) * temperature);
        INFO("seed " << logits::seed() << ", temperature " << temperature << ", maximum " << maximum);
        const auto scale = scale_for<batch<T>>::make(temperature, 1);
        const near_maximum<batch<T>> near(maximum, scale);
        const batch<T> x(maximum);
        const T own = first_lane(near.exponential(x));
        CHECK(first_lane(near.exponential(x, near.relative(exponential_parts<batch<T>>::of(x, scale)))) == own);
        const extended precise_parts = to_extended(near.precise_exponential(maximum));
        const long double precise = static_cast<long double>(precise_parts.high) + precise_parts.low;
        CHECK(oracle::ulp_error(precise, own) <= bound<T>);
        // What it lacks is a power of two.
        constexpr long double log_of_2 = std::numbers::ln2_v<long double>, epsilon = std::numeric_limits<T>::epsilon();
        const long double power = std::log2(precise) - maximum / static_cast<long double>(temperature) / log_of_2;
        CHECK(std::abs(power - std::rint(power)) * log_of_2 <= precise_bound<T> * epsilon);
        CHECK(near.rough_exponential(maximum) > own / T(1.5));
        CHECK(near.rough_exponential(maximum) < own * T(1.5));
        // Relative to a far maximum it is 1 itself.
        const auto far_scale = scale_for<batch<T>>::make(temperature, 0.25);
        const far_maximum<batch<T>> far(maximum, far_scale);
        CHECK(first_lane(far.exponential(x)) == exp_constants<T>::stored_factor);
        CHECK(to_double(far.precise_exponential(maximum)) == static_cast<double>(exp_constants<T>::stored_factor));
    }
}

TEST_CASE("every float below the cutoff is exactly 0", "[exp]")
{
    constexpr std::uint32_t minus_infinity = 0xff800000;
    std::size_t wrong = 0;
    for (std::uint32_t bits = beyond_cutoff; bits < minus_infinity; bits += 4099)
        if (std::bit_cast<std::uint32_t>(exponential(std::bit_cast<float>(bits))) != 0) ++wrong;
    CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("exponentials relative to any maximum, at any temperature", "[exp]", float, double)
{
    using T = TestType;
    using constants = exp_constants<T>;
    const bool is_float = sizeof(T) == 4;
    auto random = logits::generator(3);
    std::uniform_real_distribution<double> unit(0, 1);
    double worst_near = 0, worst_parts = 0, worst_far = 0;
    const auto sample = [&](T maximum, double temperature) {
        const auto near_scale = scale_for<batch<T>>::make(temperature, 1);
        const auto far_scale = scale_for<batch<T>>::make(temperature, 0.25);
        const bool is_near = near_scale.is_near(maximum);
        const near_maximum<batch<T>> near(maximum, near_scale);
        const far_maximum<batch<T>> far(maximum, far_scale);
        // x/T − n·ln 2, with x/T in twice a long double's digits and ln 2 in 107 bits, since both may be in the thousands.
        const auto over_temperature = [&](long double x, long double n) {
            const long double quotient = x / temperature;
            const long double rest = std::fma(-quotient, static_cast<long double>(temperature), x) / temperature;
            return std::fma(-n, static_cast<long double>(ln_2.high), quotient) + (rest - n * ln_2.low);
        };
        // exp(x/T)/2^n, its argument reduced first: rounding one near −800 would cost 0.2 ULP.
        const auto exponential_over = [&](long double x, long double n) {
            const long double k = std::round(over_temperature(x, n) / ln_2.high);
            return std::ldexp(std::exp(over_temperature(x, n + k)), static_cast<int>(k)) * constants::stored_factor;
        };
        // The near form is relative to the power of two 2^n nearest the maximum's exponential.
        const long double own = std::log(static_cast<long double>(first_lane(near.exponential(batch<T>(maximum)))) /
                                         constants::stored_factor);
        const long double n = is_near ? std::round((over_temperature(maximum, 0) - own) / ln_2.high) : 0;
        for (int k = 0; k < 200; ++k) {
            const double reach = k % 2 == 0 ? 20 : -constants::cutoff;
            const double distance = k < 20 ? std::exp2(-k * 2.5) : unit(random) * reach;
            const auto x = static_cast<T>(static_cast<double>(maximum) - distance * temperature);
            const long double d = (static_cast<long double>(x) - maximum) / temperature;
            if (!(x <= maximum) || d < constants::cutoff * 0.9999L) continue;
            INFO("seed " << logits::seed() << ", temperature " << temperature << ", maximum " << maximum << ", x "
                         << x);
            if (is_near) {
                const long double expected = exponential_over(x, n);
                const batch<T> v(x);
                const double error = oracle::ulp_error(expected, first_lane(near.exponential(v)));
                const double parts = oracle::ulp_error(
                    expected,
                    first_lane(near.exponential(v, near.relative(exponential_parts<batch<T>>::of(v, near_scale)))));
                if (error > bound<T> || parts > bound<T>) CHECK(std::max(error, parts) <= bound<T>);
                worst_near = std::max(worst_near, error);
                worst_parts = std::max(worst_parts, parts);
            }
            // x − maximum is exact for x between maximum/2 and 2·maximum.
            const T a = std::abs(x), b = std::abs(maximum);
            if (x * maximum > 0 && a <= 2 * b && b <= 2 * a) {
                const double error = oracle::ulp_error(exponential_over(static_cast<long double>(x) - maximum, 0),
                                                       first_lane(far.exponential(batch<T>(x))));
                if (error > bound<T>) CHECK(error <= bound<T>);
                worst_far = std::max(worst_far, error);
            }
        }
        const T beyond = static_cast<T>(static_cast<double>(maximum) + 1.001 * constants::cutoff * temperature);
        if (is_near && beyond < maximum) CHECK(first_lane(near.exponential(batch<T>(beyond))) == 0);
        if (beyond < maximum) CHECK(first_lane(far.exponential(batch<T>(beyond))) == 0);
    };
    for (int i = 0; i < 1000; ++i) {
        const double temperature = i % 4 == 0 ? 1 : std::exp2((unit(random) - 0.5) * (is_float ? 60 : 800));
        sample(static_cast<T>((unit(random) - 0.5) * (is_float ? 700 : 5600) * temperature), temperature);
        sample(static_cast<T>((unit(random) - 0.5) * (is_float ? 1e5 : 1e7) * temperature), temperature);
    }
    for (const double maximum : {1e4, -1e4, 1e30, -1e30, 3e38, -3e38, 512.0, -512.0, 4096.0, -4096.0})
        sample(static_cast<T>(maximum), 1);
    std::printf("exp, %s, %s: largest error near %.4f, from parts %.4f, far %.4f ULP\n", is_float ? "float" : "double",
                architecture_name<default_arch>(), worst_near, worst_parts, worst_far);
    CHECK(std::max({worst_near, worst_parts, worst_far}) <= bound<T>);
}

TEMPLATE_TEST_CASE("tables are looked up as from memory", "[exp]", float, double)
{
    using T = TestType;
    using B = batch<T>;
    constexpr std::size_t size = table_size<B> == 0 ? 16 : table_size<B>;
    alignas(64) T table[size];
    for (std::size_t k = 0; k < size; ++k) table[k] = static_cast<T>(k * k);
    for (int first = -40; first < 40; ++first) {
        alignas(B) T index[B::size];
        alignas(B) T found[B::size];
        // Integers in the low bits, as rounding leaves them there.
        for (std::size_t k = 0; k < B::size; ++k)
            index[k] = exp_constants<T>::round_to_integer + static_cast<T>(first + static_cast<int>(k));
        look_up<B>(table, B::load_aligned(index)).store_aligned(found);
        for (std::size_t k = 0; k < B::size; ++k) {
            const auto entry = static_cast<std::size_t>(first + static_cast<int>(k)) % size;
            CHECK(found[k] == table[entry]);
        }
    }
}

TEMPLATE_TEST_CASE("around every power of two and every change of the rounded exponent", "[exp]", float, double)
{
    using T = TestType;
    using constants = exp_constants<T>;
    double worst = 0;
    T worst_at = 0;
    const auto around = [&](T x, int reach) {
        for (int k = 0; k < reach; ++k) x = std::nextafter(x, T(0));
        for (int k = -reach; k <= reach; ++k, x = std::nextafter(x, std::numeric_limits<T>::lowest())) {
            if (x < constants::cutoff || x > 0) continue;
            const long double expected = std::exp(static_cast<long double>(x)) * constants::stored_factor;
            const batch<T> v(x);
            const double error =
                std::max(oracle::ulp_error(expected, exponential(x)),
                         oracle::ulp_error(expected, first_lane(relative_to(T(0)).exponential_of_parts(v))));
            if (error > worst) {
                worst = error;
                worst_at = x;
            }
        }
    };
    for (int e = -60; e <= 9; ++e) around(-std::ldexp(T(1), e), 100);
    for (int half = 1; half < 2 * 1270; ++half)
        around(static_cast<T>(-half * std::numbers::ln2_v<long double> / 2), 20);
    INFO("at " << worst_at);
    CHECK(worst <= bound<T>);
}
