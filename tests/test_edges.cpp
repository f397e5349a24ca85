/// The edges: special values, extreme logits, extreme temperatures, at every length that mixes full vectors and tails.

#include "catch.hpp"
#include "logits.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T>
constexpr T largest = std::numeric_limits<T>::max();

template <class T>
constexpr T denormal = std::numeric_limits<T>::denorm_min();

constexpr std::size_t longest = 70;  // four vectors of 16 floats, a whole one, and a part

constexpr double extreme_temperatures[] = {5e-324, 1e-300, 1e-121, 1e-45, 1e-38, 3.3e-9, 1.3e-8,
                                           1e-3,   1e3,    1e9,    1e38,  1e121, 1e300,  DBL_MAX};

template <class T>
bool all_nan(const std::vector<T>& row)
{
    return std::all_of(row.begin(), row.end(), [](T x) { return std::isnan(x); });
}

// ---- All functions at once ------------------------------------------------------------------------------------------

template <class T>
struct results {
    std::vector<T> softmax, log_softmax, class_gradient, targets_gradient;
    T log_sum_exp, class_loss, class_loss_with_gradient, targets_loss, targets_loss_with_gradient;
};

/// At temperature 0, where cross-entropy is refused, its members stay empty or NaN.
template <class T>
results<T> evaluate(const std::vector<T>& row, std::size_t target, const std::vector<T>& targets, double temperature)
{
    results<T> r{};
    r.softmax = xsoftmax::softmax(row, {temperature});
    r.log_softmax = xsoftmax::log_softmax(row, {temperature});
    r.log_sum_exp = xsoftmax::log_sum_exp(row, {temperature});
    r.class_loss = r.class_loss_with_gradient = r.targets_loss = r.targets_loss_with_gradient =
        std::numeric_limits<T>::quiet_NaN();
    if (temperature > 0) {
        r.class_gradient.resize(row.size());
        r.targets_gradient.resize(row.size());
        r.class_loss = xsoftmax::softmax_cross_entropy(row, target, {temperature});
        r.class_loss_with_gradient = xsoftmax::softmax_cross_entropy(row, target, r.class_gradient, {temperature});
        r.targets_loss = xsoftmax::softmax_cross_entropy(row, targets, {temperature});
        r.targets_loss_with_gradient = xsoftmax::softmax_cross_entropy(row, targets, r.targets_gradient, {temperature});
    }
    return r;
}

template <class T>
std::vector<T> uniform_targets(std::size_t n)
{
    return std::vector<T>(n, 1 / static_cast<T>(n));
}

template <class T>
bool undefined_but_for_log_sum_exp(const results<T>& r)
{
    return all_nan(r.softmax) && all_nan(r.log_softmax) && all_nan(r.class_gradient) && all_nan(r.targets_gradient) &&
           std::isnan(r.class_loss) && std::isnan(r.class_loss_with_gradient) && std::isnan(r.targets_loss) &&
           std::isnan(r.targets_loss_with_gradient);
}

// ---- The exact results, in long double ------------------------------------------------------------------------------

/// |actual − exact| in units of the last place of `scale`, or of `exact` where that is larger.
template <class T>
double error_in_ulp(T actual, long double exact, long double scale = 0)
{
    using limits = std::numeric_limits<T>;
    if (static_cast<T>(exact) == actual) return 0;
    if (std::isnan(actual) || std::isinf(exact)) return std::numeric_limits<double>::infinity();
    const long double found = std::isinf(actual) ? std::copysign(std::ldexp(1.0L, limits::max_exponent), actual)
                                                 : static_cast<long double>(actual);
    const int exponent = std::max(std::ilogb(std::max(std::abs(exact), scale)), limits::min_exponent - 1);
    return static_cast<double>(std::ldexp(std::abs(found - exact), limits::digits - 1 - exponent));
}

constexpr double promised_error = 4;

/// Of probabilities that are 1 or 1/k because all others are 0.
constexpr double promised_error_of_shares = 0;

