/// Cross-entropy of many rows: every combination of its options against the formulas in long double, along every axis, and
/// what it refuses.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"
#include "refusals.hpp"
#include "strided.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <optional>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

/// The bound of the library, in ULP of the largest term of the loss or of the gradient.
constexpr double bound = 4;

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T>
constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

using xsoftmax::reduction;

template <class T>
using options_of = xsoftmax::cross_entropy_options<T>;

// ---- The definition ---------------------------------------------------------------------------------------------------

/// One row at one temperature.
struct row_terms {
    std::vector<long double> nll;   // −log softmax(x/T)
    std::vector<long double> p;     // softmax(x/T)
    std::vector<long double> rest;  // 1 − p, from the other classes
    long double log_sum_exp = 0;    // of x/T
};

row_terms terms_of(std::span<const long double> x, double temperature)
{
    const auto winner = static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());
    std::vector<long double> e(x.size()), others;
    for (std::size_t k = 0; k < x.size(); ++k) {
        e[k] = std::exp((x[k] - x[winner]) / temperature);
        if (k != winner) others.push_back(e[k]);
    }
    const long double below = oracle::pairwise_sum(others), all = 1 + below, log_sum = std::log1p(below);
    row_terms row;
    for (std::size_t k = 0; k < x.size(); ++k) {
        row.nll.push_back((x[winner] - x[k]) / temperature + log_sum);
        row.p.push_back(e[k] / all);
        row.rest.push_back((k == winner ? below : all - e[k]) / all);
    }
    row.log_sum_exp = x[winner] / temperature + log_sum;
    return row;
}

/// A batch of rows, the classes contiguous, with targets of both kinds.
template <class T>
struct batch {
    std::size_t rows, classes;
    std::vector<T> logits;
    std::vector<std::int64_t> indices;
    std::vector<T> probabilities;
    std::vector<T> weights;

    xsoftmax::matrix_view<const T> view() const { return {logits.data(), rows, classes}; }
    xsoftmax::matrix_view<const T> probabilities_view() const { return {probabilities.data(), rows, classes}; }
};

template <class T>
batch<T> random_batch(std::size_t rows, std::size_t classes, std::uint64_t salt, double spread = 3)
{
    batch<T> b{rows, classes, logits::normal<T>(rows * classes, spread, salt, 1), {}, {}, {}};
    auto random = logits::generator(salt + 500);
    std::uniform_int_distribution<std::int64_t> any_class(0, static_cast<std::int64_t>(classes) - 1);
    for (std::size_t r = 0; r < rows; ++r) b.indices.push_back(any_class(random));
    // They do not sum to 1 in general: they are used as given.
    b.probabilities = logits::uniform<T>(rows * classes, 0, 2 / static_cast<double>(classes), salt + 1000);
    for (std::size_t i = 0; i < b.probabilities.size(); i += 4) b.probabilities[i] = 0;
    b.weights = logits::uniform<T>(classes, 0.1, 2, salt + 1500);
    return b;
}

/// One choice of every option; without a reduction the losses of the rows are wanted.
struct combination {
    bool probabilities = false;
    std::optional<reduction> reduce = {};
    double smoothing = 0;
    bool weighted = false;
    bool ignoring = false;
    double temperature = 1;
    double z_loss = 0;

    /// The options refer to the batch's weights.
    template <class T>
    options_of<T> options(const batch<T>& b, std::ptrdiff_t axis = -1) const
    {
        options_of<T> o;
        o.temperature = temperature;
        if (reduce) o.reduction = *reduce;
        o.label_smoothing = smoothing;
        if (weighted) o.class_weights = b.weights;
        o.z_loss = z_loss;
        o.axis = axis;
        return o;
    }
};

std::ostream& operator<<(std::ostream& out, const combination& c)
{
    return out << (c.probabilities ? "probabilities" : "indices") << ", reduction "
               << (!c.reduce                      ? "none"
                   : *c.reduce == reduction::mean ? "mean"
                                                  : "sum")
               << ", label_smoothing " << c.smoothing << (c.weighted ? ", class weights" : "")
               << (c.ignoring ? ", ignored rows" : "") << ", temperature " << c.temperature << ", z_loss " << c.z_loss;
}

/// All of them, at the given temperatures.
std::vector<combination> combinations(std::initializer_list<double> temperatures = {1.0, 0.5, 3.0})
{
    std::vector<combination> all;
    for (const bool probabilities : {false, true})
        for (const std::optional<reduction> reduce :
             {std::optional<reduction>(), std::optional(reduction::mean), std::optional(reduction::sum)})
            for (const double smoothing : {0.0, 0.1, 1.0})
                for (const bool weighted : {false, true})
                    for (const bool ignoring : {false, true})
                        for (const double temperature : temperatures)
                            for (const double z_loss : {0.0, 1e-3}) {
                                if (probabilities && ignoring) continue;  // ignore_index is of indices
                                all.push_back(
                                    {probabilities, reduce, smoothing, weighted, ignoring, temperature, z_loss});
                            }
    return all;
}

/// All options at once and none, both kinds of targets, each reduction: what could lose its way among strides.
std::vector<combination> few_combinations()
{
    std::vector<combination> all;
    for (const bool probabilities : {false, true})
        for (const std::optional<reduction> reduce :
             {std::optional<reduction>(), std::optional(reduction::mean), std::optional(reduction::sum)})
            for (const bool plain : {false, true})
                all.push_back(plain ? combination{probabilities, reduce}
                                    : combination{probabilities, reduce, 0.1, true, !probabilities, 0.5, 1e-3});
    return all;
}

/// The targets of a batch whose rows 0, 3, 6 … are ignored, if any are.
template <class T>
std::vector<std::int64_t> indices_of(const batch<T>& b, bool ignoring)
{
    auto indices = b.indices;
    if (ignoring)
        for (std::size_t r = 0; r < indices.size(); r += 3) indices[r] = -100;
    return indices;
}

/// A value, and the largest term that it is made of, whose ULP it is measured in.
struct expected_value {
    long double value = 0, largest = 0;
};

struct expected_losses {
    std::vector<expected_value> losses;    // one, or one for each row
    std::vector<expected_value> gradient;  // row after row
};

/// The coefficient of nll[k] in the loss of row r: first what the target gives it, then what smoothing does.
template <class T>
std::array<long double, 2> coefficient(const batch<T>& b, const combination& c, std::size_t r, std::size_t k)
{
    const long double w = c.weighted ? b.weights[k] : T(1), smoothing = c.smoothing;
    const long double t =
        c.probabilities ? b.probabilities[r * b.classes + k] : T(b.indices[r] == static_cast<std::int64_t>(k));
    return {(1 - smoothing) * w * t, smoothing / static_cast<long double>(b.classes) * w};
}

/// The largest term of a row's loss is the largest of: what the target gives, what smoothing gives (both sums over the
/// classes, of terms ≥ 0), and |z|·log_sum_exp². That of a reduction is the reduction of the rows' largest terms. That of the
/// gradient at k is the largest of (Σ c)·p[k], c[k] and 2·z·log_sum_exp·p[k], over T; for an index without smoothing the
/// first two are one, w·(p[k] − 1), in which nothing may be lost.
template <class T>
expected_losses definition(const batch<T>& b, const combination& c, std::span<const row_terms> terms,
                           bool with_gradient)
{
    const long double temperature = c.temperature, z_loss = c.z_loss;
    expected_losses expected;
    expected_value sum;
    long double weight_sum = 0;
    if (with_gradient) expected.gradient.reserve(b.logits.size());
    for (std::size_t r = 0; r < b.rows; ++r) {
        if (c.ignoring && r % 3 == 0) {
            if (!c.reduce) expected.losses.push_back({});
            if (with_gradient) expected.gradient.resize(expected.gradient.size() + b.classes);
            continue;
        }
        const row_terms& row = terms[r];
        long double of_targets = 0, of_smoothing = 0, coefficient_sum = 0;
        for (std::size_t k = 0; k < b.classes; ++k) {
            const auto [target, smooth] = coefficient(b, c, r, k);
            if (target != 0) of_targets += target * row.nll[k];
            if (smooth != 0) of_smoothing += smooth * row.nll[k];
            coefficient_sum += target + smooth;
        }
        const long double of_z = z_loss == 0 ? 0 : z_loss * row.log_sum_exp * row.log_sum_exp;
        const expected_value loss{of_targets + of_smoothing + of_z,
                                  std::max({of_targets, of_smoothing, std::abs(of_z)})};
        if (!c.reduce) expected.losses.push_back(loss);
        sum = {sum.value + loss.value, sum.largest + loss.largest};
        const auto own = static_cast<std::size_t>(b.indices[r]);
        weight_sum += !c.probabilities && c.weighted ? b.weights[own] : T(1);

        for (std::size_t k = 0; with_gradient && k < b.classes; ++k) {
            const auto [target, smooth] = coefficient(b, c, r, k);
            const long double z_share = z_loss == 0 ? 0 : 2 * z_loss * row.log_sum_exp * row.p[k];
            const long double share = coefficient_sum * row.p[k], mine = target + smooth;
            const bool plain = !c.probabilities && c.smoothing == 0 && k == own;
            const long double entropy_part = plain ? -coefficient_sum * row.rest[k] : share - mine;
            const long double largest = plain ? -entropy_part : std::max(share, mine);
            expected.gradient.push_back(
                {(entropy_part + z_share) / temperature, std::max(largest, std::abs(z_share)) / temperature});
        }
    }
    if (c.reduce) {
        const long double divisor = *c.reduce == reduction::mean ? weight_sum : 1;
        expected.losses = {{sum.value / divisor, sum.largest / divisor}};
        if (weight_sum != 0)  // else nothing counts, and the gradient is 0
            for (expected_value& g : expected.gradient) g = {g.value / divisor, g.largest / divisor};
    }
    return expected;
}

