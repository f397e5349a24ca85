// Every sweep by name, at every length it accepts: the same bits as the sweep it stands in for, within the bound of the
// exact result, also where a guess at the maximum is as bad as it can be.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"

#include <xsoftmax/kernels/regime.hpp>
#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <cstring>
#include <string>

namespace {

using arch = xsoftmax::kernels::default_arch;

template <class T>
using operation = xsoftmax::kernels::softmax_operation<T>;

constexpr double bound = 3;

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b)
{
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
std::vector<T> run(const char* name, const std::vector<T>& logits)
{
    std::vector<T> result(logits.size());
    operation<T> to{result.data()};
    for (const auto& regime : xsoftmax::kernels::row_regimes<arch, operation<T>, T>)
        if (std::string(regime.name) == name) regime.run(to, logits.data(), logits.size(), 1.0);
    return result;
}

template <class T>
double largest_error(const std::vector<T>& logits, const T* result)
{
    const oracle::row<T> exact(logits, 1.0);
    double worst = 0;
    for (std::size_t i = 0; i < logits.size(); ++i)
        worst = std::max(worst, oracle::ulp_error(exact.softmax(i), result[i]));
    return worst;
}

/// Lengths around every change of a sweep, and of blocks and runs of blocks within one.
std::vector<std::size_t> lengths()
{
    std::vector<std::size_t> all;
    for (std::size_t n = 1; n <= 300; n += logits::next_length) all.push_back(n);
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
    std::vector<T> two = logits::normal<T>(n, 1, n + 4);
    two[n / 3] = T(30);
    two[n - 1] = T(29.9);
    rows.push_back(two);
    return rows;
}

}  // namespace

TEMPLATE_TEST_CASE("every sweep for one row at every length it accepts", "[regimes]", float, double)
{
    using T = TestType;
    for (const std::size_t n : lengths()) {
        for (const auto& distribution : logits::distributions<T>()) {
            const auto x = distribution.make(n, n);
            const auto three = run("three_pass", x);
            for (const auto& regime : xsoftmax::kernels::row_regimes<arch, operation<T>, T>) {
                if (!regime.accepts(n, false)) continue;
                INFO(regime.name << ", " << n << " elements, " << distribution.name << ", seed " << logits::seed());
                const auto result = run(regime.name, x);
                REQUIRE(largest_error(x, result.data()) <= bound);
                if (std::string(regime.name) == "two_pass") REQUIRE(same_bits(result, three));
                if (regime.accepts(n, true)) {
                    auto in_place = x;
                    operation<T> to{in_place.data()};
                    regime.run(to, in_place.data(), n, 1.0);
                    REQUIRE(same_bits(in_place, result));
                }
            }
        }
    }
}

TEMPLATE_TEST_CASE("guesses that are wrong", "[regimes]", float, double)
{
    using T = TestType;
    for (const std::size_t n : {64u, 65u, 128u, 129u, 300u, 1000u, 9000u})
        for (const auto& x : adversarial_rows<T>(n)) {
            INFO(n << " elements, seed " << logits::seed());
            const auto three = run("three_pass", x);
            REQUIRE(same_bits(run("two_pass", x), three));
            REQUIRE(largest_error(x, three.data()) <= bound);
        }
}

TEMPLATE_TEST_CASE("NaN and infinity anywhere", "[regimes]", float, double)
{
    using T = TestType;
    using limits = std::numeric_limits<T>;
    for (const std::size_t n : {64u, 129u, 300u, 1000u})
        for (const std::size_t at : {std::size_t{0}, std::size_t{63}, n / 2, n - 1})
            for (const T bad : {limits::quiet_NaN(), -limits::quiet_NaN(), limits::infinity()}) {
                auto x = logits::normal<T>(n, 3, n);
                x[at] = bad;
                for (const auto& regime : xsoftmax::kernels::row_regimes<arch, operation<T>, T>) {
                    if (!regime.accepts(n, false)) continue;
                    INFO(regime.name << ", " << n << " elements, " << bad << " at " << at);
                    const auto result = run(regime.name, x);
                    CHECK(std::all_of(result.begin(), result.end(), [](T p) { return std::isnan(p); }));
                }
            }
}

TEMPLATE_TEST_CASE("every sweep for many rows gives each what it gets alone", "[regimes]", float, double)
{
    using T = TestType;
    for (const std::size_t n : lengths()) {
        if (n > 9000) continue;
        std::vector<std::vector<T>> rows = adversarial_rows<T>(n);
        for (std::uint64_t salt = 0; salt < 5; ++salt) rows.push_back(logits::normal<T>(n, 2, salt));
        rows[3].back() = std::numeric_limits<T>::quiet_NaN();
        for (const std::size_t padding : {std::size_t{0}, std::size_t{3}}) {
            const std::size_t stride = n + padding;
            std::vector<T> in(rows.size() * stride, T(7));
            for (std::size_t r = 0; r < rows.size(); ++r)
                std::copy(rows[r].begin(), rows[r].end(), in.begin() + static_cast<std::ptrdiff_t>(r * stride));
            for (const auto& regime : xsoftmax::kernels::rows_regimes<arch, operation<T>, T>) {
                if (!regime.accepts(n)) continue;
                std::vector<T> out(in.size(), T(-1));
                const auto step = static_cast<std::ptrdiff_t>(stride);
                regime.run({in.data(), step}, {out.data(), step}, rows.size(), n, 1.0);
                for (std::size_t r = 0; r < rows.size(); ++r) {
                    INFO(regime.name << ", row " << r << " of " << n << " elements, seed " << logits::seed());
                    const std::vector<T> alone =
                        run(std::string(regime.name) == "short_rows" ? "short_row" : "three_pass", rows[r]);
                    const std::vector<T> got(out.begin() + static_cast<std::ptrdiff_t>(r * stride),
                                             out.begin() + static_cast<std::ptrdiff_t>(r * stride + n));
                    REQUIRE(same_bits(got, alone));
                    for (std::size_t k = 0; k < padding; ++k) REQUIRE(out[r * stride + n + k] == T(-1));
                }
            }
        }
    }
}