/// The largest error of all functions on a row with a finite maximum, in ULP as the documentation counts them. An error
/// that breaks the promise is named in the message of the next assertion.
template <class T>
double largest_error(const std::vector<T>& row, std::size_t target, const std::vector<T>& targets, double temperature)
{
    using real = long double;
    const std::size_t n = row.size();
    const real top = *std::max_element(row.begin(), row.end());
    std::vector<real> distance(n), exponential(n);
    real all = 0, all_but_a_winner = 0, not_target = 0, target_sum = 0;
    bool winner_left_out = false;
    for (std::size_t i = 0; i < n; ++i) {
        distance[i] = (top - real(row[i])) / real(temperature);
        exponential[i] = std::exp(-distance[i]);
        all += exponential[i];
        if (i != target) not_target += exponential[i];
        if (winner_left_out || distance[i] != 0)
            all_but_a_winner += exponential[i];
        else
            winner_left_out = true;
        target_sum += targets[i];
    }
    const real log_sum = std::log1p(all_but_a_winner);

    const results<T> r = evaluate(row, target, targets, temperature);
    double worst = 0;
    const auto compare = [&](const char* name, T actual, real exact, real scale = 0) {
        const double error = error_in_ulp(actual, exact, scale);
        if (error > promised_error)
            UNSCOPED_INFO(name << " is " << actual << ", not " << exact << ": an error of " << error << " ULP");
        worst = std::max(worst, error);
    };
    real targets_loss = target_sum * log_sum;
    for (std::size_t i = 0; i < n; ++i) {
        const real p = exponential[i] / all;
        compare("softmax", r.softmax[i], p);
        compare("log_softmax", r.log_softmax[i], -distance[i] - log_sum);
        compare("class_gradient", r.class_gradient[i], (i == target ? -not_target / all : p) / real(temperature));
        const real t = targets[i];
        compare("targets_gradient", r.targets_gradient[i], (target_sum * p - t) / real(temperature),
                std::max(target_sum * p, t) / real(temperature));
        if (t != 0) targets_loss += t * distance[i];
    }
    compare("log_sum_exp", r.log_sum_exp, top / real(temperature) + log_sum, top < 0 ? -top / real(temperature) : 0);
    compare("class_loss", r.class_loss, distance[target] + log_sum);
    compare("class_loss_with_gradient", r.class_loss_with_gradient, distance[target] + log_sum);
    compare("targets_loss", r.targets_loss, targets_loss);
    compare("targets_loss_with_gradient", r.targets_loss_with_gradient, targets_loss);
    return worst;
}

// ---- Rows -----------------------------------------------------------------------------------------------------------

/// Logits of different sizes in no order, the same on every run.
template <class T>
std::vector<T> ragged_row(std::size_t n, double spread, double offset = 0)
{
    std::vector<T> row(n);
    for (std::size_t i = 0; i < n; ++i)
        row[i] = static_cast<T>(offset + spread * (static_cast<double>((i * 37 + 11) % 71) / 35 - 1));
    return row;
}

template <class T>
std::vector<T> ragged_targets(std::size_t n, T sum)
{
    std::vector<T> targets(n);
    T total = 0;
    for (std::size_t i = 0; i < n; ++i) total += targets[i] = static_cast<T>((i * 5 + 1) % 7);
    for (T& t : targets) t *= sum / total;
    return targets;
}

/// Rows that a special value is put into.
template <class T>
std::vector<std::vector<T>> backgrounds(std::size_t n)
{
    std::vector<std::vector<T>> rows{ragged_row<T>(n, 3), ragged_row<T>(n, 50, 1e4), std::vector<T>(n, -infinity<T>),
                                     std::vector<T>(n, largest<T>), ragged_row<T>(n, 3)};
    for (std::size_t i = 0; i < n; i += 2) rows[3][i] = -largest<T>;
    for (std::size_t i = 0; i < n; i += 3) rows[4][i] = -infinity<T>;
    return rows;
}

template <class T>
std::vector<T> nans_with_payloads()
{
    std::vector<T> nans;
    if constexpr (sizeof(T) == 4)
        for (const std::uint32_t bits : {0x7fc00000u, 0x7fc00001u, 0xffc00123u, 0x7f800001u, 0x7fffffffu, 0xffffffffu})
            nans.push_back(std::bit_cast<T>(bits));
    else
        for (const std::uint64_t bits : {0x7ff8000000000000u, 0x7ff8000000000001u, 0xfff8000000000123u,
                                         0x7ff0000000000001u, 0x7fffffffffffffffu, 0xffffffffffffffffu})
            nans.push_back(std::bit_cast<T>(bits));
    return nans;
}

}  // namespace

TEMPLATE_TEST_CASE("an empty row stays empty", "[edges]", float, double)
{
    using T = TestType;
    std::vector<T> none;
    for (const double temperature : {0.0, 5e-324, 1.0, 1e300}) {
        CHECK(xsoftmax::softmax(none, {temperature}).empty());
        CHECK(xsoftmax::log_softmax(none, {temperature}).empty());
        CHECK(xsoftmax::log_sum_exp(none, {temperature}) == -infinity<T>);
        if (temperature == 0) continue;
        CHECK(xsoftmax::softmax_cross_entropy(none, none, {temperature}) == 0);
        std::vector<T> gradient;
        CHECK(xsoftmax::softmax_cross_entropy(none, none, gradient, {temperature}) == 0);
    }
}

TEMPLATE_TEST_CASE("a single element has all the probability", "[edges]", float, double)
{
    using T = TestType;
    const T values[] = {T(0), T(-0.0), T(1.7), T(-3), T(1e30), largest<T>, -largest<T>, denormal<T>};
    const double temperatures[] = {0, 5e-324, 1e-300, 1e-38, 0.3, 1, 7, 1e38, 1e300, DBL_MAX};
    for (const T x : values)
        for (const double temperature : temperatures) {
            CAPTURE(x);
            INFO("temperature " << temperature);
            const auto r = evaluate<T>({x}, 0, {T(1)}, temperature);
            CHECK(error_in_ulp(r.softmax[0], 1) <= promised_error_of_shares);
            CHECK(r.log_softmax[0] == 0);
            if (temperature == 0) continue;
            CHECK(r.log_sum_exp == static_cast<T>(static_cast<double>(x) / temperature));
            CHECK(r.class_loss == 0);
            CHECK(r.class_loss_with_gradient == 0);
            CHECK(r.class_gradient[0] == 0);
            CHECK(r.targets_loss == 0);
            CHECK(r.targets_loss_with_gradient == 0);
            CHECK(r.targets_gradient[0] == 0);
        }
}