template <class T>
std::vector<row_terms> terms_of(const batch<T>& b, double temperature)
{
    const std::vector<long double> x(b.logits.begin(), b.logits.end());
    std::vector<row_terms> terms;
    for (std::size_t r = 0; r < b.rows; ++r)
        terms.push_back(terms_of(std::span(x).subspan(r * b.classes, b.classes), temperature));
    return terms;
}

template <class T>
double largest_error(std::span<const expected_value> expected, std::span<const T> got)
{
    if (expected.size() != got.size()) return infinity<double>;
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
        worst = std::max(worst, oracle::ulp_error<T>(expected[i].value, got[i], expected[i].largest));
    return worst;
}

// ---- The library ------------------------------------------------------------------------------------------------------

/// The losses that a combination asks for: one, or one for each row.
template <class T, class Logits, class Targets, class... Gradient>
std::vector<T> losses_of(const combination& c, const options_of<T>& options, std::size_t rows, const Logits& x,
                         const Targets& targets, const Gradient&... gradient)
{
    if (c.reduce) return {xsoftmax::softmax_cross_entropy(x, targets, gradient..., options)};
    std::vector<T> losses(rows, T(-7));
    xsoftmax::cross_entropy_losses(x, targets, losses, gradient..., options);
    return losses;
}

/// The same of a batch, its targets of the kind that the combination asks for.
template <class T, class... Gradient>
std::vector<T> losses_of(const batch<T>& b, const combination& c, const Gradient&... gradient)
{
    const auto options = c.options(b);
    if (c.probabilities) return losses_of<T>(c, options, b.rows, b.view(), b.probabilities_view(), gradient...);
    return losses_of<T>(c, options, b.rows, b.view(), indices_of(b, c.ignoring), gradient...);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b)
{
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// ---- Batches of every size --------------------------------------------------------------------------------------------

constexpr std::array<std::size_t, 6> class_counts{1, 3, 10, 17, 100, 1000};
constexpr std::array<std::size_t, 3> row_counts{1, 5, 33};

/// Calls `test` with a random batch of each size, of the large ones only in the slow tests.
template <class T, class Test>
void for_batches(std::span<const std::size_t> rows, std::span<const std::size_t> classes, const Test& test)
{
    std::uint64_t salt = 0;
    for (const std::size_t n : classes)
        for (const std::size_t r : rows) {
            if (!logits::thorough() && r * n > 5000) continue;
            const auto b = random_batch<T>(r, n, ++salt);
            INFO("seed " << logits::seed() << ", salt " << salt << ", " << r << " rows of " << n << " classes");
            test(b, salt);
        }
}

}  // namespace

// ---- Values -----------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("losses of every combination of options are within 4 ULP of their largest term", "[losses]", float,
                   double)
{
    using T = TestType;
    double worst_loss = 0, worst_gradient = 0;
    std::uint64_t count = 0;
    for_batches<T>(row_counts, class_counts, [&](const batch<T>& b, std::uint64_t) {
        for (const double temperature : {1.0, 0.5, 3.0}) {
            if (logits::is_left_out(count++)) continue;
            const auto terms = terms_of(b, temperature);
            for (const combination& c : combinations({temperature})) {
                INFO(c);
                const auto expected = definition(b, c, terms, true);
                const auto losses = losses_of(b, c);
                std::vector<T> gradient(b.logits.size(), T(-7));
                const auto beside = losses_of(b, c, xsoftmax::matrix_view<T>(gradient.data(), b.rows, b.classes));

                const double error =
                    std::max(largest_error<T>(expected.losses, losses), largest_error<T>(expected.losses, beside));
                const double gradient_error = largest_error<T>(expected.gradient, gradient);
                CHECK(error <= bound);
                CHECK(gradient_error <= bound);
                worst_loss = std::max(worst_loss, error);
                worst_gradient = std::max(worst_gradient, gradient_error);
            }
        }
    });
    CAPTURE(worst_loss, worst_gradient);
    CHECK(std::max(worst_loss, worst_gradient) <= bound);
}

TEMPLATE_TEST_CASE("the gradient is the slope of the loss", "[losses]", float, double)
{
    using T = TestType;
    // The long double loss moves by step·slope + step³/6 of the third derivative, which is at most 2·(Σ c)/T³ (the z term
    // adds less), and rounds at 2^-64 of it.
    constexpr long double step = 1e-5L;
    constexpr std::array<std::size_t, 5> classes{1, 3, 10, 17, 100};
    constexpr std::array<std::size_t, 2> rows{1, 5};
    for_batches<T>(rows, classes, [&](const batch<T>& b, std::uint64_t salt) {
        auto random = logits::generator(salt + 2000);
        std::uniform_int_distribution<std::size_t> any_element(0, b.logits.size() - 1);
        for (const double temperature : {1.0, 0.5, 3.0}) {
            auto terms = terms_of(b, temperature);
            for (const combination& c : combinations({temperature})) {
                std::vector<T> gradient(b.logits.size(), T(-7));
                losses_of(b, c, xsoftmax::matrix_view<T>(gradient.data(), b.rows, b.classes));
                for (int repeat = 0; repeat < 3; ++repeat) {
                    const std::size_t at = any_element(random), r = at / b.classes;
                    const auto first = b.logits.begin() + static_cast<std::ptrdiff_t>(r * b.classes);
                    std::vector<long double> row(first, first + static_cast<std::ptrdiff_t>(b.classes));
                    const row_terms kept = terms[r];
                    std::array<long double, 2> moved{};
                    long double size = 0;
                    for (const int way : {0, 1}) {
                        auto shifted = row;
                        shifted[at % b.classes] += way == 0 ? -step : step;
                        terms[r] = terms_of(shifted, temperature);
                        // One loss a row: that of this row is the only one that moves.
                        const auto loss = definition(b, c, terms, false).losses[c.reduce ? 0 : r];
                        moved[static_cast<std::size_t>(way)] = loss.value;
                        size = std::abs(loss.value);
                    }
                    terms[r] = kept;
                    if (std::isnan(moved[0])) continue;  // all ignored: the gradient is 0, the mean NaN
                    const long double slope = (moved[1] - moved[0]) / (2 * step);
                    const long double largest_coefficient = 4 / (temperature * temperature * temperature);
                    const long double tolerance =
                        step * step * largest_coefficient +
                        16 * (size + 1) * std::numeric_limits<long double>::epsilon() / step +
                        2 * bound * std::numeric_limits<T>::epsilon() * (1 + 1 / temperature) * 4;
                    INFO(c << ", element " << at << ", slope " << static_cast<double>(slope));
                    CHECK(std::abs(static_cast<double>(gradient[at] - slope)) <= static_cast<double>(tolerance));
                }
            }
        }
    });
}

TEST_CASE("the gradient is the slope of the library's own loss", "[losses]")
{
    // Rounding of the loss, 4 ULP of at most 100, over the step: 4e-9; step²/6 of the third derivative, at most 2·8·2: 1e-9.
    constexpr double step = 1.0 / 65536, tolerance = 2e-8;
    constexpr std::array<std::size_t, 3> classes{3, 17, 100};
    constexpr std::array<std::size_t, 1> rows{5};
    for_batches<double>(rows, classes, [&](const batch<double>& b, std::uint64_t salt) {
        auto random = logits::generator(salt + 3000);
        std::uniform_int_distribution<std::size_t> any_element(0, b.logits.size() - 1);
        for (const combination& c : combinations()) {
            std::vector<double> gradient(b.logits.size());
            losses_of(b, c, xsoftmax::matrix_view<double>(gradient.data(), b.rows, b.classes));
            const std::size_t at = any_element(random), loss = c.reduce ? 0 : at / b.classes;
            auto below = b, above = b;
            below.logits[at] -= step;
            above.logits[at] += step;
            const double distance = above.logits[at] - below.logits[at];
            const double slope = (losses_of(above, c)[loss] - losses_of(below, c)[loss]) / distance;
            INFO(c << ", element " << at);
            CHECK(std::abs(gradient[at] - slope) <= tolerance);
        }
    });
}

