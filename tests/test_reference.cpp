/// The reference against values computed by hand, and the library against the reference where both are accurate.

#include "catch.hpp"

#include <xsoftmax/reference.hpp>
#include <xsoftmax/xsoftmax.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T>
constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

template <class T>
bool all_nan(const std::vector<T>& row)
{
    for (const T x : row)
        if (!std::isnan(x)) return false;
    return true;
}

template <class T>
bool close(T a, T b, T absolute)
{
    return std::abs(a - b) <= absolute;
}

/// On rows of up to 64 logits within ±15 the reference errs by the rounding of a difference of 30 (16 units in the last
/// place of the result) and of the sum (up to 32): 100 units leave room for both.
template <class T>
bool close(T a, T b)
{
    return std::abs(a - b) <= 100 * std::numeric_limits<T>::epsilon() * std::abs(b);
}

template <class T>
bool close(const std::vector<T>& a, const std::vector<T>& b)
{
    for (std::size_t i = 0; i < a.size(); ++i)
        if (!close(a[i], b[i])) return false;
    return a.size() == b.size();
}

}  // namespace

TEMPLATE_TEST_CASE("the reference gives the values computed by hand", "[reference]", float, double)
{
    using T = TestType;
    namespace reference = xsoftmax::reference;
    constexpr T digits = T(5e-6);

    const std::vector<T> animals{T(2.3), T(1.1), T(-0.4)};
    std::vector<T> out(3);

    reference::softmax<T>(animals, out);
    CHECK(close(out[0], T(0.73078), digits));
    CHECK(close(out[1], T(0.22011), digits));
    CHECK(close(out[2], T(0.04911), digits));

    reference::log_softmax<T>(animals, out);
    CHECK(close(out[0], T(-0.31364), digits));
    CHECK(close(out[1], T(-1.51364), digits));
    CHECK(close(out[2], T(-3.01364), digits));

    CHECK(close(reference::log_sum_exp<T>(animals), T(2.61364), digits));
    CHECK(close(reference::softmax_cross_entropy<T>(animals, 1), T(1.51364), digits));

    CHECK(close(reference::softmax_cross_entropy<T>(animals, 1, out), T(1.51364), digits));
    CHECK(close(out[0], T(0.73078), digits));
    CHECK(close(out[1], T(-0.77989), digits));
    CHECK(close(out[2], T(0.04911), digits));

    const std::vector<T> targets{T(0.5), T(0.25), T(0.25)};
    CHECK(close(reference::softmax_cross_entropy<T>(animals, targets), T(1.28864), digits));
    CHECK(close(reference::softmax_cross_entropy<T>(animals, targets, out), T(1.28864), digits));
    CHECK(close(out[0], T(0.23078), digits));
    CHECK(close(out[1], T(-0.02989), digits));
    CHECK(close(out[2], T(-0.20089), digits));
}

TEMPLATE_TEST_CASE("the reference gives logarithms of 1, 2, 3, 4 the probabilities .1, .2, .3, .4", "[reference]",
                   float, double)
{
    using T = TestType;
    namespace reference = xsoftmax::reference;
    constexpr T tiny = 8 * std::numeric_limits<T>::epsilon();

    std::vector<T> row{T(0), std::log(T(2)), std::log(T(3)), std::log(T(4))};
    CHECK(close(reference::log_sum_exp<T>(row), std::log(T(10)), tiny));

    std::vector<T> out(4);
    reference::softmax<T>(row, out, {.temperature = 0.5});  // 1, 4, 9, 16 of 30
    CHECK(close(out[0], T(1) / 30, tiny));
    CHECK(close(out[3], T(16) / 30, tiny));
    CHECK(close(reference::log_sum_exp<T>(row, {.temperature = 0.5}), std::log(T(30)), tiny));
    CHECK(close(reference::softmax_cross_entropy<T>(row, 2, out, {.temperature = 0.5}), std::log(T(30) / 9), tiny));
    CHECK(close(out[0], T(2) / 30, tiny));
    CHECK(close(out[2], T(-42) / 30, tiny));

    const std::vector<T> twos(4, T(2));  // targets are used as given: Σ t = 8
    CHECK(close(reference::softmax_cross_entropy<T>(row, twos, out), -2 * std::log(T(0.0024)), 8 * tiny));
    CHECK(close(out[0], T(0.8) - 2, tiny));
    CHECK(close(out[3], T(3.2) - 2, tiny));

    reference::softmax<T>(row, row);  // in place
    CHECK(close(row[0], T(0.1), tiny));
    CHECK(close(row[1], T(0.2), tiny));
    CHECK(close(row[2], T(0.3), tiny));
    CHECK(close(row[3], T(0.4), tiny));
}

