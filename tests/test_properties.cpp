// What holds for softmax and its relatives whatever the row: checked on random rows of every short length and a few
// longer ones.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <cstring>
#include <numeric>

namespace {

template <class T>
constexpr double epsilon = std::numeric_limits<T>::epsilon();

/// The bound of the library, in ULP; a ULP is at most epsilon of the value.
constexpr double bound = 4;

const std::vector<std::size_t> lengths = [] {
    std::vector<std::size_t> all = logits::lengths_to(150);
    all.insert(all.end(), {255, 256, 257, 1000, 4096});
    return all;
}();

/// Calls `test` with a random row of each length and spread, and its salt.
template <class T, class Test>
void for_random_rows(Test&& test)
{
    std::uint64_t salt = 0;
    for (const std::size_t n : lengths)
        for (const double spread : {0.1, 3.0, 20.0}) {
            const auto row = logits::normal<T>(n, spread, ++salt);
            INFO("seed " << logits::seed() << ", salt " << salt << ", length " << n << ", spread " << spread);
            test(row, salt);
        }
}

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b)
{
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b)
{
    return same_bits(std::span<const T>(a), std::span<const T>(b));
}

template <class T>
double sum_of(const std::vector<T>& row)
{
    return static_cast<double>(
        std::accumulate(row.begin(), row.end(), 0.0L));  // 4096 doubles added in double lose more
}

/// Σ −p log p
template <class T>
double entropy(const std::vector<T>& p)
{
    double h = 0;
    for (const T x : p)
        if (x > 0) h -= static_cast<double>(x) * std::log(static_cast<double>(x));
    return h;
}

/// Largest difference of two rows of probabilities, in ULP.
template <class T>
double distance(const std::vector<T>& a, const std::vector<T>& b)
{
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, oracle::ulp_error<T>(a[i], b[i]));
    return worst;
}

template <class T>
std::vector<T> random_targets(std::size_t n, std::uint64_t salt)
{
    return logits::uniform<T>(n, 0, 1, salt + 1000000);
}

}  // namespace

TEMPLATE_TEST_CASE("a shift of all logits changes nothing", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](std::vector<T> x, std::uint64_t) {
        // Multiples of 2^-10 below 2^8 can be shifted by ±2^9 without rounding.
        for (T& value : x) value = std::round(value * 1024) / 1024;
        const auto p = xsoftmax::softmax(x);
        const auto y = xsoftmax::log_softmax(x);
        for (const T shift : {T(512), T(-512), T(100.25), T(-7)}) {
            auto shifted = x;
            for (T& value : shifted) value += shift;
            INFO("shift " << shift);
            CHECK(distance(p, xsoftmax::softmax(shifted)) <= 2 * bound);
            CHECK(distance(y, xsoftmax::log_softmax(shifted)) <= 2 * bound);
        }
    });
}

TEMPLATE_TEST_CASE("probabilities are positive and sum to 1", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t) {
        const auto p = xsoftmax::softmax(x);
        for (const T value : p) {
            CHECK(value >= 0);
            CHECK(value <= 1);
        }
        CHECK(std::abs(sum_of(p) - 1) <= bound * epsilon<T>);
        // Positive wherever the exact value does not round to 0.
        const T top = *std::max_element(x.begin(), x.end());
        const T reach = sizeof(T) == 4 ? T(90) : T(700);
        for (std::size_t i = 0; i < x.size(); ++i)
            if (top - x[i] < reach) CHECK(p[i] > 0);
    });
}

TEMPLATE_TEST_CASE("order is preserved", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t) {
        std::vector<std::size_t> order(x.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
        const auto p = xsoftmax::softmax(x);
        const auto y = xsoftmax::log_softmax(x);
        for (std::size_t k = 1; k < order.size(); ++k) {
            const std::size_t low = order[k - 1], high = order[k];
            // Neighbours closer than the error bound may change places, but not by more than it.
            CHECK(p[low] <= p[high] * (1 + 2 * bound * epsilon<T>));
            CHECK(y[low] <= y[high]);
            if (x[low] == x[high]) CHECK(p[low] == p[high]);
        }
    });
}

TEMPLATE_TEST_CASE("permuting the logits permutes the results", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t salt) {
        std::vector<std::size_t> order(x.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        auto random = logits::generator(salt);
        std::shuffle(order.begin(), order.end(), random);
        std::vector<T> shuffled(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) shuffled[i] = x[order[i]];
        const auto p = xsoftmax::softmax(x), q = xsoftmax::softmax(shuffled);
        std::vector<T> expected(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) expected[i] = p[order[i]];
        // The order of the sum changes, so its last bits may: not by more than the bound.
        CHECK(distance(expected, q) <= bound);
    });
}