TEMPLATE_TEST_CASE("rows far from 0 and clear winners keep their digits", "[losses]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 0, count = 0;
    for (const double offset : {0.0, 1e4, -1e4})
        for (const double lead : {0.0, 20.0, 60.0})
            for (const std::size_t n : {2u, 10u, 50u, 300u}) {
                if (logits::is_left_out(count++)) continue;
                auto b = random_batch<T>(7, n, ++salt);
                for (std::size_t i = 0; i < b.logits.size(); ++i)
                    b.logits[i] = static_cast<T>(b.logits[i] + offset + (i % n == i / n % n ? lead : 0));
                for (std::size_t r = 0; r < b.rows; r += 2) b.indices[r] = static_cast<std::int64_t>(r % n);
                const auto terms = terms_of(b, 1);
                for (const combination& c : combinations({1.0})) {
                    INFO("seed " << logits::seed() << ", salt " << salt << ", offset " << offset << ", lead " << lead
                                 << ", " << n << " classes, " << c);
                    const auto expected = definition(b, c, terms, true);
                    std::vector<T> gradient(b.logits.size());
                    const auto losses = losses_of(b, c, xsoftmax::matrix_view<T>(gradient.data(), b.rows, b.classes));
                    CHECK(largest_error<T>(expected.losses, losses_of(b, c)) <= bound);
                    CHECK(largest_error<T>(expected.losses, losses) <= bound);
                    CHECK(largest_error<T>(expected.gradient, gradient) <= bound);
                }
            }
}

TEMPLATE_TEST_CASE("a large z_loss, weighted or not, keeps the bound", "[losses]", float, double)
{
    using T = TestType;
    double worst = 0;
    for (std::uint64_t salt = 0; salt < 3000; ++salt) {
        const std::size_t n = 1 + salt % 12;
        const std::vector<T> x = logits::normal<T>(n, salt % 2 == 0 ? 0.5 : 3, salt);
        auto random = logits::generator(salt + 7000000);
        std::uniform_real_distribution<T> between(T(0.5), T(1));
        const T weight = between(random);
        const auto z_loss = static_cast<double>(between(random));
        const std::vector<T> weights(n, weight);
        const std::vector<int> target{static_cast<int>(salt % n)};
        std::vector<T> loss(1);
        xsoftmax::cross_entropy_losses(xsoftmax::matrix_view<const T>(x.data(), 1, n), target, loss,
                                       {.class_weights = weights, .z_loss = z_loss});
        const oracle::row<T> exact(x, 1);
        const long double of_target = exact.cross_entropy(salt % n) * weight;
        const long double of_z = exact.log_sum_exp() * exact.log_sum_exp() * z_loss;
        worst = std::max(worst, oracle::ulp_error(of_target + of_z, loss[0], std::max(of_target, of_z)));
    }
    CAPTURE(worst);
    CHECK(worst <= bound);
}

// The factor of the exponentials is then small or large beyond what its type has digits for.
TEMPLATE_TEST_CASE("gradients of weights and temperatures of any size, in place and not", "[losses]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 700;
    for (const std::size_t n : {150u, 300u, 500u, 1000u})
        for (const double temperature : {1.0, 1e9, 1e-6})
            for (const double weight : {1e-9, 1e-7, 1e-5, 1.0, 1e5, 1e9, 1e30})
                for (const double lead : {0.0, 5.0, 19.5}) {
                    // A guess that is made of the first 64 is `lead` too low.
                    auto x = logits::normal<T>(3 * n, 0.1, ++salt);
                    for (std::size_t i = 0; i < x.size(); ++i) {
                        if (i % n >= 64) x[i] += static_cast<T>(lead);
                        if (i / n == 1 && i % n != n - 1) x[i] -= T(115);
                        x[i] = static_cast<T>(static_cast<double>(x[i]) * temperature);
                    }
                    const std::vector<T> weights(n, static_cast<T>(weight));
                    const int targets[] = {2, static_cast<int>(n - 1), static_cast<int>(n / 2)};
                    const xsoftmax::cross_entropy_options<T> options{.temperature = temperature,
                                                                     .class_weights = weights};
                    std::vector<T> gradient(x.size()), losses(3), in_place = x;
                    xsoftmax::cross_entropy_losses(xsoftmax::matrix_view<const T>(x.data(), 3, n), targets, losses,
                                                   xsoftmax::matrix_view<T>(gradient.data(), 3, n), options);
                    const xsoftmax::matrix_view<T> over(in_place.data(), 3, n);
                    xsoftmax::cross_entropy_losses(over, targets, losses, over, options);
                    INFO(n << " classes, temperature " << temperature << ", weight " << weight << ", lead " << lead
                           << ", seed " << logits::seed() << ", salt " << salt);
                    const bool same = gradient == in_place;
                    CHECK(same);
                    double worst = 0;
                    for (std::size_t r = 0; r < 3; ++r) {
                        const oracle::row<T> exact(std::span<const T>(x).subspan(r * n, n), temperature);
                        for (std::size_t i = 0; i < n; ++i) {
                            if (r == 1 && i != n - 1) continue;  // may be beyond the cutoff
                            const long double expected =
                                exact.cross_entropy_gradient(i, static_cast<std::size_t>(targets[r])) *
                                static_cast<long double>(weights[i]);
                            worst = std::max(worst, oracle::ulp_error(expected, gradient[r * n + i]));
                        }
                    }
                    CHECK(worst <= 3);
                }
}

// Double classes have more range than the test before needs.
TEST_CASE("gradients of classes at the ends of double", "[losses]")
{
    for (const std::size_t n : {5u, 100u, 1000u})
        for (const double weight : {1e-290, 1e-250, 1e-200, 1e200, 1e231, 1e290}) {
            const auto x = logits::normal<double>(n, 1, n);
            const std::vector<double> weights(n, weight);
            const int targets[] = {2};
            std::vector<double> gradient(n), losses(1);
            xsoftmax::cross_entropy_losses(xsoftmax::matrix_view<const double>(x.data(), 1, n), targets, losses,
                                           xsoftmax::matrix_view<double>(gradient.data(), 1, n),
                                           {.class_weights = weights});
            const oracle::row<double> exact(x, 1);
            double worst = 0;
            for (std::size_t i = 0; i < n; ++i)
                worst = std::max(
                    worst, oracle::ulp_error(exact.cross_entropy_gradient(i, 2) * static_cast<long double>(weight),
                                             gradient[i]));
            INFO(n << " classes, weight " << weight << ", seed " << logits::seed());
            CHECK(worst <= 3);
        }
}

TEMPLATE_TEST_CASE("gradients of target probabilities of any size", "[losses]", float, double)
{
    using T = TestType;
    constexpr bool is_float = sizeof(T) == 4;
    for (const std::size_t n : {3u, 5u, 20u, 100u, 1000u})
        for (const double size : {1e-9, is_float ? 1e-20 : 1e-220, is_float ? 1e-25 : 1e-250, is_float ? 1e-28 : 1e-280,
                                  1e9, is_float ? 1e25 : 1e250})
            for (const bool smoothed : {false, true}) {
                const auto x = logits::normal<T>(n, 1, n);
                auto t = logits::uniform<T>(n, T(0.1), 1, n + 1);
                std::vector<T> gradient(n), losses(1), weights;
                const xsoftmax::matrix_view<const T> in(x.data(), 1, n);
                const xsoftmax::matrix_view<T> out(gradient.data(), 1, n);
                if (smoothed) {
                    // All classes of that weight, and smoothed targets of a class.
                    const double smoothing = 0.5;
                    weights.assign(n, static_cast<T>(size));
                    const int targets[] = {1};
                    xsoftmax::cross_entropy_losses(in, targets, losses, out,
                                                   {.label_smoothing = smoothing, .class_weights = weights});
                    for (std::size_t i = 0; i < n; ++i)
                        t[i] = static_cast<T>((smoothing / static_cast<double>(n) + (i == 1 ? 1 - smoothing : 0)) *
                                              static_cast<double>(weights[i]));
                }
                else {
                    for (T& target : t) target = static_cast<T>(static_cast<double>(target) * size);
                    xsoftmax::cross_entropy_losses(in, xsoftmax::matrix_view<const T>(t.data(), 1, n), losses, out);
                }
                const oracle::row<T> exact(x, 1);
                long double sum = 0;
                for (const T target : t) sum += static_cast<long double>(target);
                double worst = 0;
                for (std::size_t i = 0; i < n; ++i) {
                    const long double of_all = sum * exact.softmax(i), own = static_cast<long double>(t[i]);
                    worst = std::max(worst, oracle::ulp_error<T>(of_all - own, gradient[i], std::max(of_all, own)));
                }
                INFO(n << " classes, size " << size << ", smoothed " << smoothed << ", seed " << logits::seed());
                CHECK(worst <= bound);
            }
}

