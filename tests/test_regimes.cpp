// Every sweep by name, at every length it accepts: the same bits as the sweep it stands in for, within the bound of the
// exact result, also where a guess at the maximum is as bad as it can be.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"

#include <xsoftmax/kernels/regime.hpp>
#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

namespace kernels = xsoftmax::kernels;
using arch = kernels::default_arch;

/// An operation at temperature 1 as the tests want it: `make` from a row and where its results go, the one number that it
/// gives beside them, and what they should be.
template <class T>
struct softmax_of {
    using element = T;
    using operation = kernels::softmax_operation<T>;
    static operation make(std::span<const T>, T* output) { return {output}; }
    static double value(const operation&) { return 0; }
    static long double expected(const oracle::row<T>& exact, std::size_t, std::size_t i) { return exact.softmax(i); }
    static long double expected_value(const oracle::row<T>&, std::size_t) { return 0; }
};

template <class T>
struct log_softmax_of {
    using element = T;
    using operation = kernels::log_softmax_operation<T>;
    static operation make(std::span<const T>, T* output) { return {output}; }
    static double value(const operation&) { return 0; }
    static long double expected(const oracle::row<T>& exact, std::size_t, std::size_t i)
    {
        return exact.log_softmax(i);
    }
    static long double expected_value(const oracle::row<T>&, std::size_t) { return 0; }
};

/// Relative to the maximum, so that nothing cancels.
template <class T>
struct log_sum_exp_of {
    using element = T;
    using operation = kernels::log_sum_exp_operation;
    static operation make(std::span<const T>, T*) { return {}; }
    static double value(const operation& done) { return done.result; }
    static long double expected(const oracle::row<T>&, std::size_t, std::size_t) { return 0; }
    static long double expected_value(const oracle::row<T>& exact, std::size_t) { return exact.log_sum_exp(); }
};

template <class T>
struct loss_of {
    using element = T;
    using operation = kernels::index_loss_operation;
    static operation make(std::span<const T> logits, T*) { return {{}, static_cast<double>(logits[target(logits)])}; }
    static double value(const operation& done) { return done.loss; }
    static long double expected(const oracle::row<T>&, std::size_t, std::size_t) { return 0; }
    static long double expected_value(const oracle::row<T>& exact, std::size_t target)
    {
        return exact.cross_entropy(target);
    }

    /// The winner of every other length.
    static std::size_t target(std::span<const T> logits)
    {
        return logits.size() % 2 == 0
                   ? static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin())
                   : logits.size() / 3;
    }
};

template <class T>
struct gradient_of {
    using element = T;
    using operation = kernels::index_gradient_operation<T>;
    static operation make(std::span<const T> logits, T* output)
    {
        return {loss_of<T>::make(logits, output), output, loss_of<T>::target(logits)};
    }
    static double value(const operation& done) { return done.loss; }
    static long double expected(const oracle::row<T>& exact, std::size_t target, std::size_t i)
    {
        return exact.cross_entropy_gradient(i, target);
    }
    static long double expected_value(const oracle::row<T>& exact, std::size_t target)
    {
        return exact.cross_entropy(target);
    }
};

constexpr double bound = 3;

/// What a row gets.
template <class T>
struct outcome {
    std::vector<T> elements;
    double value;

    /// One NaN is as good as another.
    friend bool same_bits(const outcome& a, const outcome& b)
    {
        const auto same = [](auto x, auto y) {
            return std::memcmp(&x, &y, sizeof(x)) == 0 || (std::isnan(x) && std::isnan(y));
        };
        return std::equal(a.elements.begin(), a.elements.end(), b.elements.begin(), b.elements.end(), same) &&
               same(a.value, b.value);
    }
};

template <class Of>
constexpr auto& row_regimes = kernels::row_regimes<arch, typename Of::operation, typename Of::element>;

