// The error bounds of every function, for every length, distribution of the logits and temperature. Each test prints the
// largest errors it saw.

#include "bounds.hpp"
#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

/// Largest error by function and class of length.
class error_table {
public:
    struct entry {
        const char* function;
        double& worst;
    };

    entry at(const char* function, std::size_t n) { return {function, worst_[function][length_class(n)]}; }

    void print(const char* title) const
    {
        std::printf("\nlargest error in ULP, %s, %s\n%-28s", std::string(xsoftmax::architecture()).c_str(), title,
                    "length");
        for (const char* name : {"1-16", "17-128", "129-1000", "1001-65536", "over 65536"}) std::printf("%12s", name);
        for (const auto& [function, errors] : worst_) {
            std::printf("\n%-28s", function.c_str());
            for (const double error : errors) std::printf("%12.3f", error);
        }
        std::printf("\n");
        std::fflush(stdout);
    }

private:
    static std::size_t length_class(std::size_t n)
    {
        return n <= 16 ? 0U : n <= 128 ? 1U : n <= 1000 ? 2U : n <= 65536 ? 3U : 4U;
    }

    std::map<std::string, std::array<double, 5>> worst_;
};

template <class T>
class checker {
public:
    explicit checker(error_table& table) : table_(table) {}

    /// Every function on one row.
    void check(const std::vector<T>& x, double temperature, std::uint64_t salt, const std::string& what)
    {
        const std::size_t n = x.size();
        const oracle::row<T> exact(x, temperature);
        const std::size_t winner = static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());
        const std::size_t target = salt % 2 == 0 ? winner : salt * 7919 % n;
        std::vector<T> p(n), y(n), gradient(n), soft_gradient(n), targets(n);
        long double target_sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
            targets[i] = (i + salt) % 3 == 0 ? T(0) : static_cast<T>(static_cast<double>((i * 31 + salt) % 17) / 17);
            target_sum += targets[i];
        }
        xsoftmax::softmax(x, p, {.temperature = temperature});
        xsoftmax::log_softmax(x, y, {.temperature = temperature});
        const T lse = xsoftmax::log_sum_exp(x, {.temperature = temperature});
        const T loss = xsoftmax::softmax_cross_entropy(x, target, gradient, {.temperature = temperature});
        const T soft_loss = xsoftmax::softmax_cross_entropy(x, targets, soft_gradient, {.temperature = temperature});

        bool good = true;
        const auto note = [&](error_table::entry to, std::size_t i, long double expected, T got, long double scale) {
            const double error = oracle::ulp_error(expected, got, scale);
            to.worst = std::max(to.worst, error);
            if (error <= error_bound) return;
            if (good)
                UNSCOPED_INFO(to.function << ", element " << i << " of " << n << ", " << what << ", temperature "
                                          << temperature << ", seed " << logits::seed() << ", salt " << salt
                                          << ": expected " << static_cast<double>(expected) << ", got " << got << ", "
                                          << error << " ULP");
            good = false;
        };
        // Where two terms of opposite sign cancel, what was lost is the rounding of the larger one.
        const long double top = exact.top(), log_sum = exact.log_sum_exp() - top;
        note(table_.at("log_sum_exp", n), 0, exact.log_sum_exp(), lse,
             std::max({std::abs(top), log_sum, std::abs(top + log_sum)}));
        note(table_.at("cross_entropy", n), target, exact.cross_entropy(target), loss, exact.cross_entropy(target));
        const long double exact_soft_loss = exact.cross_entropy(std::span<const T>(targets));
        note(table_.at("cross_entropy, targets", n), 0, exact_soft_loss, soft_loss, exact_soft_loss);
        const auto of_softmax = table_.at("softmax", n), of_log_softmax = table_.at("log_softmax", n),
                   of_gradient = table_.at("cross_entropy gradient", n),
                   of_targets = table_.at("cross_entropy, targets, grad.", n);
        const std::size_t step = n > 70000 ? n / 70000 : 1;
        for (std::size_t i = 0; i < n; i += step) {
            note(of_softmax, i, exact.softmax(i), p[i], exact.softmax(i));
            note(of_log_softmax, i, exact.log_softmax(i), y[i], exact.log_softmax(i));
            const long double g = exact.cross_entropy_gradient(i, target);
            note(of_gradient, i, g, gradient[i], g);
            const long double s = exact.cross_entropy_gradient(i, targets, target_sum);
            const long double scale = std::max({std::abs(s), target_sum * exact.softmax(i) / temperature,
                                                static_cast<long double>(targets[i]) / temperature});
            note(of_targets, i, s, soft_gradient[i], scale);
        }
        CHECK(good);
    }

private:
    error_table& table_;
};

template <class T>
void check_lengths(const std::vector<std::size_t>& lengths, const std::vector<double>& temperatures,
                   bool all_distributions, const char* title)
{
    error_table table;
    checker<T> checked(table);
    std::uint64_t salt = 0;
    for (const std::size_t n : lengths)
        for (const auto& distribution : logits::distributions<T>()) {
            if (!all_distributions && distribution.name != "all equal" &&
                distribution.name.find("spread 3.") == std::string::npos)
                continue;
            for (const double temperature : temperatures) {
                std::vector<T> x = distribution.make(n, ++salt);
                for (T& value : x) value = static_cast<T>(static_cast<double>(value) * temperature);
                checked.check(x, temperature, salt, distribution.name);
            }
        }
    table.print(title);
}

/// Where the longest sweeps run, which take minutes: other architectures differ in their vectors, and not in how rows are summed.
bool is_the_best_architecture() { return xsoftmax::architecture() == xsoftmax::architectures().front(); }