TEST_CASE("gradients of a far winner, times a large weight", "[losses]")
{
    for (const double lead : {100.0, 600.0, 700.0, 720.0, 735.0})
        for (const double weight : {1.0, 1e200, 1e300})
            for (const bool one_hot : {true, false}) {
                const std::vector<double> x{0, -lead}, targets{weight, one_hot ? 0 : 1e-200};
                std::vector<double> gradient(2);
                xsoftmax::softmax_cross_entropy(x, targets, gradient);
                const long double other = std::exp(static_cast<long double>(-lead)) * static_cast<long double>(weight);
                INFO("lead " << lead << ", weight " << weight);
                const long double of_target = static_cast<long double>(targets[1]) - other;
                CHECK(oracle::ulp_error(of_target, gradient[0]) <= bound);
                if (one_hot) CHECK(oracle::ulp_error(other, gradient[1]) <= bound);
            }
}

// What is computed of a row's logits is computed before they are gone.
TEMPLATE_TEST_CASE("a loss is the same with a gradient over the logits", "[losses]", float, double)
{
    using T = TestType;
    const std::vector<T> x{0, -infinity<T>, 1}, targets{T(0.5), T(0.5), T(0.2)};
    const int classes[] = {0};
    for (const double smoothing : {0.0, 0.1}) {
        std::vector<T> row = x, losses(1);
        const xsoftmax::matrix_view<T> over(row.data(), 1, 3);
        xsoftmax::cross_entropy_losses(over, xsoftmax::matrix_view<const T>(targets.data(), 1, 3), losses, over,
                                       {.label_smoothing = smoothing});
        CHECK(losses[0] == infinity<T>);
        row = x;
        xsoftmax::cross_entropy_losses(over, classes, losses, over, {.label_smoothing = smoothing});
        CHECK((smoothing != 0) == (losses[0] == infinity<T>));
    }
}

TEMPLATE_TEST_CASE("gradients that overflow keep their sign", "[losses]", float, double)
{
    using T = TestType;
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const double temperature = sizeof(T) == 4 ? 3e-8 : 1e-20;
    const T weight = sizeof(T) == 4 ? T(1.6e37) : static_cast<T>(1e300);
    const std::size_t rows = 20;
    for (const std::size_t n : {5u, 20u, 100u, 1000u}) {
        auto x = logits::normal<T>(rows * n, 1, n);
        for (T& logit : x) logit = static_cast<T>(static_cast<double>(logit) * temperature);
        const std::vector<T> weights(n, weight);
        const std::vector<int> targets(rows, 3);
        std::vector<T> gradient(x.size()), losses(rows);
        xsoftmax::cross_entropy_losses(xsoftmax::matrix_view<const T>(x.data(), rows, n), targets, losses,
                                       xsoftmax::matrix_view<T>(gradient.data(), rows, n),
                                       {.temperature = temperature, .class_weights = weights});
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < x.size(); ++i) wrong += gradient[i] != (i % n == 3 ? -infinity : infinity);
        INFO(n << " classes, seed " << logits::seed());
        CHECK(wrong == 0);
    }
}

TEMPLATE_TEST_CASE("a negative z_loss subtracts, and the loss may be negative", "[losses]", float, double)
{
    using T = TestType;
    for_batches<T>(row_counts, class_counts, [&](const batch<T>& b, std::uint64_t) {
        const auto terms = terms_of(b, 1);
        for (combination c : few_combinations()) {
            c.temperature = 1;
            c.z_loss = -3;
            INFO(c);
            const auto expected = definition(b, c, terms, true);
            std::vector<T> gradient(b.logits.size());
            const auto losses = losses_of(b, c, xsoftmax::matrix_view<T>(gradient.data(), b.rows, b.classes));
            CHECK(largest_error<T>(expected.losses, losses_of(b, c)) <= bound);
            CHECK(largest_error<T>(expected.losses, losses) <= bound);
            CHECK(largest_error<T>(expected.gradient, gradient) <= bound);
        }
    });
}

// ---- Axes and strides -------------------------------------------------------------------------------------------------

namespace {

template <class T, std::size_t Rank>
void check_layouts(const std::array<std::size_t, Rank>& extents, std::uint64_t salt)
{
    std::size_t count = 1;
    std::uint64_t case_number = 0;
    for (const std::size_t extent : extents) count *= extent;
    for (std::size_t axis = 0; axis < Rank; ++axis) {
        const auto b = random_batch<T>(count / extents[axis], extents[axis], salt + axis);
        for (const combination& c : few_combinations()) {
            const auto expected = definition(b, c, terms_of(b, c.temperature), true);
            const auto indices = indices_of(b, c.ignoring);
            std::array<std::size_t, Rank> order;
            std::iota(order.begin(), order.end(), std::size_t{0});
            do {
                for (const std::size_t gap : {0u, 3u})
                    for (const bool backwards : {false, true}) {
                        if (logits::is_left_out(case_number++)) continue;
                        INFO("seed " << logits::seed() << ", salt " << salt << ", axis " << axis << " of " << Rank
                                     << ", widest axis " << order[0] << ", narrowest " << order[Rank - 1] << ", gap "
                                     << gap << (backwards ? ", backwards, " : ", ") << c);
                        // The last axis by its negative name too.
                        const auto named = backwards ? static_cast<std::ptrdiff_t>(axis)
                                                     : static_cast<std::ptrdiff_t>(axis) - static_cast<int>(Rank);
                        const auto options = c.options(b, named);
                        auto reversed = order;
                        std::reverse(reversed.begin(), reversed.end());
                        const unsigned every_axis = (1u << Rank) - 1, directions = backwards ? every_axis : 0;
                        strided::tensor<T, Rank> x(extents, {order, gap, directions}), t(extents, {reversed, gap});
                        strided::tensor<T, Rank> gradient(extents, {reversed, 5 - gap, every_axis - directions});
                        x.assign(axis, b.logits);
                        t.assign(axis, b.probabilities);

                        const auto run = [&](const auto&... to) {
                            return c.probabilities ? losses_of<T>(c, options, b.rows, x.input(), t.input(), to...)
                                                   : losses_of<T>(c, options, b.rows, x.input(), indices, to...);
                        };
                        CHECK(largest_error<T>(expected.losses, run()) <= bound);
                        CHECK(largest_error<T>(expected.losses, run(gradient.output())) <= bound);
                        CHECK(largest_error<T>(expected.gradient, gradient.rows(axis)) <= bound);
                        CHECK(gradient.only_gaps_are_marked());
                        CHECK(same_bits(x.rows(axis), b.logits));  // the inputs are left as they were
                        CHECK(same_bits(t.rows(axis), b.probabilities));

                        // The gradient written over the logits is the same, bit for bit, as in memory of their strides.
                        strided::tensor<T, Rank> apart(extents, {order, gap, directions});
                        const auto loss_apart = run(apart.output());
                        const auto loss_in_place = run(x.output());
                        CHECK(same_bits(loss_in_place, loss_apart));
                        CHECK(same_bits(x.rows(axis), apart.rows(axis)));
                        CHECK(x.only_gaps_are_marked());
                    }
            } while (std::next_permutation(order.begin(), order.end()));
        }
    }
}

}  // namespace

TEMPLATE_TEST_CASE("classes along any axis, of any strides", "[losses]", float, double)
{
    using T = TestType;
    check_layouts<T, 1>({1}, 10);
    check_layouts<T, 1>({10}, 20);
    check_layouts<T, 1>({100}, 30);
    check_layouts<T, 2>({5, 7}, 40);
    check_layouts<T, 2>({1, 33}, 50);
    check_layouts<T, 2>({33, 19}, 60);
    check_layouts<T, 3>({2, 3, 4}, 70);
    check_layouts<T, 3>({3, 10, 17}, 80);
    check_layouts<T, 3>({5, 1, 9}, 90);
    check_layouts<T, 4>({2, 3, 1, 5}, 100);
}

TEMPLATE_TEST_CASE("rows are in row-major order of the other axes", "[losses]", float, double)
{
    using T = TestType;
    // {2, 3, 2} with the classes in the middle: each row's loss says which row it is.
    std::vector<T> x(12, T(0));
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 2; ++j) x[i * 6 + j] = static_cast<T>(i * 2 + j);  // class 0
    const xsoftmax::tensor_view<const T, 3> view(x.data(), {2, 3, 2});
    const std::vector<int> targets{1, 0, 2, 0};
    std::vector<T> losses(4);
    xsoftmax::cross_entropy_losses(view, targets, losses, {.axis = 1});
    for (std::size_t r = 0; r < 4; ++r) {
        const double e = std::exp(static_cast<double>(r)), p = (targets[r] == 0 ? e : 1) / (e + 2);
        CHECK(static_cast<double>(losses[r]) == Approx(-std::log(p)));
    }
}