TEMPLATE_TEST_CASE("a NaN anywhere makes everything NaN", "[edges]", float, double)
{
    using T = TestType;
    const auto nans = nans_with_payloads<T>();
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (std::size_t at = 0; at < n; ++at) {
            auto rows = backgrounds<T>(n);
            rows.emplace_back(n, infinity<T>);
            for (std::size_t k = 0; k < rows.size(); ++k)
                for (const double temperature : {0.0, 1e-300, 1e-20, 1.0, 1e300}) {
                    CAPTURE(n, at, k);
                    INFO("temperature " << temperature);
                    rows[k][at] = nans[0];
                    const auto r = evaluate(rows[k], n / 2, uniform_targets<T>(n), temperature);
                    CHECK(std::isnan(r.log_sum_exp));
                    CHECK(undefined_but_for_log_sum_exp(r));
                }
            for (std::size_t payload = 0; payload < nans.size(); ++payload) {
                CAPTURE(n, at, payload);
                rows[0][at] = nans[payload];
                const auto r = evaluate(rows[0], at, std::vector<T>(n), 1);
                CHECK(std::isnan(r.log_sum_exp));
                CHECK(undefined_but_for_log_sum_exp(r));
            }
        }
}

TEMPLATE_TEST_CASE("a NaN target makes the loss NaN", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (std::size_t at = 0; at < n; ++at)
            for (const double offset : {0.0, 1e4}) {
                CAPTURE(n, at, offset);
                auto targets = uniform_targets<T>(n);
                targets[at] = std::numeric_limits<T>::quiet_NaN();
                const auto r = evaluate(ragged_row<T>(n, 3, offset), 0, targets, 1);
                CHECK(std::isnan(r.targets_loss));
                CHECK(std::isnan(r.targets_loss_with_gradient));
                CHECK(all_nan(r.targets_gradient));
            }
}

TEMPLATE_TEST_CASE("+inf anywhere makes everything NaN but log_sum_exp +inf", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (std::size_t at = 0; at < n; ++at) {
            auto rows = backgrounds<T>(n);
            for (std::size_t k = 0; k < rows.size(); ++k)
                for (const double temperature : {0.0, 1e-300, 1e-20, 1.0, 1e300}) {
                    CAPTURE(n, at, k);
                    INFO("temperature " << temperature);
                    rows[k][at] = infinity<T>;
                    const auto r = evaluate(rows[k], n / 2, uniform_targets<T>(n), temperature);
                    CHECK(r.log_sum_exp == infinity<T>);
                    CHECK(undefined_but_for_log_sum_exp(r));
                }
        }
}

TEMPLATE_TEST_CASE("NaN wins over +inf wherever the two stand", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 2; n <= longest; n = logits::next_length(n))
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t step = 1; step < n; step += 1 + step / 4) {
                const std::size_t j = (i + step) % n;
                auto row = ragged_row<T>(n, 3);
                row[i] = infinity<T>;
                row[j] = std::numeric_limits<T>::quiet_NaN();
                for (const double temperature : {0.0, 1e-20, 1.0}) {
                    CAPTURE(n, i, j);
                    INFO("temperature " << temperature);
                    const auto r = evaluate(row, i, uniform_targets<T>(n), temperature);
                    CHECK(std::isnan(r.log_sum_exp));
                    CHECK(undefined_but_for_log_sum_exp(r));
                }
            }
}

TEMPLATE_TEST_CASE("-inf has probability 0, log-probability -inf and gradient 0", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 2; n <= longest; n = logits::next_length(n))
        for (std::size_t at = 0; at < n; at += 1 + n / 24)
            for (const double offset : {0.0, 1e4})
                for (const double temperature : {5e-324, 1e-20, 0.7, 1e20, DBL_MAX}) {
                    CAPTURE(n, at, offset);
                    INFO("temperature " << temperature);
                    auto row = ragged_row<T>(n, 3, offset);
                    auto targets = ragged_targets<T>(n, 1);
                    row[at] = -infinity<T>;
                    targets[at] = 0;
                    const std::size_t target = (at + 1) % n;
                    const auto r = evaluate(row, target, targets, temperature);
                    CHECK(r.softmax[at] == 0);
                    CHECK(r.log_softmax[at] == -infinity<T>);
                    CHECK(r.class_gradient[at] == 0);
                    CHECK(r.targets_gradient[at] == 0);
                    CHECK(largest_error(row, target, targets, temperature) <= promised_error);
                }
}

