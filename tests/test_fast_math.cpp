// With -ffast-math finite rows keep their bounds, but for softmax without fused multiply-add, and −inf masks what it masks
// elsewhere. A NaN is not promised to be found.
#include "backward_oracle.hpp"
#include "bounds.hpp"
#include "catch.hpp"
#include "fast_math.hpp"
#include "logits.hpp"
#include "oracle.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <limits>

namespace {

/// Without fused multiply-add compilers take more from it than from others.
const double softmax_bound = xsoftmax::kernels::has_fused_multiply_add<xsoftmax::kernels::default_arch> ? 4 : 5;

}  // namespace

TEMPLATE_TEST_CASE("-ffast-math keeps the error of finite rows", "[fast_math]", float, double)
{
    using T = TestType;
    std::uint64_t count = 0;
    for (const std::size_t n : {1u, 2u, 7u, 16u, 40u, 100u, 128u, 129u, 300u, 511u, 512u, 1000u, 4099u, 30000u})
        for (const double winner : {0.0, 25.0, 60.0})
            for (const auto& [offset, temperature] :
                 {std::pair(0.0, 1.0), std::pair(100.0, 1.0), std::pair(-400.0, 1.0), std::pair(1e4, 1.0),
                  std::pair(0.0, 0.7), std::pair(50.0, 3.0), std::pair(1e4, 3.0), std::pair(0.0, 1e-3)}) {
                if (logits::is_left_out(count++)) continue;
                std::vector<T> x = logits::normal<T>(n, 2 * temperature, n, offset);
                if (winner != 0) x[n / 2] = static_cast<T>(offset + winner * temperature);
                INFO(n << " elements, one at " << winner << ", offset " << offset << ", temperature " << temperature
                       << ", seed " << logits::seed());
                const oracle::row<T> exact(x, temperature);
                const auto got = with_fast_math(x, n / 2, temperature);
                double softmax = 0, log_softmax = 0;
                for (std::size_t i = 0; i < n; ++i) {
                    softmax = std::max(softmax, oracle::ulp_error(exact.softmax(i), got.softmax[i]));
                    log_softmax = std::max(log_softmax, oracle::ulp_error(exact.log_softmax(i), got.log_softmax[i]));
                }
                CHECK(softmax <= softmax_bound);
                CHECK(log_softmax <= error_bound);
                CHECK(oracle::ulp_error(-exact.log_softmax(n / 2), got.loss) <= error_bound);
            }
}

TEMPLATE_TEST_CASE("-ffast-math keeps -inf a mask", "[fast_math]", float, double)
{
    using T = TestType;
    constexpr T infinity = std::numeric_limits<T>::infinity();
    for (const auto& [n, temperature] : {std::pair<std::size_t, double>{3, 1},
                                         {3, 0.25},
                                         {16, 3},
                                         {16, 1},
                                         {100, 1},
                                         {100, 0.25},
                                         {129, 3},
                                         {600, 1},
                                         {1000, 1},
                                         {1000, 0.25}}) {
        std::vector<T> x = logits::normal<T>(n, 2, n), kept;
        for (std::size_t i = 0; i < n; ++i)
            if (i % 3 == 1)
                x[i] = -infinity;
            else
                kept.push_back(x[i]);
        const oracle::row<T> exact(kept, temperature);
        const auto got = with_fast_math(x, 0, temperature);
        for (std::size_t i = 0, k = 0; i < n; ++i)
            if (i % 3 == 1) {
                CHECK(got.softmax[i] == 0);
                CHECK(got.log_softmax[i] < -std::numeric_limits<T>::max());
                CHECK(got.gradient[i] == 0);
            }
            else
                CHECK(oracle::ulp_error(exact.softmax(k++), got.softmax[i]) <= softmax_bound);
    }
}

TEMPLATE_TEST_CASE("-ffast-math smooths over what a mask keeps", "[fast_math]", float, double)
{
    using T = TestType;
    const std::vector<T> x{1, 2, 0};
    std::vector<T> gradient(3);
    const T loss = masked_loss_with_fast_math(x, {1, 0, 1}, 0, 0.1, gradient);
    const std::vector<T> kept{1, 0}, targets{T(0.95), T(0.05)};
    const oracle::row<T> exact(kept, 1.0);
    CHECK(loss == Approx(static_cast<double>(exact.cross_entropy(targets))).epsilon(1e-6));
    CHECK(gradient[0] == Approx(static_cast<double>(exact.cross_entropy_gradient(0, targets, 1))).epsilon(1e-6));
    CHECK(gradient[1] == 0);
    CHECK(gradient[2] == Approx(static_cast<double>(exact.cross_entropy_gradient(1, targets, 1))).epsilon(1e-6));
}

TEMPLATE_TEST_CASE("-ffast-math keeps the error of backward passes", "[fast_math]", float, double)
{
    using T = TestType;
    std::uint64_t count = 0;
    for (const std::size_t n : {1u, 2u, 7u, 16u, 40u, 129u, 1000u, 4099u})
        for (const double winner : {0.0, 3.0, 25.0})
            for (const double offset : {0.0, 100.0})
                for (const double temperature : {1.0, 0.25, 3.0}) {
                    if (logits::is_left_out(count++)) continue;
                    std::vector<T> x = logits::normal<T>(n, 2, n);
                    if (winner != 0) x[n / 2] = static_cast<T>(winner);
                    const std::vector<T> g = logits::normal<T>(n, 1, n + 1, offset);
                    const std::vector<T> p = xsoftmax::softmax(x), y = xsoftmax::log_softmax(x);
                    INFO(n << " elements, one at " << winner << ", upstream at " << offset << ", temperature "
                           << temperature << ", seed " << logits::seed());
                    const auto got = backward_with_fast_math(p, y, g, temperature);
                    CHECK(worst_error(softmax_gradient(p, g, temperature), got.softmax) <= 6);
                    CHECK(worst_error(log_softmax_gradient(y, g, temperature), got.log_softmax) <= 4);
                }
}