TEMPLATE_TEST_CASE("a sum of losses is the sum of the rows' losses", "[losses]", float, double)
{
    using T = TestType;
    for_batches<T>(row_counts, class_counts, [&](const batch<T>& b, std::uint64_t) {
        for (const combination& c : few_combinations()) {
            if (c.reduce != reduction::sum) continue;
            INFO(c);
            auto of_rows = c;
            of_rows.reduce.reset();
            long double sum = 0, rounding = 0;
            for (const T loss : losses_of(b, of_rows)) {
                sum += loss;
                rounding += oracle::ulp<T>(loss) / 2;
            }
            const T whole = losses_of(b, c)[0];
            // Each row's loss was rounded, and the sum once.
            CHECK(std::abs(whole - sum) <= rounding + oracle::ulp<T>(sum));
        }
    });
}

// Some gradients are denormal, and the factor of their exponentials is small.
TEMPLATE_TEST_CASE("equal rows of far classes get equal gradients, in groups and alone", "[losses]", float, double)
{
    const std::size_t rows = 1001;
    for (const std::size_t n : {20u, 32u, 53u})
        for (const double top : {19.5, -19.5, 0.0, 40.0})
            for (const double distance : {24.0, 60.0, 108.0}) {
                std::vector<TestType> x(rows * n), gradient(x.size());
                for (std::size_t i = 0; i < x.size(); ++i) {
                    const auto k = static_cast<double>(i % n);
                    x[i] = static_cast<TestType>(i % n < n / 2 ? top - 0.01 * k : top - distance - 0.7 * k);
                }
                const std::vector<int> classes(rows, 3);
                xsoftmax::softmax_cross_entropy(xsoftmax::matrix_view<const TestType>(x.data(), rows, n), classes,
                                                xsoftmax::matrix_view<TestType>(gradient.data(), rows, n));
                INFO(n << " elements, top " << top << ", distance " << distance);
                for (std::size_t r = 1; r < rows; ++r)
                    REQUIRE(std::memcmp(&gradient[r * n], gradient.data(), n * sizeof(TestType)) == 0);
            }
}

// ---- One-hot probabilities --------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("one-hot target probabilities are class indices, bit for bit", "[losses]", float, double)
{
    using T = TestType;
    for_batches<T>(row_counts, class_counts, [&](batch<T> b, std::uint64_t) {
        std::fill(b.probabilities.begin(), b.probabilities.end(), T(0));
        for (std::size_t r = 0; r < b.rows; ++r)
            b.probabilities[r * b.classes + static_cast<std::size_t>(b.indices[r])] = 1;
        for (const double temperature : {1.0, 0.5, 3.0})
            for (combination c : combinations({temperature})) {
                if (c.probabilities || c.ignoring) continue;
                // By mean, weighted probabilities divide by the rows, indices by the weights.
                if (c.weighted && c.reduce == reduction::mean) continue;
                INFO(c);
                std::vector<T> of_indices(b.logits.size()), of_one_hot(b.logits.size());
                const auto losses = losses_of(b, c, xsoftmax::matrix_view<T>(of_indices.data(), b.rows, b.classes));
                c.probabilities = true;
                const auto others = losses_of(b, c, xsoftmax::matrix_view<T>(of_one_hot.data(), b.rows, b.classes));
                CHECK(same_bits(losses, others));
                CHECK(same_bits(of_indices, of_one_hot));
            }
    });
}

// ---- Special rules ----------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("all rows ignored: mean NaN, sum 0, gradient 0", "[losses]", float, double)
{
    using T = TestType;
    for (const std::size_t n : {1u, 10u, 100u}) {
        auto b = random_batch<T>(4, n, n);
        b.indices.assign(4, -100);
        for (combination c : combinations()) {
            if (c.probabilities || c.ignoring) continue;
            INFO(n << " classes, " << c);
            std::vector<T> gradient(b.logits.size(), T(-7));
            const xsoftmax::matrix_view<T> to(gradient.data(), b.rows, b.classes);
            for (const auto& losses : {losses_of(b, c), losses_of(b, c, to)})
                for (const T loss : losses) {
                    if (c.reduce == reduction::mean)
                        CHECK(std::isnan(loss));
                    else
                        CHECK(loss == 0);
                }
            CHECK(same_bits(gradient, std::vector<T>(b.logits.size(), T(0))));
        }
    }
}

TEMPLATE_TEST_CASE("weights that sum to 0: mean and gradient NaN", "[losses]", float, double)
{
    using T = TestType;
    const std::array<T, 6> x{1, 2, 3, 4, 6, 5};
    const xsoftmax::matrix_view<const T> in(x.data(), 2, 3);
    const std::array<T, 3> first_is_0{0, 1, 2}, cancel{1, -1, 1};
    for (const double smoothing : {0.0, 0.1})
        for (const auto& [weights, targets] :
             {std::pair(first_is_0, std::array{0, 0}), std::pair(cancel, std::array{0, 1})}) {
            std::array<T, 6> gradient{};
            const T mean = xsoftmax::softmax_cross_entropy(in, targets, xsoftmax::matrix_view<T>(gradient.data(), 2, 3),
                                                           {.label_smoothing = smoothing, .class_weights = weights});
            INFO("smoothing " << smoothing << ", weight of class 0: " << weights[0]);
            CHECK(std::isnan(mean));
            CHECK(std::all_of(gradient.begin(), gradient.end(), [](T g) { return std::isnan(g); }));
        }
}

TEMPLATE_TEST_CASE("no rows: mean NaN, sum 0", "[losses]", float, double)
{
    using T = TestType;
    T element = T(-7);
    const xsoftmax::matrix_view<T> none(&element, 0, 5);
    const std::vector<int> indices;
    std::vector<T> losses;
    for (const double smoothing : {0.0, 0.1}) {
        CHECK(std::isnan(xsoftmax::softmax_cross_entropy(none, indices, {.label_smoothing = smoothing})));
        CHECK(std::isnan(xsoftmax::softmax_cross_entropy(none, none, {.label_smoothing = smoothing})));
        CHECK(xsoftmax::softmax_cross_entropy(none, indices, none, {.reduction = reduction::sum}) == 0);
        CHECK_NOTHROW(xsoftmax::cross_entropy_losses(none, indices, losses, {.label_smoothing = smoothing}));
        CHECK_NOTHROW(xsoftmax::cross_entropy_losses(none, indices, losses, none, {.label_smoothing = smoothing}));
    }
    CHECK(element == T(-7));
}

TEMPLATE_TEST_CASE("an ignored row counts for nothing, whatever its logits", "[losses]", float, double)
{
    using T = TestType;
    auto b = random_batch<T>(5, 20, 3);
    for (const T bad : {not_a_number<T>, infinity<T>, -infinity<T>}) {
        auto spoilt = b;
        for (std::size_t k = 0; k < b.classes; ++k) spoilt.logits[k] = spoilt.logits[3 * b.classes + k] = bad;
        for (const combination& c : combinations({1.0})) {
            if (!c.ignoring) continue;
            INFO("logits " << bad << ", " << c);
            std::vector<T> gradient(b.logits.size(), T(-7)), spoilt_gradient(b.logits.size(), T(-7));
            CHECK(same_bits(losses_of(spoilt, c), losses_of(b, c)));
            CHECK(same_bits(losses_of(spoilt, c, xsoftmax::matrix_view<T>(spoilt_gradient.data(), 5, 20)),
                            losses_of(b, c, xsoftmax::matrix_view<T>(gradient.data(), 5, 20))));
            CHECK(same_bits(gradient, spoilt_gradient));
        }
    }
}