TEMPLATE_TEST_CASE("one finite element among -inf has all the probability", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (std::size_t at = 0; at < n; ++at) {
            CAPTURE(n, at);
            std::vector<T> row(n, -infinity<T>), targets(n);
            row[at] = T(-5.3);
            targets[at] = 1;
            const auto r = evaluate(row, at, targets, 1);
            CHECK(error_in_ulp(r.softmax[at], 1) <= promised_error_of_shares);
            CHECK(r.log_softmax[at] == 0);
            CHECK(r.log_sum_exp == T(-5.3));
            CHECK(r.class_loss == 0);
            CHECK(r.class_gradient[at] == 0);
            CHECK(r.targets_loss == 0);
            CHECK(r.targets_gradient[at] == 0);
        }
}

TEMPLATE_TEST_CASE("a row of -inf is undefined, its log_sum_exp -inf", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (const double temperature : {0.0, 1e-300, 1.0, 1e38}) {
            CAPTURE(n);
            INFO("temperature " << temperature);
            const auto r = evaluate(std::vector<T>(n, -infinity<T>), n / 2, uniform_targets<T>(n), temperature);
            CHECK(r.log_sum_exp == -infinity<T>);
            CHECK(undefined_but_for_log_sum_exp(r));
        }
}

TEMPLATE_TEST_CASE("the largest numbers of either sign neither overflow nor mix", "[edges]", float, double)
{
    using T = TestType;
    constexpr T top = largest<T>;
    std::vector<std::vector<T>> rows{{top, -top},
                                     {-top, top, -top},
                                     {top, top, top},
                                     {-top, -top, -top},
                                     {top, 0, -top, 1},
                                     {-top, std::nextafter(-top, T(0))},
                                     {top, std::nextafter(top, T(0)), T(0)}};
    for (std::size_t n = 5; n <= longest; n = logits::next_length(n)) {
        auto row = ragged_row<T>(n, 3);
        row[n / 3] = top;
        row[n - 1] = -top;
        rows.push_back(row);
        for (std::size_t i = 0; i < n; ++i) row[i] = i % 3 == 0 ? top : -top;
        rows.push_back(row);
    }
    for (const auto& row : rows) {
        CAPTURE(row);
        std::vector<double> temperatures(std::begin(extreme_temperatures), std::end(extreme_temperatures));
        temperatures.insert(temperatures.end(), {1, 1.1, static_cast<double>(largest<T>) / 3});
        for (const double temperature : temperatures)
            for (const std::size_t target : {std::size_t{0}, row.size() - 1}) {
                CAPTURE(target);
                INFO("temperature " << temperature);
                CHECK(largest_error(row, target, ragged_targets<T>(row.size(), 1), temperature) <= promised_error);
            }
        const auto p = xsoftmax::softmax(row);
        const T winners = static_cast<T>(std::count(row.begin(), row.end(), *std::max_element(row.begin(), row.end())));
        for (std::size_t i = 0; i < row.size(); ++i)
            CHECK(error_in_ulp(p[i], row[i] == *std::max_element(row.begin(), row.end()) ? 1.0L / winners : 0.0L) <= 1);
    }
}

TEMPLATE_TEST_CASE("spread and offset of the logits do not matter", "[edges]", float, double)
{
    using T = TestType;
    std::vector<double> offsets{0, 1e4, -1e4, 1e30, 1e38, -1e38};
    if (sizeof(T) == 8) offsets.insert(offsets.end(), {1e300, -1e300});
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (const double offset : offsets)
            for (const double spread : {0.0, 1.0, 40.0, 1e4, 1e30}) {
                CAPTURE(n, offset, spread);
                auto row = ragged_row<T>(n, spread, offset);
                row[n / 2] = static_cast<T>(offset);
                // Neighbours of the offset: where one unit in the last place is far more than 1.
                row[n - 1] = std::nextafter(static_cast<T>(offset), -infinity<T>);
                CHECK(largest_error(row, n / 3, ragged_targets<T>(n, 1), 1) <= promised_error);
                // Where neighbours differ by about the temperature.
                const double temperature = std::max(1.0, std::abs(offset) * std::numeric_limits<T>::epsilon());
                CHECK(largest_error(row, n / 2, ragged_targets<T>(n, 1), temperature) <= promised_error);
            }
}

TEMPLATE_TEST_CASE("denormal probabilities are rounded, not flushed", "[edges]", float, double)
{
    using T = TestType;
    const auto depths = sizeof(T) == 4 ? std::vector<double>{-87.5, -88, -90, -95, -100, -103, -103.5, -104, -110}
                                       : std::vector<double>{-708.5, -710, -720, -735, -744, -745, -746, -800};
    for (std::size_t n = 2; n <= longest; n = logits::next_length(n))
        for (const double offset : {0.0, 3.25, 1e3})
            for (const double depth : depths) {
                CAPTURE(n, offset, depth);
                std::vector<T> row(n, static_cast<T>(offset + depth));
                row[n / 2] = static_cast<T>(offset);
                const auto p = xsoftmax::softmax(row);
                std::vector<T> gradient(n);
                xsoftmax::softmax_cross_entropy(row, n / 2, gradient);
                const long double exact = std::exp(static_cast<long double>(depth));
                for (std::size_t i = 0; i < n; ++i)
                    if (i != n / 2) {
                        CHECK(error_in_ulp(p[i], exact) <= 1);
                        CHECK(error_in_ulp(gradient[i], exact) <= 1);
                    }
                CHECK(error_in_ulp(p[n / 2], 1) <= promised_error_of_shares);
            }
    // The same probabilities where the temperature, and not the logits, is large or small.
    for (const double temperature : {1e-20, 1e-3, 1e3, 1e20})
        for (const double depth : depths) {
            CAPTURE(depth);
            INFO("temperature " << temperature);
            const std::vector<T> row{T(0), static_cast<T>(depth * temperature)};
            CHECK(largest_error(row, 0, {T(0.5), T(0.5)}, temperature) <= promised_error);
        }
}