template <class Of, class T = typename Of::element>
outcome<T> run_regime(const auto& regime, const std::vector<T>& logits, bool in_place = false)
{
    outcome<T> result{in_place ? logits : std::vector<T>(Of::operation::writes ? logits.size() : 0), 0};
    auto operation = Of::make(logits, result.elements.data());
    regime.run(operation, in_place ? result.elements.data() : logits.data(), logits.size(), 1.0);
    result.value = Of::value(operation);
    return result;
}

template <class Of, class T = typename Of::element>
outcome<T> run(const std::string& name, const std::vector<T>& logits)
{
    for (const auto& regime : row_regimes<Of>)
        if (regime.name == name) return run_regime<Of>(regime, logits);
    FAIL(name << " is not there");
    return {};
}

template <class Of, class T = typename Of::element>
double largest_error(const oracle::row<T>& exact, const std::vector<T>& logits, const outcome<T>& result)
{
    const std::size_t target = loss_of<T>::target(logits);
    // Where the maximum and the logarithm cancel, what was lost is the rounding of the larger one.
    const long double value = Of::expected_value(exact, target), top = exact.top();
    const long double scale =
        std::is_same_v<Of, log_sum_exp_of<T>> ? std::max(std::abs(value - top), std::abs(top)) : std::abs(value);
    double worst = oracle::ulp_error(value, static_cast<T>(result.value), std::max(scale, std::abs(value)));
    for (std::size_t i = 0; i < result.elements.size(); ++i)
        worst = std::max(worst, oracle::ulp_error(Of::expected(exact, target, i), result.elements[i]));
    return worst;
}

/// Lengths around every change of a sweep, and of blocks and runs of blocks within one; all short ones of softmax alone, since
/// the sweeps are the same.
template <class Of>
std::vector<std::size_t> lengths()
{
    constexpr bool all_short = std::is_same_v<Of, softmax_of<typename Of::element>>;
    std::vector<std::size_t> all;
    for (std::size_t n = 1; n <= 300; n += logits::next_length * (all_short ? 1 : 7)) all.push_back(n);
    for (const std::size_t n : {511u, 512u, 513u, 1000u, 1024u, 2047u, 4096u, 4100u, 8192u, 8500u, 20000u, 70001u})
        if (!logits::emulated || n < 1100) all.push_back(n);
    return all;
}