TEMPLATE_TEST_CASE("limits of temperature", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t) {
        const auto cold = xsoftmax::softmax(x, {.temperature = 0});
        const auto colder = xsoftmax::softmax(x, {.temperature = 1e-300});
        CHECK(same_bits(cold, colder));
        CHECK(std::abs(sum_of(cold) - 1) <= bound * epsilon<T>);
        const auto warm = xsoftmax::softmax(x, {.temperature = 1e300});
        for (const T value : warm) CHECK(value == T(1) / static_cast<T>(x.size()));
    });
}

TEMPLATE_TEST_CASE("dividing by a power of two is exact", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t) {
        for (const double temperature : {0.25, 0.5, 2.0, 16.0}) {
            auto divided = x;
            for (T& value : divided) value /= static_cast<T>(temperature);
            INFO("temperature " << temperature);
            CHECK(distance(xsoftmax::softmax(x, {.temperature = temperature}), xsoftmax::softmax(divided)) <= bound);
            CHECK(distance(xsoftmax::log_softmax(x, {.temperature = temperature}), xsoftmax::log_softmax(divided)) <=
                  bound);
        }
    });
}

TEMPLATE_TEST_CASE("entropy grows with temperature", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t) {
        double before = 0;
        for (const double temperature : {0.0, 0.01, 0.1, 0.5, 1.0, 2.0, 10.0, 1000.0}) {
            const double now = entropy(xsoftmax::softmax(x, {.temperature = temperature}));
            INFO("temperature " << temperature);
            // p may be off by the bound; the entropy's derivative by it is log p, at most log n here.
            CHECK(now >= before - 4 * bound * epsilon<T> * (1 + std::log(static_cast<double>(x.size()))));
            before = now;
        }
        CHECK(before <= std::log(static_cast<double>(x.size())) + 4 * bound * epsilon<T>);
    });
}

TEMPLATE_TEST_CASE("log_softmax is the logarithm of softmax", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t) {
        const auto p = xsoftmax::softmax(x);
        const auto y = xsoftmax::log_softmax(x);
        for (std::size_t i = 0; i < x.size(); ++i) {
            if (p[i] < std::numeric_limits<T>::min()) continue;  // a denormal has fewer digits
            const double expected = std::log(static_cast<double>(p[i]));
            CHECK(std::abs(y[i] - expected) <= 2 * bound * epsilon<T> * (1 + std::abs(expected)));
        }
    });
}

TEMPLATE_TEST_CASE("cross-entropy is never negative, and is -log_softmax of the target", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t salt) {
        const auto y = xsoftmax::log_softmax(x, {.temperature = 1.5});
        const std::size_t target = salt % x.size();
        const T loss = xsoftmax::softmax_cross_entropy(x, target, {.temperature = 1.5});
        CHECK(loss >= 0);
        CHECK(oracle::ulp_error<T>(-y[target], loss) <= bound);
        CHECK(oracle::ulp_error<T>(-y[0], xsoftmax::softmax_cross_entropy(x, 0, {.temperature = 1.5})) <= bound);
    });
}

TEMPLATE_TEST_CASE("target probabilities of one class are that class, bit for bit", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t salt) {
        const std::size_t winner = static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());
        for (const std::size_t target : {salt % x.size(), winner}) {
            std::vector<T> one_hot(x.size());
            one_hot[target] = 1;
            std::vector<T> a(x.size()), b(x.size());
            const T loss = xsoftmax::softmax_cross_entropy(x, target, a, {.temperature = 0.7});
            CHECK(loss == xsoftmax::softmax_cross_entropy(x, one_hot, b, {.temperature = 0.7}));
            CHECK(a == b);
        }
    });
}

TEMPLATE_TEST_CASE("gradients sum to 0", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t salt) {
        std::vector<T> gradient(x.size());
        xsoftmax::softmax_cross_entropy(x, salt % x.size(), gradient);
        CHECK(std::abs(sum_of(gradient)) <= 2 * bound * epsilon<T>);
        const auto targets = random_targets<T>(x.size(), salt);
        xsoftmax::softmax_cross_entropy(x, targets, gradient);
        CHECK(std::abs(sum_of(gradient)) <= 2 * bound * epsilon<T> * sum_of(targets));
    });
}