TEMPLATE_TEST_CASE("denormal logits count", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n)) {
        std::vector<T> row(n);
        for (std::size_t i = 0; i < n; ++i) row[i] = denormal<T> * static_cast<T>(static_cast<int>(i * 7 % 11) - 5);
        for (const double unit : {1.0, 2.5, 1e4, 1e30}) {
            const double temperature = unit * static_cast<double>(denormal<T>);
            CAPTURE(n);
            INFO("temperature " << temperature);
            CHECK(largest_error(row, n / 2, ragged_targets<T>(n, 1), temperature) <= promised_error);
        }
        CAPTURE(n);
        CHECK(largest_error(row, n / 2, ragged_targets<T>(n, 1), 1) <= promised_error);
        const auto limit = xsoftmax::softmax(row, {0});
        const T top = *std::max_element(row.begin(), row.end());
        for (std::size_t i = 0; i < n; ++i) CHECK((limit[i] > 0) == (row[i] == top));
    }
}

TEMPLATE_TEST_CASE("2^20 or 2^24 equal logits share exactly", "[edges][large]", float, double)
{
    using T = TestType;
    const int power = logits::thorough() ? 24 : 20;
    const std::size_t n = std::size_t{1} << power;
    const T share = std::ldexp(T(1), -power), log_n = static_cast<T>(power * std::log(2.0L));
    std::vector<T> row;
    const auto equals = [](const std::vector<T>& results, T expected) {
        return std::all_of(results.begin(), results.end(), [=](T x) { return x == expected; });
    };
    for (const T value : {T(0), T(1.3), T(-1e5)}) {
        CAPTURE(value);
        row.assign(n, value);
        CHECK(error_in_ulp(xsoftmax::log_sum_exp(row), value + power * std::log(2.0L)) <= 1);
        CHECK(xsoftmax::softmax_cross_entropy(row, n - 1) == log_n);
        CHECK(equals(xsoftmax::softmax(row), share));
        xsoftmax::log_softmax(row, row);
        CHECK(equals(row, -log_n));
    }
    row.assign(n, T(0));
    CHECK(xsoftmax::log_sum_exp(row) == log_n);
    CHECK(xsoftmax::log_sum_exp(row, {0}) == log_n);
    xsoftmax::softmax(row, row, {0});
    CHECK(equals(row, share));
}

TEMPLATE_TEST_CASE("zeros of either sign are the same", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (const double temperature : {0.0, 1e-300, 1e-20, 1.0, 1e300}) {
            CAPTURE(n);
            INFO("temperature " << temperature);
            std::vector<T> row(n, T(0.0));
            for (std::size_t i = 0; i < n; i += 2) row[i] = T(-0.0);
            const auto r = evaluate(row, n / 2, uniform_targets<T>(n), temperature);
            const long double log_n = std::log(static_cast<long double>(n));
            CHECK(error_in_ulp(r.log_sum_exp, log_n) <= 1);
            for (std::size_t i = 0; i < n; ++i) {
                CHECK(error_in_ulp(r.softmax[i], 1.0L / static_cast<long double>(n)) <= 1);
                CHECK(error_in_ulp(r.log_softmax[i], -log_n) <= 1);
            }
        }
}

TEMPLATE_TEST_CASE("a target of 0 adds nothing, a positive one on -inf makes the loss +inf", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 2; n <= longest; n = logits::next_length(n))
        for (std::size_t at = 0; at < n; ++at)
            for (const double temperature : {1e-300, 1e-20, 1.0, 1e20, 1e300}) {
                CAPTURE(n, at);
                INFO("temperature " << temperature);
                auto row = ragged_row<T>(n, 3);
                row[at] = -infinity<T>;
                std::vector<T> targets(n);
                targets[(at + 1) % n] = 1;
                auto r = evaluate(row, (at + 1) % n, targets, temperature);
                CHECK(error_in_ulp(r.targets_loss, static_cast<long double>(r.class_loss)) <= 1);
                CHECK(r.targets_loss_with_gradient == r.targets_loss);
                CHECK(std::none_of(r.targets_gradient.begin(), r.targets_gradient.end(),
                                   [](T g) { return std::isnan(g); }));
                CHECK(r.targets_gradient[at] == 0);

                targets[at] = T(0.25);
                r = evaluate(row, at, targets, temperature);
                const T lost = static_cast<T>(0.25 / temperature);
                CHECK(r.targets_loss == infinity<T>);
                CHECK(r.targets_loss_with_gradient == infinity<T>);
                CHECK(error_in_ulp(r.targets_gradient[at], -static_cast<long double>(lost)) <= 1);
                CHECK(r.class_loss == infinity<T>);
                CHECK(r.class_loss_with_gradient == infinity<T>);
                CHECK(error_in_ulp(r.class_gradient[at], -1.0L / temperature) <= 1);
                if (temperature == 1) {
                    CHECK(r.targets_gradient[at] == T(-0.25));
                    CHECK(r.class_gradient[at] == -1);
                }
            }
}