TEMPLATE_TEST_CASE("the reference takes limits at the edges", "[reference]", float, double)
{
    using T = TestType;
    namespace reference = xsoftmax::reference;
    constexpr T inf = infinity<T>;

    std::vector<T> empty;
    reference::softmax<T>(empty, empty);
    reference::log_softmax<T>(empty, empty);
    CHECK(reference::log_sum_exp<T>(empty) == -inf);
    CHECK(reference::softmax_cross_entropy<T>(empty, empty) == 0);

    std::vector<T> out(3);
    const std::vector<T> partly{T(1), -inf, T(1)};
    reference::softmax<T>(partly, out);
    CHECK(out == std::vector<T>{T(0.5), T(0), T(0.5)});
    reference::log_softmax<T>(partly, out);
    CHECK(out[1] == -inf);
    CHECK(reference::softmax_cross_entropy<T>(partly, 1, out) == inf);
    CHECK(out == std::vector<T>{T(0.5), T(-1), T(0.5)});
    CHECK(reference::softmax_cross_entropy<T>(partly, std::vector<T>{T(1), T(0), T(0)}) == std::log(T(2)));
    CHECK(reference::softmax_cross_entropy<T>(partly, std::vector<T>{T(0.5), T(0.5), T(0)}) == inf);

    const std::vector<std::vector<T>> undefined{
        {-inf, -inf, -inf}, {T(1), inf, T(2)}, {T(1), -inf, not_a_number<T>}, {not_a_number<T>, inf, T(0)}};
    for (const auto& row : undefined) {
        for (const double temperature : {0.0, 1.0}) {
            reference::softmax<T>(row, out, {temperature});
            CHECK(all_nan(out));
            reference::log_softmax<T>(row, out, {temperature});
            CHECK(all_nan(out));
        }
        CHECK(std::isnan(reference::softmax_cross_entropy<T>(row, 0, out)));
        CHECK(all_nan(out));
        CHECK(std::isnan(reference::softmax_cross_entropy<T>(row, std::vector<T>(3), out)));
        CHECK(all_nan(out));
    }
    CHECK(reference::log_sum_exp<T>(undefined[0]) == -inf);
    CHECK(reference::log_sum_exp<T>(undefined[1]) == inf);
    CHECK(std::isnan(reference::log_sum_exp<T>(undefined[2])));
    CHECK(std::isnan(reference::log_sum_exp<T>(undefined[3])));

    const std::vector<T> tie{T(0), T(-1), T(0)};
    reference::softmax<T>(tie, out, {0});
    CHECK(out == std::vector<T>{T(0.5), T(0), T(0.5)});
    reference::log_softmax<T>(tie, out, {0});
    CHECK(out == std::vector<T>{-std::log(T(2)), -inf, -std::log(T(2))});
    CHECK(reference::log_sum_exp<T>(tie, {0}) == std::log(T(2)));
    CHECK(reference::log_sum_exp<T>(std::vector<T>{T(3), T(-1)}, {0}) == inf);
    CHECK(reference::log_sum_exp<T>(std::vector<T>{T(-3), T(-1)}, {0}) == -inf);
}

TEMPLATE_TEST_CASE("the library agrees with the reference on small rows", "[reference]", float, double)
{
    using T = TestType;
    namespace reference = xsoftmax::reference;

    std::mt19937 random(7);
    std::uniform_real_distribution<T> logit(-15, 15);
    std::uniform_real_distribution<T> weight(0, 1);
    for (std::size_t n = 1; n <= 64; ++n) {
        for (const double temperature : {1.0, 2.5}) {
            CAPTURE(n, temperature);
            std::vector<T> row(n), targets(n), expected(n), actual(n);
            for (T& x : row) x = logit(random);
            for (T& t : targets) t = weight(random);
            const std::size_t target = random() % n;

            reference::softmax<T>(row, expected, {temperature});
            CHECK(close(xsoftmax::softmax(row, {temperature}), expected));

            // Next to 0 a logarithm has the absolute error of the sum, and so have a loss and a gradient.
            const T absolute = 100 * std::numeric_limits<T>::epsilon();
            reference::log_softmax<T>(row, expected, {temperature});
            actual = xsoftmax::log_softmax(row, {temperature});
            for (std::size_t i = 0; i < n; ++i) CHECK(close(actual[i], expected[i], absolute));

            CHECK(close(xsoftmax::log_sum_exp(row, {temperature}), reference::log_sum_exp<T>(row, {temperature}),
                        absolute));
            CHECK(close(xsoftmax::softmax_cross_entropy(row, target, {temperature}),
                        reference::softmax_cross_entropy<T>(row, target, {temperature}), absolute));
            CHECK(close(xsoftmax::softmax_cross_entropy(row, target, actual, {temperature}),
                        reference::softmax_cross_entropy<T>(row, target, expected, {temperature}), absolute));
            for (std::size_t i = 0; i < n; ++i) CHECK(close(actual[i], expected[i], absolute));

            const T many = absolute * static_cast<T>(n);
            CHECK(close(xsoftmax::softmax_cross_entropy(row, targets, {temperature}),
                        reference::softmax_cross_entropy<T>(row, targets, {temperature}), 10 * many));
            CHECK(close(xsoftmax::softmax_cross_entropy(row, targets, actual, {temperature}),
                        reference::softmax_cross_entropy<T>(row, targets, expected, {temperature}), 10 * many));
            for (std::size_t i = 0; i < n; ++i) CHECK(close(actual[i], expected[i], many));
        }
    }
}