TEMPLATE_TEST_CASE("excluded classes, whose logit is -inf", "[losses]", float, double)
{
    using T = TestType;
    for (const std::size_t n : {3u, 10u, 17u, 100u, 1000u})
        for (const double z_loss : {0.0, 1e-3})
            for (const double temperature : {1.0, 0.5}) {
                INFO(n << " classes, z_loss " << z_loss << ", temperature " << temperature);
                // In both rows class 1 is excluded; a batch without it has the same losses where nothing asks for it.
                auto b = random_batch<T>(2, n, n);
                b.logits[1] = b.logits[n + 1] = -infinity<T>;
                b.indices = {0, static_cast<std::int64_t>(n) - 1};
                for (std::size_t r = 0; r < 2; ++r) b.probabilities[r * n + 1] = 0;
                std::vector<T> gradient(2 * n);
                const xsoftmax::matrix_view<T> to(gradient.data(), 2, n);
                const auto terms = terms_of(b, temperature);

                for (const bool probabilities : {false, true})
                    for (const double smoothing : {0.0, 0.1, 1.0})
                        for (const bool weighted : {false, true}) {
                            combination c{probabilities, {}, smoothing, weighted, false, temperature, z_loss};
                            INFO(c);
                            if (weighted) b.weights[1] = 0;
                            const auto expected = definition(b, c, terms, true);
                            const bool infinite = smoothing > 0 && !weighted;
                            for (const auto& losses : {losses_of(b, c), losses_of(b, c, to)}) {
                                for (const T loss : losses) {
                                    if (infinite)
                                        CHECK(loss == infinity<T>);
                                    else
                                        CHECK(std::isfinite(loss));
                                }
                                CHECK(largest_error<T>(expected.losses, losses) <= bound);
                            }
                            CHECK(largest_error<T>(expected.gradient, gradient) <= bound);

                            for (const reduction reduce : {reduction::mean, reduction::sum}) {
                                c.reduce = reduce;
                                const auto reduced = definition(b, c, terms, true);
                                CHECK(largest_error<T>(reduced.losses, losses_of(b, c)) <= bound);
                                CHECK(largest_error<T>(reduced.losses, losses_of(b, c, to)) <= bound);
                                CHECK(largest_error<T>(reduced.gradient, gradient) <= bound);
                            }
                        }
            }
}

TEMPLATE_TEST_CASE("an excluded class as the target: +inf, or nothing where its weight is 0", "[losses]", float, double)
{
    using T = TestType;
    for (const std::size_t n : {3u, 10u, 100u})
        for (const double smoothing : {0.0, 0.1}) {
            INFO(n << " classes, label_smoothing " << smoothing);
            std::vector<T> x = logits::normal<T>(n, 3, n), weights(n, T(1)), one_hot(n, T(0)), gradient(n);
            x[1] = -infinity<T>;
            one_hot[1] = 1;
            const xsoftmax::matrix_view<const T> view(x.data(), 1, n), targets(one_hot.data(), 1, n);
            const xsoftmax::matrix_view<T> to(gradient.data(), 1, n);
            const std::vector<int> target{1};
            options_of<T> options;
            options.reduction = reduction::sum;
            options.label_smoothing = smoothing;
            CHECK(xsoftmax::softmax_cross_entropy(view, target, options) == infinity<T>);
            CHECK(xsoftmax::softmax_cross_entropy(view, targets, options) == infinity<T>);
            CHECK(xsoftmax::softmax_cross_entropy(view, target, to, options) == infinity<T>);
            for (const T g : gradient) CHECK(std::isfinite(g));
            CHECK(xsoftmax::softmax_cross_entropy(view, targets, to, options) == infinity<T>);
            for (const T g : gradient) CHECK(std::isfinite(g));

            // Whatever is multiplied by 0 adds 0, never NaN.
            weights[1] = 0;
            options.class_weights = weights;
            const auto without_it = [&](T loss) {
                return smoothing == 0 ? loss == 0 : std::isfinite(loss) && loss > 0;
            };
            CHECK(without_it(xsoftmax::softmax_cross_entropy(view, target, options)));
            CHECK(without_it(xsoftmax::softmax_cross_entropy(view, targets, options)));
            CHECK(without_it(xsoftmax::softmax_cross_entropy(view, target, to, options)));
            for (const T g : gradient) CHECK((smoothing == 0 ? g == 0 : std::isfinite(g)));
            CHECK(without_it(xsoftmax::softmax_cross_entropy(view, targets, to, options)));
            for (const T g : gradient) CHECK((smoothing == 0 ? g == 0 : std::isfinite(g)));
        }
}

TEMPLATE_TEST_CASE("a class of weight 0 adds nothing to loss, mean or gradient", "[losses]", float, double)
{
    using T = TestType;
    auto b = random_batch<T>(4, 10, 5);
    b.indices = {2, 7, 2, 4};
    b.weights.assign(10, T(1));
    b.weights[2] = 0;
    std::vector<T> gradient(40);
    const xsoftmax::matrix_view<T> to(gradient.data(), 4, 10);
    options_of<T> options;
    options.class_weights = b.weights;
    const T mean = xsoftmax::softmax_cross_entropy(b.view(), b.indices, to, options);
    for (std::size_t k = 0; k < 10; ++k) {
        CHECK(gradient[k] == 0);
        CHECK(gradient[20 + k] == 0);
    }
    b.indices = {-100, 7, -100, 4};
    CHECK(oracle::ulp_error<T>(xsoftmax::softmax_cross_entropy(b.view(), b.indices), mean) <= 1);
}

TEMPLATE_TEST_CASE("a z_loss that overflows has infinite gradients and zeros, but no NaN", "[losses]", float, double)
{
    using T = TestType;
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const double size = sizeof(T) == 4 ? 1e30 : 1e200;
    const std::vector<T> x{static_cast<T>(size), T(1), static_cast<T>(-size)}, t{T(0.25), T(0.75), T(0)};
    const xsoftmax::matrix_view<const T> view(x.data(), 1, 3), targets(t.data(), 1, 3);
    std::vector<T> gradient(3);
    const xsoftmax::matrix_view<T> to(gradient.data(), 1, 3);
    for (const double temperature :
         {1 / size, std::sqrt(1 / size)}) {  // log_sum_exp overflows, or only the gradient does
        const options_of<T> options{.temperature = temperature, .z_loss = 1e-3};
        const auto loss = xsoftmax::softmax_cross_entropy(view, std::vector<int>{0}, to, options);
        CHECK(loss == infinity);
        CHECK(gradient == std::vector<T>{infinity, 0, 0});
        CHECK(xsoftmax::softmax_cross_entropy(view, std::vector<int>{1}, to, options) == infinity);
        CHECK(gradient == std::vector<T>{infinity, static_cast<T>(-1 / temperature), 0});
        CHECK(xsoftmax::softmax_cross_entropy(view, targets, to, options) == infinity);
        CHECK(gradient[0] == infinity);
        CHECK(gradient[1] == Approx(-0.75 / temperature));
        CHECK(gradient[2] == 0);
    }
}

TEMPLATE_TEST_CASE("a row of nothing but -inf is NaN", "[losses]", float, double)
{
    using T = TestType;
    auto b = random_batch<T>(3, 10, 4);
    std::fill(b.logits.begin() + 10, b.logits.begin() + 20, -infinity<T>);
    for (const combination& c : few_combinations()) {
        if (c.ignoring) continue;
        INFO(c);
        std::vector<T> gradient(30);
        const auto losses = losses_of(b, c, xsoftmax::matrix_view<T>(gradient.data(), 3, 10));
        CHECK(std::isnan(losses[c.reduce ? 0 : 1]));
        for (std::size_t i = 0; i < 30; ++i) CHECK(std::isnan(gradient[i]) == (i / 10 == 1));
    }
}

TEMPLATE_TEST_CASE("a row with NaN or +inf is NaN, and only that row", "[losses]", float, double)
{
    using T = TestType;
    for (const T bad : {not_a_number<T>, infinity<T>})
        for (const std::size_t n : {3u, 17u, 100u})
            for (const combination& c : few_combinations()) {
                if (c.reduce || c.ignoring) continue;
                INFO("logit " << bad << ", " << n << " classes, " << c);
                const auto b = random_batch<T>(9, n, n);
                auto spoilt = b;
                spoilt.logits[4 * n + 1] = bad;
                std::vector<T> gradient(9 * n), spoilt_gradient(9 * n);
                const auto losses = losses_of(b, c, xsoftmax::matrix_view<T>(gradient.data(), 9, n));
                const auto got = losses_of(spoilt, c, xsoftmax::matrix_view<T>(spoilt_gradient.data(), 9, n));
                for (std::size_t r = 0; r < 9; ++r) CHECK((r == 4 ? std::isnan(got[r]) : got[r] == losses[r]));
                for (std::size_t i = 0; i < 9 * n; ++i)
                    CHECK((i / n == 4 ? std::isnan(spoilt_gradient[i]) : spoilt_gradient[i] == gradient[i]));
            }
}