template <class T>
constexpr const char* type_name = sizeof(T) == 4 ? "float" : "double";

}  // namespace

TEMPLATE_TEST_CASE("every length to 300", "[accuracy]", float, double)
{
    check_lengths<TestType>(logits::lengths_to(300), {1.0}, true, type_name<TestType>);
}

TEMPLATE_TEST_CASE("temperatures", "[accuracy]", float, double)
{
    // 1e30 times a large temperature leaves the range of float, which the edge tests cover.
    check_lengths<TestType>({1, 2, 3, 7, 16, 33, 64, 100, 129, 300, 1000}, {0.1, 0.7, 3.0, 1e-6, 1e6}, true,
                            type_name<TestType>);
}

TEMPLATE_TEST_CASE("extreme temperatures", "[accuracy]", float, double)
{
    check_lengths<TestType>({1, 2, 5, 16, 33, 100, 300}, {1e-30, 1e-12, 1e12, 1e30}, false, type_name<TestType>);
}

// Logits and temperature of every magnitude: 2^-1074 … 2^1023 as they come, for float and double alike.
TEMPLATE_TEST_CASE("any temperature", "[accuracy]", float, double)
{
    using T = TestType;
    error_table table;
    checker<T> checked(table);
    auto random = logits::generator(4);
    std::uniform_real_distribution<double> unit(0, 1);
    const double reach = std::numeric_limits<T>::max_exponent - 12;
    for (std::uint64_t salt = 1; salt <= 3000; ++salt) {
        // So that logits of the order of the temperature are numbers of T with all their digits.
        const double temperature = std::exp2((2 * unit(random) - 1) * (reach - std::numeric_limits<T>::digits));
        const std::size_t n = 1 + static_cast<std::size_t>(unit(random) * (salt % 10 == 0 ? 700 : 70));
        auto x = logits::normal<T>(n, 1, salt, salt % 3 == 0 ? 30 * (unit(random) - 0.5) : 0);
        const double spread = std::exp2(8 * unit(random) - 4);
        for (T& value : x) value = static_cast<T>(static_cast<double>(value) * spread * temperature);
        if (salt % 2 == 0) x[salt % n] = static_cast<T>((4 + 60 * unit(random)) * temperature);
        checked.check(x, temperature, salt, "any temperature");
    }
    table.print(type_name<T>);
}

// Each of the others is then nearly half an ULP of the leader's exponential: what additions round is lost again and again.
TEMPLATE_TEST_CASE("rows whose others are lost beside one element", "[accuracy]", float, double)
{
    using T = TestType;
    const double half_ulp = (std::numeric_limits<T>::digits + 1) * std::log(2.0);
    auto random = logits::generator();
    std::uniform_real_distribution<double> beyond(0, 1.2), leader(-3, 19);
    double worst = 0;
    for (const std::size_t n : {40u, 130u, 192u, 300u, 1000u})
        for (std::uint64_t salt = 0; salt < (!logits::thorough() ? 20 : n == 1000 ? 100 : 600); ++salt) {
            std::vector<T> x(n), gradient(n);
            const double top = leader(random), lead = half_ulp - std::log(2.0) + beyond(random);
            for (T& value : x) value = static_cast<T>(top - lead - (random() % 4 == 0 ? 0 : 0.3 * beyond(random)));
            const std::size_t at = random() % n;
            x[at] = static_cast<T>(top);
            const auto p = xsoftmax::softmax(x);
            xsoftmax::softmax_cross_entropy(x, at, gradient);
            const oracle::row<T> exact(x, 1.0);
            for (std::size_t i = 0; i < n; ++i) {
                worst = std::max(worst, oracle::ulp_error(exact.softmax(i), p[i]));
                if (i != at) worst = std::max(worst, oracle::ulp_error(exact.softmax(i), gradient[i]));
            }
        }
    std::printf("others lost beside one element, %s, %s: largest error %.3f ULP\n", type_name<T>,
                std::string(xsoftmax::architecture()).c_str(), worst);
    CHECK(worst <= error_bound);
}

TEMPLATE_TEST_CASE("a ladder of lengths", "[accuracy][large]", float, double)
{
    check_lengths<TestType>({384, 511, 512, 513, 1000, 1023, 2048, 4096, 10007, 32000, 65536}, {1.0}, true,
                            type_name<TestType>);
}

TEMPLATE_TEST_CASE("long rows", "[accuracy][large]", float, double)
{
    check_lengths<TestType>({128256, std::size_t{1} << 20}, {1.0}, false, type_name<TestType>);
}

TEST_CASE("2^24 elements", "[accuracy][.slow]") { check_lengths<float>({std::size_t{1} << 24}, {1.0}, false, "float"); }

TEMPLATE_TEST_CASE("the whole ladder, every distribution", "[accuracy][.slow]", float, double)
{
    std::vector<std::size_t> lengths{128256, std::size_t{1} << 18, std::size_t{1} << 20};
    if (is_the_best_architecture()) lengths.insert(lengths.end(), {std::size_t{1} << 22, std::size_t{1} << 24});
    check_lengths<TestType>(lengths, {1.0}, true, type_name<TestType>);
}

TEMPLATE_TEST_CASE("many random rows", "[accuracy][.slow]", float, double)
{
    std::vector<std::size_t> lengths;
    for (int repeat = 0; repeat < (is_the_best_architecture() ? 10 : 3); ++repeat)
        for (std::size_t n = 1; n <= 700; ++n) lengths.push_back(n);
    check_lengths<TestType>(lengths, {1.0, 0.3}, true, type_name<TestType>);
}