TEMPLATE_TEST_CASE("targets that do not sum to 1 are used as given", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (const T sum : {T(0.5), T(2), T(1000)})
            for (const double offset : {0.0, 1e4})
                for (const double temperature : {1e-20, 1.0, 30.0, 1e20}) {
                    CAPTURE(n, sum, offset);
                    INFO("temperature " << temperature);
                    const auto row = ragged_row<T>(n, 3, offset);
                    CHECK(largest_error(row, n / 2, ragged_targets<T>(n, sum), temperature) <= promised_error);
                }
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n)) {
        CAPTURE(n);
        const auto r = evaluate(ragged_row<T>(n, 3), 0, std::vector<T>(n), 1);
        CHECK(r.targets_loss == 0);
        for (const T g : r.targets_gradient) CHECK(g == 0);
    }
}

TEMPLATE_TEST_CASE("a loss that is a number is found though its terms times T are not", "[edges]", float, double)
{
    using T = TestType;
    for (const double temperature : {1e8, 1e9, 4e9}) {
        INFO("temperature " << temperature);
        CHECK(largest_error<T>({T(0), -largest<T>}, 0, {T(0), T(8)}, temperature) <= promised_error);
        const std::vector<T> row(longest, -largest<T>);
        auto with_maximum = row;
        with_maximum[7] = 0;
        CHECK(largest_error<T>(with_maximum, 0, std::vector<T>(longest, T(1)), temperature) <= promised_error);
        with_maximum[7] = largest<T>;
        CHECK(largest_error<T>(with_maximum, 0, std::vector<T>(longest, T(1)), temperature) <= promised_error);
    }
}

TEMPLATE_TEST_CASE("k equal maxima share 1/k", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (std::size_t k = 1; k <= n; ++k) {
            std::vector<bool> wins(n);
            for (std::size_t i = 0, at = n / 2; i < k; ++i, at = (at + 1) % n) wins[at] = true;
            for (const T value : {T(0), T(1.3), T(-7.7), T(1e4), T(-1e30)}) {
                CAPTURE(n, k, value);
                const T loser = value - std::max(T(2000), std::abs(value));
                std::vector<T> row(n);
                for (std::size_t i = 0; i < n; ++i) row[i] = wins[i] ? value : loser;
                for (const double temperature : {0.0, 1e-20, 1.0}) {
                    const auto p = xsoftmax::softmax(row, {temperature});
                    const auto y = xsoftmax::log_softmax(row, {temperature});
                    // Above temperature 0, short rows divide by a sum that has been rounded: k of the same share may be
                    // a unit off 1/k, while one alone divides by itself.
                    const double allowed = temperature == 0 || k == 1 ? promised_error_of_shares : 1;
                    bool exact = true, logarithm_close = true;
                    for (std::size_t i = 0; i < n; ++i) {
                        exact = exact && error_in_ulp(p[i], wins[i] ? T(1) / static_cast<T>(k) : T(0)) <= allowed;
                        if (wins[i])
                            logarithm_close =
                                logarithm_close && error_in_ulp(y[i], -std::log(static_cast<long double>(k))) <= 1;
                    }
                    INFO("temperature " << temperature);
                    CHECK(exact);
                    CHECK(logarithm_close);
                }
            }
        }
}

TEMPLATE_TEST_CASE("a winner far ahead has probability exactly 1", "[edges]", float, double)
{
    using T = TestType;
    for (int step = -120; step <= 120; ++step) {
        const double temperature = std::exp2(step / 3.0);
        for (int k = 0; k < 40; ++k) {
            const T x = static_cast<T>((k - 17) * 3.7 * temperature);
            const T far = static_cast<T>(static_cast<double>(x) - 200 * temperature);
            CAPTURE(x);
            INFO("temperature " << temperature);
            const auto r = evaluate<T>({far, x, far}, 1, {T(0), T(1), T(0)}, temperature);
            CHECK(error_in_ulp(r.softmax[1], 1) <= promised_error_of_shares);
            // Its loss is not 0: none of the others is.
            CHECK(error_in_ulp(r.class_loss, 2 * std::exp((far - static_cast<long double>(x)) / temperature)) <=
                  promised_error);
        }
    }
}