/// Rows that mislead a guess made of the first elements, or leave trees a heavy element or several.
template <class T>
std::vector<std::vector<T>> adversarial_rows(std::size_t n)
{
    constexpr T infinity = std::numeric_limits<T>::infinity();
    std::vector<std::vector<T>> rows;
    for (const double lead : {0.0, 5.0, 19.9, 20.1, 60.0, 99.0, 101.0, 300.0, 1e5, 1e30}) {
        rows.push_back(logits::normal<T>(n, 1, n));
        rows.back().back() = static_cast<T>(lead);
        rows.push_back(logits::normal<T>(n, 1, n + 1));
        rows.back()[n / 2] = rows.back().back() = static_cast<T>(-lead);
        rows.back().front() = static_cast<T>(-2 * lead);
    }
    rows.push_back(logits::ramp<T>(n, 500));
    rows.push_back(logits::ramp<T>(n, -500));
    rows.push_back(std::vector<T>(n, T(0.7)));
    std::vector<T> masked = logits::normal<T>(n, 3, n + 2);
    std::fill(masked.begin(), masked.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(n - 1, 70)),
              -infinity);
    rows.push_back(masked);
    for (const double offset : {300.0, 360.0, -1e4}) rows.push_back(logits::normal<T>(n, 3, n + 3, offset));
    // Short rows are relative to 1 up to here; one result is denormal.
    for (const double top : {-20.1, -19.9, 19.9, 20.1}) {
        rows.push_back(logits::normal<T>(n, 1, n + 7, top - 6));
        rows.back().front() = static_cast<T>(top - 100);
        rows.back().back() = static_cast<T>(top);
    }
    // A maximum beyond what may be reduced as it is, and a guess within it.
    for (const double limit : {354.9, 2839.1}) {
        rows.push_back(logits::normal<T>(n, 2, n + 5, limit - 9));
        for (std::size_t i = 64; i < n; i += 3)
            rows.back()[i] = static_cast<T>(limit + 6 + 0.01 * static_cast<double>(i % 7));
    }
    // A good guess at what is nothing beside the rest.
    rows.push_back(logits::normal<T>(n, 0.2, n + 6, 19));
    std::fill(rows.back().begin(), rows.back().begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(n, 64)),
              T(0));
    if (n > 773) {
        // Few elements, in one lane of the widest vectors, whose sum a tree rounds more than once: beside a winner, and alone.
        const std::pair<std::size_t, double> others[] = {{144, -45.7842865}, {160, -45.8632622}, {176, -47.4356651},
                                                         {192, -46.3635063}, {208, -46.5125656}, {224, -45.7305717},
                                                         {240, -18.0028706}};
        const std::pair<std::size_t, double> all[] = {{128, 10.3026705}, {144, 9.23859024}, {160, 10.9108105},
                                                      {176, 10.5137815}, {192, 10.714901},  {208, 9.11640453},
                                                      {224, 10.8623934}, {240, 10.4815741}, {772, 10.9306736}};
        rows.emplace_back(n, -infinity);
        for (const auto& [i, x] : others) rows.back()[i] = static_cast<T>(x);
        rows.emplace_back(n, -infinity);
        for (const auto& [i, x] : all) rows.back()[i] = static_cast<T>(x);
        for (T& x : rows.back()) x -= T(10);
        rows.back()[0] = T(-8);  // within reach of a guess
    }
    std::vector<T> two = logits::normal<T>(n, 1, n + 4);
    two[n / 3] = T(30);
    two[n - 1] = T(29.9);
    rows.push_back(two);
    return rows;
}

}  // namespace

TEMPLATE_TEST_CASE("every sweep for one row at every length it accepts", "[regimes]", softmax_of<float>,
                   softmax_of<double>, log_softmax_of<float>, log_softmax_of<double>, log_sum_exp_of<float>,
                   log_sum_exp_of<double>, loss_of<float>, loss_of<double>, gradient_of<float>, gradient_of<double>)
{
    using T = typename TestType::element;
    for (const std::size_t n : lengths<TestType>()) {
        for (const auto& distribution : logits::distributions<T>()) {
            const auto x = distribution.make(n, n);
            const oracle::row<T> exact(x, 1.0);
            const auto three = run<TestType>("three_pass", x);
            for (const auto& regime : row_regimes<TestType>) {
                if (!regime.accepts(n, false)) continue;
                INFO(regime.name << ", " << n << " elements, " << distribution.name << ", seed " << logits::seed());
                const auto result = run_regime<TestType>(regime, x);
                const std::string name = regime.name;
                if (name == "two_pass" || name == "recomputed_row")
                    REQUIRE(same_bits(result, three));
                else
                    REQUIRE(largest_error<TestType>(exact, x, result) <= bound);
                if (TestType::operation::writes && regime.accepts(n, true))
                    REQUIRE(same_bits(run_regime<TestType>(regime, x, true), result));
            }
        }
    }
}

TEMPLATE_TEST_CASE("guesses that are wrong", "[regimes]", softmax_of<float>, softmax_of<double>, log_softmax_of<float>,
                   log_softmax_of<double>, log_sum_exp_of<float>, log_sum_exp_of<double>, loss_of<float>,
                   loss_of<double>, gradient_of<float>, gradient_of<double>)
{
    using T = typename TestType::element;
    for (const std::size_t n : {4u, 17u, 32u, 64u, 65u, 128u, 129u, 300u, 1000u, 9000u})
        for (const auto& x : adversarial_rows<T>(n)) {
            INFO(n << " elements, seed " << logits::seed());
            const oracle::row<T> exact(x, 1.0);
            if (row_regimes<TestType>[0].accepts(n, false))
                REQUIRE(largest_error<TestType>(exact, x, run<TestType>("short_row", x)) <= bound);
            if (n < kernels::guess_elements) continue;
            const auto three = run<TestType>("three_pass", x);
            REQUIRE(same_bits(run<TestType>("two_pass", x), three));
            REQUIRE(largest_error<TestType>(exact, x, three) <= bound);
        }
}