// ---- Indices ----------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("batched targets of every integer type", "[losses]", std::int8_t, std::uint8_t, std::int16_t,
                   std::uint16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t)
{
    using Index = TestType;
    auto b = random_batch<float>(7, 100, 6);
    std::vector<Index> targets;
    for (const std::int64_t index : b.indices) targets.push_back(static_cast<Index>(index));
    const float mean = xsoftmax::softmax_cross_entropy(b.view(), b.indices);
    CHECK(xsoftmax::softmax_cross_entropy(b.view(), targets) == mean);
    CHECK(xsoftmax::softmax_cross_entropy(b.view(), std::span<const Index>(targets)) == mean);

    // A class of the logits may be the ignored one.
    b.indices[2] = 99;
    targets[2] = 99;
    options_of<float> options;
    options.ignore_index = 99;
    std::vector<float> losses(7);
    xsoftmax::cross_entropy_losses(b.view(), targets, losses, options);
    for (std::size_t r = 0; r < 7; ++r) CHECK((losses[r] == 0) == (b.indices[r] == 99));

    // The largest index names no class, unless it is the ignored one; the ignored index is not converted to its type.
    constexpr Index largest = std::numeric_limits<Index>::max();
    const std::string text = std::to_string(largest);
    targets[5] = largest;
    std::vector<float> gradient(700, -7.0f);
    losses.assign(7, -7.0f);
    const xsoftmax::matrix_view<float> to(gradient.data(), 7, 100);
    const auto refused = [&](std::int64_t ignore_index) {
        options.ignore_index = ignore_index;
        INFO("ignore_index " << ignore_index);
        const std::initializer_list<std::string_view> parts{"softmax_cross_entropy", "target", "row 5", text,
                                                            "[0, 100)"};
        CHECK(refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(b.view(), targets, options); }, parts));
        CHECK(refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(b.view(), targets, to, options); },
                                         parts));
        const std::initializer_list<std::string_view> of_rows{"cross_entropy_losses", "target", "row 5", text};
        CHECK(refuses<std::out_of_range>([&] { xsoftmax::cross_entropy_losses(b.view(), targets, losses, options); },
                                         of_rows));
        CHECK(refuses<std::out_of_range>(
            [&] { xsoftmax::cross_entropy_losses(b.view(), targets, losses, to, options); }, of_rows));
        CHECK(same_bits(gradient, std::vector<float>(700, -7.0f)));
        CHECK(same_bits(losses, std::vector<float>(7, -7.0f)));
    };
    refused(-100);
    refused(99);
    if (std::numeric_limits<Index>::is_signed == false) refused(-1);  // which has the same bits as the largest
    if (std::in_range<std::int64_t>(largest)) {
        options.ignore_index = static_cast<std::int64_t>(largest);
        CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(b.view(), targets, options));
    }
}

TEMPLATE_TEST_CASE("a batch's index out of range is refused, with its row and value", "[losses]", float, double)
{
    using T = TestType;
    const auto b = random_batch<T>(6, 4, 7);
    std::vector<T> gradient(24, T(-7)), losses(6, T(-7));
    const xsoftmax::matrix_view<T> to(gradient.data(), 6, 4);
    for (const std::int64_t bad :
         {std::int64_t{4}, std::int64_t{-1}, std::int64_t{-101}, std::int64_t{100},
          std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), std::int64_t{1} << 32})
        for (const std::size_t row : {0u, 3u, 5u})
            for (const double smoothing : {0.0, 0.1}) {
                auto indices = b.indices;
                indices[row] = bad;
                if (row > 0) indices[row - 1] = -100;
                const std::string named = "target of row " + std::to_string(row) + " is " + std::to_string(bad) + ",";
                CAPTURE(named, smoothing);
                options_of<T> options;
                options.label_smoothing = smoothing;
                CHECK(refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(b.view(), indices, options); },
                                                 {"xsoftmax::softmax_cross_entropy:", named, "[0, 4)"}));
                CHECK(
                    refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(b.view(), indices, to, options); },
                                               {"xsoftmax::softmax_cross_entropy:", named, "[0, 4)"}));
                CHECK(refuses<std::out_of_range>(
                    [&] { xsoftmax::cross_entropy_losses(b.view(), indices, losses, to, options); },
                    {"xsoftmax::cross_entropy_losses:", named, "[0, 4)"}));
                CHECK(same_bits(gradient, std::vector<T>(24, T(-7))));
                CHECK(same_bits(losses, std::vector<T>(6, T(-7))));
            }
}

// ---- Arguments --------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("batched losses refuse options out of their ranges", "[losses]", float, double)
{
    using T = TestType;
    const auto b = random_batch<T>(6, 4, 8);
    std::vector<T> gradient(24, T(-7)), losses(6, T(-7));
    const xsoftmax::matrix_view<T> to(gradient.data(), 6, 4);

    // By every function; nothing may be written.
    const auto refused = [&](const options_of<T>& options, std::initializer_list<std::string_view> parts) {
        const auto check = [&](const auto& targets) {
            const auto x = b.view();
            const auto by = [&](std::string_view function, const auto& call) {
                CHECK(refuses<std::invalid_argument>(call, {function}));
                CHECK(refuses<std::invalid_argument>(call, parts));
            };
            by("xsoftmax::softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, targets, options); });
            by("xsoftmax::softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, targets, to, options); });
            by("xsoftmax::cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, targets, losses, options); });
            by("xsoftmax::cross_entropy_losses:",
               [&] { xsoftmax::cross_entropy_losses(x, targets, losses, to, options); });
        };
        check(b.indices);
        check(b.probabilities_view());
        CHECK(same_bits(gradient, std::vector<T>(24, T(-7))));
        CHECK(same_bits(losses, std::vector<T>(6, T(-7))));
    };
    constexpr double nan = not_a_number<double>, inf = infinity<double>;
    refused({.temperature = 0}, {"temperature is 0,", "> 0"});
    refused({.temperature = -0.5}, {"temperature is -0.5,"});
    refused({.temperature = inf}, {"temperature is inf,"});
    refused({.temperature = nan}, {"temperature is", "nan"});
    refused({.label_smoothing = -0.25}, {"label_smoothing is -0.25,", "[0, 1]"});
    refused({.label_smoothing = 1.5}, {"label_smoothing is 1.5,", "[0, 1]"});
    refused({.label_smoothing = std::nextafter(1.0, 2.0)}, {"label_smoothing is 1.0000000000000002,"});
    refused({.label_smoothing = -std::numeric_limits<double>::denorm_min()}, {"label_smoothing is -4.9"});
    refused({.label_smoothing = nan}, {"label_smoothing is", "nan"});
    refused({.label_smoothing = inf}, {"label_smoothing is inf,"});
    refused({.z_loss = nan}, {"z_loss is", "nan", "finite"});
    refused({.z_loss = inf}, {"z_loss is inf,", "finite"});
    refused({.z_loss = -inf}, {"z_loss is -inf,", "finite"});
    const std::vector<T> weights(5, T(1));
    options_of<T> options;
    options.class_weights = std::span(weights).first(3);
    refused(options, {"class_weights has 3 elements", "4 classes"});
    options.class_weights = weights;
    refused(options, {"class_weights has 5 elements", "4 classes"});
}

TEMPLATE_TEST_CASE("batched losses refuse axes and sizes that do not fit", "[losses]", float, double)
{
    using T = TestType;
    const auto b = random_batch<T>(6, 4, 9);
    const auto x = b.view();
    std::vector<T> gradient(24, T(-7)), losses(6, T(-7));
    const xsoftmax::matrix_view<T> to(gradient.data(), 6, 4);
    const auto untouched = [&] {
        return same_bits(gradient, std::vector<T>(24, T(-7))) && same_bits(losses, std::vector<T>(6, T(-7)));
    };
    const auto both = [&](std::string_view function, const auto& call, std::string_view text) {
        CAPTURE(text);
        CHECK(refuses<std::invalid_argument>(call, {function, text}));
        CHECK(untouched());
    };

    for (const std::ptrdiff_t axis : {-3, 2, 100}) {
        const std::string named = "axis is " + std::to_string(axis) + ",";
        CHECK(refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(x, b.indices, to, {.axis = axis}); },
                                         {"xsoftmax::softmax_cross_entropy:", named, "[-2, 2)"}));
        CHECK(refuses<std::out_of_range>(
            [&] { xsoftmax::cross_entropy_losses(x, b.probabilities_view(), losses, {.axis = axis}); },
            {"xsoftmax::cross_entropy_losses:", named, "[-2, 2)"}));
        CHECK(untouched());
    }

    for (const std::size_t count : {0u, 5u, 7u, 24u}) {
        const std::vector<int> targets(count, 0);
        const std::string text = "targets has " + std::to_string(count) + " elements, but there are 6 rows";
        both(
            "softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, targets); }, text);
        both(
            "softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, targets, to); }, text);
        both(
            "cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, targets, losses); }, text);
        both(
            "cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, targets, losses, to); }, text);

        std::vector<T> wrong(count, T(-7));
        const std::string of_losses = "losses has " + std::to_string(count) + " elements, but there are 6 rows";
        const auto p = b.probabilities_view();
        both(
            "cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, b.indices, wrong); }, of_losses);
        both(
            "cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, b.indices, wrong, to); }, of_losses);
        both(
            "cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, p, wrong); }, of_losses);
        both(
            "cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, p, wrong, to); }, of_losses);
        CHECK(same_bits(wrong, std::vector<T>(count, T(-7))));
    }
    // Along the other axis there are four rows.
    both(
        "softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, b.indices, {.axis = 0}); },
        "targets has 6 elements, but there are 4 rows");

    const xsoftmax::matrix_view<const T> fewer(b.probabilities.data(), 5, 4), narrower(b.probabilities.data(), 6, 3);
    both(
        "softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, fewer); }, "targets has extent 5 on axis 0");
    both(
        "softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, narrower, to); },
        "targets has extent 3 on axis 1");
    both(
        "cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, narrower, losses, to); },
        "targets has extent 3 on axis 1");
    const xsoftmax::matrix_view<T> less(gradient.data(), 5, 4), thinner(gradient.data(), 6, 3);
    both(
        "softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, b.indices, less); },
        "gradient has extent 5 on axis 0");
    both(
        "cross_entropy_losses:", [&] { xsoftmax::cross_entropy_losses(x, b.probabilities_view(), losses, thinner); },
        "gradient has extent 3 on axis 1");
    const xsoftmax::tensor_view<T, 2> repeated(gradient.data(), {6, 4}, {0, 1});
    both(
        "softmax_cross_entropy:", [&] { xsoftmax::softmax_cross_entropy(x, b.indices, repeated); },
        "gradient is written to, but has stride 0 on axis 0");
}

TEMPLATE_TEST_CASE("batched losses refuse a gradient over the targets, or over part of the logits", "[losses]", float,
                   double)
{
    using T = TestType;
    const auto b = random_batch<T>(6, 4, 10);
    std::vector<T> memory(48, T(0.5)), losses(6, T(-7));
    const auto before = memory;
    const xsoftmax::matrix_view<const T> x = b.view();
    const std::vector<int> indices(6, 1);
    const auto part = [&](std::size_t at) {
        return xsoftmax::matrix_view<T>(memory.data() + at, 6, 4);
    };

    for (const std::size_t at : {0u, 1u, 4u, 23u}) {
        CAPTURE(at);
        CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax_cross_entropy(x, part(0), part(at)); },
                                             {"xsoftmax::softmax_cross_entropy:", "gradient overlaps targets"}));
        CHECK(refuses<std::invalid_argument>([&] { xsoftmax::cross_entropy_losses(x, part(at), losses, part(0)); },
                                             {"xsoftmax::cross_entropy_losses:", "gradient overlaps targets"}));
        if (at == 0) continue;  // the logits themselves may be written over
        CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax_cross_entropy(part(0), indices, part(at)); },
                                             {"xsoftmax::softmax_cross_entropy:", "gradient overlaps logits"}));
        CHECK(
            refuses<std::invalid_argument>([&] { xsoftmax::cross_entropy_losses(part(at), indices, losses, part(0)); },
                                           {"xsoftmax::cross_entropy_losses:", "gradient overlaps logits"}));
    }
    // All three the same memory: the gradient would be written over the targets.
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax_cross_entropy(part(0), part(0), part(0)); },
                                         {"gradient overlaps targets"}));
    CHECK(same_bits(memory, before));
    CHECK(same_bits(losses, std::vector<T>(6, T(-7))));

    // Whatever is read beside the logits, and written losses or gradients lie over.
    const std::span<T> of_rows(memory.data(), 6);
    const std::span<const T> weights(memory.data() + 3, 4);
    const std::span<const std::int32_t> classes(reinterpret_cast<const std::int32_t*>(memory.data() + 1), 6);
    const options_of<T> weighted{.class_weights = weights};
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::cross_entropy_losses(x, part(0), of_rows); },
                                         {"losses overlaps targets", "0 bytes after"}));
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::cross_entropy_losses(x, classes, of_rows); },
                                         {"losses overlaps targets", std::to_string(sizeof(T)), "bytes after"}));
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::cross_entropy_losses(x, indices, of_rows, weighted); },
                                         {"losses overlaps class_weights"}));
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::cross_entropy_losses(x, x, of_rows, weighted); },
                                         {"losses overlaps class_weights"}));
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax_cross_entropy(x, indices, part(0), weighted); },
                                         {"gradient overlaps class_weights"}));
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax_cross_entropy(x, x, part(0), weighted); },
                                         {"gradient overlaps class_weights"}));
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax_cross_entropy(x, classes, part(0)); },
                                         {"gradient overlaps targets"}));
    CHECK(same_bits(memory, before));

    CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(part(0), part(0)));  // neither is written
    CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(x, part(0), part(24)));
    CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(part(24), part(0), part(24)));
}