TEMPLATE_TEST_CASE("temperature 0 is the limit", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (const double offset : {0.0, 1e4, -1e4}) {
            CAPTURE(n, offset);
            auto row = ragged_row<T>(n, 3, offset);
            row[n - 1] = row[0] = *std::max_element(row.begin(), row.end());
            const T top = row[0];
            const auto winners = static_cast<long double>(std::count(row.begin(), row.end(), top));
            const auto p = xsoftmax::softmax(row, {0});
            const auto y = xsoftmax::log_softmax(row, {0});
            for (std::size_t i = 0; i < n; ++i) {
                CHECK(p[i] == (row[i] == top ? static_cast<T>(1 / winners) : T(0)));
                if (row[i] == top)
                    CHECK(error_in_ulp(y[i], -std::log(winners)) <= 1);
                else
                    CHECK(y[i] == -infinity<T>);
            }
            if (top != 0) CHECK(xsoftmax::log_sum_exp(row, {0}) == (top > 0 ? infinity<T> : -infinity<T>));

            for (T& x : row) x -= top;
            const auto zeros = static_cast<long double>(std::count(row.begin(), row.end(), T(0)));
            CHECK(error_in_ulp(xsoftmax::log_sum_exp(row, {0}), std::log(zeros)) <= 1);
        }
    CHECK(xsoftmax::log_sum_exp(std::vector<T>{denormal<T>, T(-1)}, {0}) == infinity<T>);
    CHECK(xsoftmax::log_sum_exp(std::vector<T>{-denormal<T>, T(-1)}, {0}) == -infinity<T>);
}

TEMPLATE_TEST_CASE("every temperature gives the limit it tends to, never NaN", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n)) {
        std::vector<std::vector<T>> rows{ragged_row<T>(n, 3),     ragged_row<T>(n, 1e-30), ragged_row<T>(n, 3, 1e4),
                                         ragged_row<T>(n, 1e-40), ragged_row<T>(n, 1e30),  std::vector<T>(n, T(1.5)),
                                         std::vector<T>(n, T(-2))};
        if (sizeof(T) == 8) {
            rows.push_back(ragged_row<T>(n, 1e100));
            rows.push_back(ragged_row<T>(n, 1e-280));
            rows.push_back(ragged_row<T>(n, 1e300));
        }
        for (std::size_t k = 0; k < rows.size(); ++k)
            for (const double temperature : extreme_temperatures) {
                CAPTURE(n, k);
                INFO("temperature " << temperature);
                CHECK(largest_error(rows[k], n / 2, ragged_targets<T>(n, 1), temperature) <= promised_error);
            }
    }
}

TEMPLATE_TEST_CASE("a row gives the same in place", "[edges]", float, double)
{
    using T = TestType;
    for (std::size_t n = 1; n <= longest; n = logits::next_length(n))
        for (const double offset : {0.0, 1e4})
            for (const double temperature : {0.0, 1e-300, 1e-20, 1.0, 1e300}) {
                CAPTURE(n, offset);
                INFO("temperature " << temperature);
                const auto row = ragged_row<T>(n, 3, offset);
                const auto targets = ragged_targets<T>(n, 1);
                const auto r = evaluate(row, n / 2, targets, temperature);
                auto in_place = row;
                xsoftmax::softmax(in_place, in_place, {temperature});
                CHECK(in_place == r.softmax);
                in_place = row;
                xsoftmax::log_softmax(in_place, in_place, {temperature});
                CHECK(in_place == r.log_softmax);
                if (temperature == 0) continue;
                in_place = row;
                CHECK(xsoftmax::softmax_cross_entropy(in_place, n / 2, in_place, {temperature}) == r.class_loss);
                CHECK(in_place == r.class_gradient);
                in_place = row;
                CHECK(xsoftmax::softmax_cross_entropy(in_place, targets, in_place, {temperature}) == r.targets_loss);
                CHECK(in_place == r.targets_gradient);
            }
}

// ---- Floating-point exceptions --------------------------------------------------------------------------------------

namespace {

/// Which of FE_INVALID, FE_OVERFLOW and FE_DIVBYZERO a call raises.
template <class Call>
int raised_by(const Call& call)
{
    std::feclearexcept(FE_ALL_EXCEPT);
    call();
    return std::fetestexcept(FE_INVALID | FE_OVERFLOW | FE_DIVBYZERO);
}

/// By all functions, of a row by itself, of many of it, and along both axes.
template <class T>
int raised_by_all(const std::vector<T>& x, double temperature)
{
    constexpr std::size_t rows = 19;  // groups of the widest vectors, and some left over
    const std::size_t n = x.size(), target = n / 2;
    std::vector<T> y(n), gradient(n), many, of_many(rows * n), gradients(rows * n), values(rows), of_columns(n);
    for (std::size_t r = 0; r < rows; ++r) many.insert(many.end(), x.begin(), x.end());
    const std::vector<std::size_t> targets(rows, target);
    const xsoftmax::matrix_view<const T> in(many.data(), rows, n);
    const xsoftmax::matrix_view<T> out(of_many.data(), rows, n), to(gradients.data(), rows, n);
    const xsoftmax::softmax_options options{.temperature = temperature}, columns{temperature, 0};
    const xsoftmax::cross_entropy_options<T> plain{.temperature = temperature},
        smooth{.temperature = temperature, .label_smoothing = 0.1};
    const std::vector<T> upstream(n, T(1));
    return raised_by([&] {
        xsoftmax::log_softmax(x, y, options);
        xsoftmax::log_softmax_backward(y, upstream, gradient, options);
        xsoftmax::softmax(x, y, options);
        xsoftmax::softmax_backward(y, upstream, gradient, options);
        static_cast<void>(xsoftmax::log_sum_exp(x, options));
        xsoftmax::softmax_cross_entropy(x, target, gradient, plain);
        xsoftmax::softmax_cross_entropy(x, target, gradient, smooth);
        for (const auto& along : {options, columns}) {
            xsoftmax::log_softmax(in, out, along);
            xsoftmax::log_softmax_backward(out, out, to, along);
            xsoftmax::softmax(in, out, along);
            xsoftmax::softmax_backward(out, in, to, along);
            xsoftmax::log_sum_exp(in, along.axis == 0 ? of_columns : values, along);
        }
        xsoftmax::softmax_cross_entropy(in, targets, out, plain);
        xsoftmax::softmax_cross_entropy(in, targets, out, smooth);
    });
}

}  // namespace