// The logarithm is then of what a difference leaves, or of the others added up again: where one becomes the other, and on
// either side of it, as the lead grows.
TEMPLATE_TEST_CASE("a winner that leads by any distance", "[regimes]", log_softmax_of<float>, log_softmax_of<double>,
                   log_sum_exp_of<float>, log_sum_exp_of<double>, loss_of<float>, loss_of<double>, gradient_of<float>,
                   gradient_of<double>)
{
    using T = typename TestType::element;
    for (const std::size_t n : {6u, 16u, 31u, 64u, 128u, 150u, 500u, 4096u, 70000u}) {
        if (logits::emulated && n > 1000) continue;
        const auto background = logits::normal<T>(n, 1, n);
        const double step = n > 5000 ? 9.3 : n > 1000 || logits::emulated ? 2.9 : 0.41;
        for (double lead = -2; lead < 100; lead += step)
            for (const std::size_t at : {std::size_t{5}, n / 2, n - 1}) {
                auto x = background;
                x[at] = static_cast<T>(lead);
                INFO(n << " elements, " << lead << " at " << at << ", seed " << logits::seed());
                const oracle::row<T> exact(x, 1.0);
                if (row_regimes<TestType>[0].accepts(n, false))
                    REQUIRE(largest_error<TestType>(exact, x, run<TestType>("short_row", x)) <= bound);
                if (n < kernels::guess_elements) continue;
                const auto three = run<TestType>("three_pass", x);
                REQUIRE(same_bits(run<TestType>("two_pass", x), three));
                REQUIRE(largest_error<TestType>(exact, x, three) <= bound);
            }
    }
}

// Sums of doubles in short rows are split at a bit that is far above such others.
TEMPLATE_TEST_CASE("the others of a winner of doubles that leads by far", "[regimes]", log_softmax_of<double>,
                   log_sum_exp_of<double>, loss_of<double>, gradient_of<double>)
{
    for (std::size_t n = 16; row_regimes<TestType>[0].accepts(n, false); n *= 2)
        for (std::uint64_t salt = 0; salt < (logits::emulated ? 20 : 400); ++salt) {
            auto x = logits::normal<double>(n, 0.5, salt + 1000 * n);
            x[n / 2] = 24 + 0.2 * static_cast<double>(salt);
            INFO(n << " elements, leads by " << x[n / 2] << ", seed " << logits::seed());
            const oracle::row<double> exact(x, 1.0);
            REQUIRE(largest_error<TestType>(exact, x, run<TestType>("short_row", x)) <= 2);
        }
}

TEMPLATE_TEST_CASE("NaN and infinity anywhere", "[regimes]", softmax_of<float>, softmax_of<double>,
                   log_softmax_of<float>, log_softmax_of<double>, log_sum_exp_of<float>, log_sum_exp_of<double>,
                   loss_of<float>, loss_of<double>, gradient_of<float>, gradient_of<double>)
{
    using T = typename TestType::element;
    using limits = std::numeric_limits<T>;
    for (const std::size_t n : {64u, 129u, 300u, 1000u})
        for (const std::size_t at : {std::size_t{0}, std::size_t{63}, n / 2, n - 1})
            for (const T bad : {limits::quiet_NaN(), -limits::quiet_NaN(), limits::infinity()}) {
                auto x = logits::normal<T>(n, 3, n);
                x[at] = bad;
                for (const auto& regime : row_regimes<TestType>) {
                    if (!regime.accepts(n, false)) continue;
                    INFO(regime.name << ", " << n << " elements, " << bad << " at " << at);
                    const auto result = run_regime<TestType>(regime, x);
                    CHECK(
                        std::all_of(result.elements.begin(), result.elements.end(), [](T p) { return std::isnan(p); }));
                    if (std::is_same_v<TestType, log_sum_exp_of<T>> && std::isinf(bad))
                        CHECK(result.value == static_cast<double>(bad));
                    else if (!std::is_same_v<TestType, softmax_of<T>> && !std::is_same_v<TestType, log_softmax_of<T>>)
                        CHECK(std::isnan(result.value));
                }
            }
}