TEST_CASE("gradients are central differences of the loss", "[properties]")
{
    constexpr double h = 1e-5;
    std::uint64_t salt = 0;
    for (const std::size_t n : {1U, 2U, 3U, 7U, 16U, 33U, 70U, 129U}) {
        const auto x = logits::normal<double>(n, 2, ++salt);
        const auto targets = random_targets<double>(n, salt);
        for (const double temperature : {0.5, 1.0, 3.0}) {
            std::vector<double> hard(n), soft(n);
            const std::size_t target = salt % n;
            xsoftmax::softmax_cross_entropy(x, target, hard, {.temperature = temperature});
            xsoftmax::softmax_cross_entropy(x, targets, soft, {.temperature = temperature});
            for (std::size_t i = 0; i < n; ++i) {
                auto up = x, down = x;
                up[i] += h;
                down[i] -= h;
                INFO("seed " << logits::seed() << ", length " << n << ", temperature " << temperature << ", element "
                             << i);
                const auto slope = [&](const auto& t) {
                    return (xsoftmax::softmax_cross_entropy(up, t, {.temperature = temperature}) -
                            xsoftmax::softmax_cross_entropy(down, t, {.temperature = temperature})) /
                           (2 * h);
                };
                // The difference's own error: third derivatives times h², and rounding of a loss of up to 500 over h.
                CHECK(std::abs(hard[i] - slope(target)) <= 2e-8);
                CHECK(std::abs(soft[i] - slope(targets)) <= 2e-8 * static_cast<double>(n));
            }
        }
    }
}

TEMPLATE_TEST_CASE("in place is out of place, bit for bit", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t salt) {
        const auto targets = random_targets<T>(x.size(), salt);
        const std::size_t target = salt % x.size();
        for (const double temperature : {1.0, 0.3, 0.0, 1e-40}) {
            INFO("temperature " << temperature);
            std::vector<T> out(x.size());
            auto in = x;
            xsoftmax::softmax(x, out, {.temperature = temperature});
            xsoftmax::softmax(in, in, {.temperature = temperature});
            CHECK(same_bits(in, out));
            CHECK(same_bits(out, xsoftmax::softmax(x, {.temperature = temperature})));
            in = x;
            xsoftmax::log_softmax(x, out, {.temperature = temperature});
            xsoftmax::log_softmax(in, in, {.temperature = temperature});
            CHECK(same_bits(in, out));
            CHECK(same_bits(out, xsoftmax::log_softmax(x, {.temperature = temperature})));
            if (temperature == 0) continue;
            in = x;
            const T a = xsoftmax::softmax_cross_entropy(x, target, out, {.temperature = temperature});
            const T b = xsoftmax::softmax_cross_entropy(in, target, in, {.temperature = temperature});
            CHECK(a == b);
            CHECK(same_bits(in, out));
            in = x;
            const T c = xsoftmax::softmax_cross_entropy(x, targets, out, {.temperature = temperature});
            const T d = xsoftmax::softmax_cross_entropy(in, targets, in, {.temperature = temperature});
            CHECK(c == d);
            CHECK(same_bits(in, out));
        }
    });
}

TEMPLATE_TEST_CASE("results do not depend on alignment", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t) {
        const auto expected = xsoftmax::softmax(x);
        for (std::size_t shift = 1; shift < 64 / sizeof(T); shift += 3) {
            std::vector<T> moved(x.size() + shift), out(x.size() + 2 * shift);
            std::copy(x.begin(), x.end(), moved.begin() + static_cast<std::ptrdiff_t>(shift));
            const std::span<T> result = std::span(out).subspan(2 * shift);
            xsoftmax::softmax(std::span(moved).subspan(shift), result);
            CHECK(same_bits<T>(result, expected));
        }
    });
}

TEMPLATE_TEST_CASE("a temperature that is a power of two divides, bit for bit", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t salt) {
        const auto targets = random_targets<T>(x.size(), salt);
        for (const double temperature : {0x1p-10, 0.25, 0.5, 2.0, 16.0, 0x1p20}) {
            INFO("temperature " << temperature);
            auto divided = x;
            for (T& value : divided) value /= static_cast<T>(temperature);
            CHECK(same_bits(xsoftmax::softmax(x, {.temperature = temperature}), xsoftmax::softmax(divided)));
            CHECK(same_bits(xsoftmax::log_softmax(x, {.temperature = temperature}), xsoftmax::log_softmax(divided)));
            CHECK(xsoftmax::log_sum_exp(x, {.temperature = temperature}) == xsoftmax::log_sum_exp(divided));
            CHECK(xsoftmax::softmax_cross_entropy(x, 0, {.temperature = temperature}) ==
                  xsoftmax::softmax_cross_entropy(divided, 0));
            CHECK(xsoftmax::softmax_cross_entropy(x, targets, {.temperature = temperature}) ==
                  xsoftmax::softmax_cross_entropy(divided, targets));
        }
    });
}