// ---- Numbers worked out by hand ---------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("batched losses agree with numbers worked out by hand", "[losses]", float, double)
{
    using T = TestType;
    // Probabilities (1/2, 1/2) and (3/4, 1/4); weights 1 and 3. The means are those of PyTorch's cross_entropy.
    const std::vector<T> x{T(0), T(0), static_cast<T>(std::log(3.0)), T(0)}, weights{T(1), T(3)};
    const std::vector<T> t{T(0.5), T(0.5), T(0.25), T(0.75)};
    const xsoftmax::matrix_view<const T> view(x.data(), 2, 2), probabilities(t.data(), 2, 2);
    const std::vector<int> indices{0, 1};
    const double nll0 = std::log(2.0), likely = std::log(4.0 / 3), unlikely = std::log(4.0);
    const auto loss = [&](const auto& targets, options_of<T> options) {
        return static_cast<double>(xsoftmax::softmax_cross_entropy(view, targets, options));
    };
    const auto near = [](double value) {
        return Approx(value).epsilon(8.0 * std::numeric_limits<T>::epsilon());
    };

    CHECK(loss(indices, {}) == near((nll0 + unlikely) / 2));
    CHECK(loss(indices, {.reduction = reduction::sum}) == near(nll0 + unlikely));
    // The mean divides by the weights of the targets: 1 + 3.
    CHECK(loss(indices, {.class_weights = weights}) == near((nll0 + 3 * unlikely) / 4));
    CHECK(loss(std::vector<int>{1, 1}, {.class_weights = weights}) == near((3 * nll0 + 3 * unlikely) / 6));
    // Only those that are not ignored.
    CHECK(loss(std::vector<int>{-100, 1}, {.class_weights = weights}) == near(unlikely));
    CHECK(loss(std::vector<int>{0, 1}, {.ignore_index = 0, .class_weights = weights}) == near(unlikely));
    // Smoothing takes every class by its own weight; the mean still divides by the targets' weights.
    const double smooth0 = 0.9 * nll0 + 0.05 * (nll0 + 3 * nll0);
    const double smooth1 = 0.9 * 3 * unlikely + 0.05 * (likely + 3 * unlikely);
    CHECK(loss(indices, {.label_smoothing = 0.1, .class_weights = weights}) == near((smooth0 + smooth1) / 4));
    CHECK(loss(indices, {.label_smoothing = 1}) == near((nll0 + (likely + unlikely) / 2) / 2));
    // Of probabilities the mean divides by the rows, weights or not.
    CHECK(loss(probabilities, {}) == near((nll0 + likely / 4 + 3 * unlikely / 4) / 2));
    CHECK(loss(probabilities, {.class_weights = weights}) == near((2 * nll0 + likely / 4 + 9 * unlikely / 4) / 2));
    const double mixed0 = 0.5 * nll0 + 3 * 0.5 * nll0;
    const double mixed1 = (0.9 * 0.25 + 0.05) * likely + 3 * (0.9 * 0.75 + 0.05) * unlikely;
    CHECK(loss(probabilities, {.label_smoothing = 0.1, .class_weights = weights}) == near((mixed0 + mixed1) / 2));
    // log Σ exp x is log 2 and log 4.
    const double squares = std::log(2.0) * std::log(2.0) + std::log(4.0) * std::log(4.0);
    CHECK(loss(indices, {.reduction = reduction::sum, .z_loss = 0.5}) == near(nll0 + unlikely + squares / 2));
    CHECK(loss(probabilities, {.z_loss = 0.5}) == near((nll0 + likely / 4 + 3 * unlikely / 4 + squares / 2) / 2));
    // (log 3, 0) at temperature 1/2 is (log 9, 0).
    CHECK(loss(std::vector<int>{-100, 1}, {.temperature = 0.5}) == near(std::log(10.0)));

    // The gradient of the weighted mean: w·(p − onehot)/4.
    std::vector<T> gradient(4);
    xsoftmax::softmax_cross_entropy(view, indices, xsoftmax::matrix_view<T>(gradient.data(), 2, 2),
                                    {.class_weights = weights});
    const std::array<double, 4> expected{-0.125, 0.125, 0.5625, -0.5625};
    for (std::size_t i = 0; i < 4; ++i) CHECK(static_cast<double>(gradient[i]) == near(expected[i]));
}