// softmax and log_softmax find their operations where they write to, the others in an array.
TEMPLATE_TEST_CASE("every sweep for many rows gives each what it gets alone", "[regimes]", softmax_of<float>,
                   softmax_of<double>, log_softmax_of<float>, log_softmax_of<double>, log_sum_exp_of<float>,
                   log_sum_exp_of<double>, loss_of<float>, loss_of<double>, gradient_of<float>, gradient_of<double>)
{
    using T = typename TestType::element;
    using operation = typename TestType::operation;
    constexpr bool is_where_it_writes = std::is_same_v<operation, kernels::softmax_operation<T>> ||
                                        std::is_same_v<operation, kernels::log_softmax_operation<T>>;
    using operations = std::conditional_t<is_where_it_writes, kernels::operations_apart<operation, T>,
                                          kernels::operations_of_rows<operation>>;
    for (const std::size_t n : lengths<TestType>()) {
        if (n > 9000) continue;
        // Whole groups that stay groups; then some that do not.
        std::vector<std::vector<T>> rows;
        for (std::uint64_t salt = 0; salt < 32; ++salt) rows.push_back(logits::normal<T>(n, 2, salt));
        for (std::vector<T>& row : adversarial_rows<T>(n)) rows.push_back(std::move(row));
        rows.back().back() = std::numeric_limits<T>::quiet_NaN();
        for (const std::size_t padding : {std::size_t{0}, std::size_t{3}}) {
            const std::size_t stride = n + padding;
            const auto step = static_cast<std::ptrdiff_t>(stride);
            std::vector<T> in(rows.size() * stride, T(7));
            for (std::size_t r = 0; r < rows.size(); ++r)
                std::copy(rows[r].begin(), rows[r].end(), in.begin() + static_cast<std::ptrdiff_t>(r) * step);
            for (const auto& regime : kernels::rows_regimes<arch, operations, T>) {
                if (!regime.accepts(n)) continue;
                std::vector<T> out(in.size(), T(-1));
                std::vector<operation> what;
                for (std::size_t r = 0; r < rows.size(); ++r) what.push_back(TestType::make(rows[r], &out[r * stride]));
                if constexpr (is_where_it_writes)
                    regime.run({{out.data(), step}}, {in.data(), step}, rows.size(), n, 1.0);
                else
                    regime.run({what.data()}, {in.data(), step}, rows.size(), n, 1.0);
                for (std::size_t r = 0; r < rows.size(); ++r) {
                    INFO(regime.name << ", row " << r << " of " << n << " elements, seed " << logits::seed());
                    const auto alone =
                        run<TestType>(std::string(regime.name) == "short_rows" ? "short_row" : "three_pass", rows[r]);
                    const auto begin = out.begin() + static_cast<std::ptrdiff_t>(r) * step;
                    const outcome<T> got{
                        std::vector<T>(begin, begin + static_cast<std::ptrdiff_t>(operation::writes ? n : 0)),
                        TestType::value(what[r])};
                    REQUIRE(same_bits(got, alone));
                    for (std::size_t k = operation::writes ? n : 0; k < stride; ++k)
                        REQUIRE(out[r * stride + k] == T(-1));
                }
            }
        }
    }
}