TEMPLATE_TEST_CASE("finite rows raise no floating-point exception that a program may trap", "[edges]", float, double)
{
    using T = TestType;
    for (const std::size_t n : {1u, 2u, 3u, 5u, 8u, 16u, 17u, 33u, 64u, 100u, 130u, 257u, 1000u}) {
        const std::vector<T> plain = logits::normal<T>(n, 3, n);
        for (const double temperature : {1.0, 0.7, 1e-3, 50.0}) {
            INFO(n << " elements, temperature " << temperature << ", seed " << logits::seed());
            CHECK(raised_by_all(plain, temperature) == 0);
            for (const T outlier : {T(800), T(-1e4), T(1e25), T(-1e25)}) {
                std::vector<T> x = plain;
                x[n / 2] = outlier;
                INFO("one element of " << outlier);
                CHECK(raised_by_all(x, temperature) == 0);
            }
            std::vector<T> far = plain, wide = plain;
            for (T& x : far) x += T(1e5);
            for (T& x : wide) x *= T(1e30);
            CHECK(raised_by_all(far, temperature) == 0);
            // Below, gradients themselves overflow.
            if (temperature > 0.1) CHECK(raised_by_all(wide, temperature) == 0);
        }
    }
}

TEMPLATE_TEST_CASE("the gradient of a single class is 0, not -0", "[edges]", float, double)
{
    using T = TestType;
    const T x = 3;
    T gradient = -1;
    const int target = 0;
    xsoftmax::softmax_cross_entropy(std::span<const T>(&x, 1), target, std::span<T>(&gradient, 1));
    CHECK(gradient == 0);
    CHECK_FALSE(std::signbit(gradient));
    gradient = -1;
    xsoftmax::softmax_cross_entropy(xsoftmax::matrix_view<const T>(&x, 1, 1), std::span<const int>(&target, 1),
                                    xsoftmax::matrix_view<T>(&gradient, 1, 1));
    CHECK(gradient == 0);
    CHECK_FALSE(std::signbit(gradient));
}

TEST_CASE("a gradient that its parts overflow, and its sum does not", "[edges]")
{
    const std::vector<float> x{FLT_MAX, 0};
    std::vector<float> gradient(2);
    xsoftmax::softmax_cross_entropy(
        x, 1, gradient,
        {.temperature = 0.5, .reduction = xsoftmax::reduction::sum, .label_smoothing = 0.3, .z_loss = 0.1});
    CHECK(gradient[0] == Approx(2.722259e38).epsilon(1e-5));
    CHECK(gradient[1] == Approx(-1.7).epsilon(1e-6));
}

TEST_CASE("a loss beyond the range of double is infinite", "[edges]")
{
    const std::vector<double> x{0, -1.5e308};
    std::vector<double> gradient(2), losses(1);
    const int target = 1;
    CHECK(xsoftmax::softmax_cross_entropy(x, target, {.temperature = 0.5}) == infinity<double>);
    CHECK(xsoftmax::softmax_cross_entropy(x, target, gradient, {.temperature = 0.5}) == infinity<double>);
    CHECK(gradient[1] == -2);
    xsoftmax::cross_entropy_losses(xsoftmax::matrix_view<const double>(x.data(), 1, 2),
                                   std::span<const int>(&target, 1), losses, {.temperature = 0.5});
    CHECK(losses[0] == infinity<double>);
    const std::vector<double> targets{0, 1};
    CHECK(xsoftmax::softmax_cross_entropy(x, targets, {.temperature = 0.5}) == infinity<double>);
}

TEST_CASE("targets of numbers near the largest one raise no exception, in place either", "[edges]")
{
    for (const std::size_t n : {2u, 65u, 130u}) {
        std::vector<double> x(n, -1.7e308), targets(n);
        x[n / 2] = 1.7e308;
        targets[n / 2] = 1;
        double loss = -1;
        CHECK(raised_by([&] { loss = xsoftmax::softmax_cross_entropy(x, targets, x); }) == 0);
        CHECK(loss == 0);
    }
}