TEMPLATE_TEST_CASE("the loss is the same with and without its gradient", "[properties]", float, double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t salt) {
        std::vector<T> gradient(x.size());
        const auto targets = random_targets<T>(x.size(), salt);
        for (const double temperature : {1.0, 0.3, 1e-40, 1e38}) {
            INFO("temperature " << temperature);
            CHECK(xsoftmax::softmax_cross_entropy(x, 0, gradient, {.temperature = temperature}) ==
                  xsoftmax::softmax_cross_entropy(x, 0, {.temperature = temperature}));
            CHECK(xsoftmax::softmax_cross_entropy(x, targets, gradient, {.temperature = temperature}) ==
                  xsoftmax::softmax_cross_entropy(x, targets, {.temperature = temperature}));
        }
    });
}

TEMPLATE_TEST_CASE("elements of -inf count as if they were not there, at any temperature", "[properties]", float,
                   double)
{
    using T = TestType;
    for_random_rows<T>([](const std::vector<T>& x, std::uint64_t salt) {
        constexpr T inf = std::numeric_limits<T>::infinity();
        for (const double temperature :
             {1.0, 0.3, 1.3e-9, 1.5e-9, 1e-17, 1e-40, 1.1e-100, 1.3e-100, 1e-300, 1e38, 1e300}) {
            INFO("temperature " << temperature);
            // Every other element is masked.
            std::vector<T> masked;
            for (const T value : x) masked.insert(masked.end(), {value, -inf});
            const auto p = xsoftmax::softmax(x, {.temperature = temperature});
            const auto y = xsoftmax::log_softmax(x, {.temperature = temperature});
            const auto q = xsoftmax::softmax(masked, {.temperature = temperature});
            const auto z = xsoftmax::log_softmax(masked, {.temperature = temperature});
            std::vector<T> q_kept, z_kept;
            bool good = true;
            for (std::size_t i = 0; i < x.size(); ++i) {
                q_kept.push_back(q[2 * i]);
                z_kept.push_back(z[2 * i]);
                good = good && q[2 * i + 1] == 0 && z[2 * i + 1] == -inf;
            }
            CHECK(good);
            CHECK(distance(p, q_kept) <= bound);
            CHECK(distance(y, z_kept) <= bound);
            // Positive targets there make the loss +inf, however many there are.
            auto targets = random_targets<T>(masked.size(), salt);
            for (T& t : targets) t += T(0.01);
            CHECK(xsoftmax::softmax_cross_entropy(masked, targets, {.temperature = temperature}) == inf);
        }
    });
}

TEMPLATE_TEST_CASE("nothing is NaN, whatever the temperature and the magnitudes", "[properties]", float, double)
{
    using T = TestType;
    constexpr T largest = std::numeric_limits<T>::max();
    constexpr double temperatures[] = {5e-324, 1.1e-320, 1e-300, 1.3e-100, 1e-40,
                                       1.3e-9, 0.1,      1,      7,        1e9,
                                       1e38,   1e100,    1e300,  0x1p-1,   std::numeric_limits<double>::max()};
    std::uint64_t salt = 0;
    for (const std::size_t n : {1U, 2U, 5U, 17U, 40U, 150U, 600U})
        for (const double spread : {0.0, 1e-310, 1e-40, 1e-3, 1.0, 1e4, 1e30, 1e38, 1e300}) {
            auto x = logits::normal<T>(n, 1, ++salt);
            for (T& value : x)
                value = static_cast<T>(std::clamp<double>(static_cast<double>(value) * spread, -largest, largest));
            const auto targets = random_targets<T>(n, salt);
            for (const double temperature : temperatures) {
                INFO("seed " << logits::seed() << ", salt " << salt << ", length " << n << ", spread " << spread
                             << ", temperature " << temperature);
                const auto p = xsoftmax::softmax(x, {.temperature = temperature});
                const auto y = xsoftmax::log_softmax(x, {.temperature = temperature});
                std::vector<T> hard(n), soft(n);
                const T loss = xsoftmax::softmax_cross_entropy(x, 0, hard, {.temperature = temperature});
                const T soft_loss = xsoftmax::softmax_cross_entropy(x, targets, soft, {.temperature = temperature});
                CHECK(!std::isnan(xsoftmax::log_sum_exp(x, {.temperature = temperature})));
                CHECK(loss >= 0);
                CHECK(soft_loss >= 0);
                bool good = true;
                for (std::size_t i = 0; i < n; ++i)
                    good = good && p[i] >= 0 && p[i] <= 1 && y[i] <= 0 && !std::isnan(hard[i]) && !std::isnan(soft[i]);
                CHECK(good);
            }
        }
}
