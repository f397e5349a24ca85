// The backward passes: against their definition in long double, against differences of the forward pass, along any axis.

#include "backward_oracle.hpp"
#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"
#include "refusals.hpp"
#include "strided.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace {

// softmax_backward's is what it states: of an element with nearly all of the mass, p·u, the sum of two of them, the mean, the
// difference, and its product with p and with 1/T are rounded, each by up to 1 ULP. log_softmax_backward states 5.
constexpr double softmax_bound = 6, log_softmax_bound = 4;

const std::vector<std::size_t> lengths = [] {
    std::vector<std::size_t> all = logits::lengths_to(140);
    all.insert(all.end(), {255, 1000, 4096, 30011});
    return all;
}();

/// Logits that are flat, ordinary, or led by one element.
template <class T>
std::vector<T> some_logits(std::size_t n, std::uint64_t salt)
{
    if (salt % 3 == 0) return logits::one_hot<T>(n, static_cast<double>(salt % 40), salt);
    return logits::normal<T>(n, salt % 3 == 1 ? 0.1 : 3, salt);
}

}  // namespace

TEMPLATE_TEST_CASE("backward passes of every length", "[backward]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 0;
    double worst_softmax = 0, worst_log = 0;
    for (const std::size_t n : lengths)
        for (const double temperature : {1.0, 0.25, 3.0}) {
            const std::vector<T> x = some_logits<T>(n, ++salt),
                                 g = logits::normal<T>(n, 2, salt + 5000, salt % 2 == 0 ? 0.0 : 1.0);
            INFO("seed " << logits::seed() << ", salt " << salt << ", length " << n << ", temperature " << temperature);
            std::vector<T> p = xsoftmax::softmax(x), y = xsoftmax::log_softmax(x), gradient(n);
            xsoftmax::softmax_backward(p, g, gradient, {.temperature = temperature});
            const double a = worst_error(softmax_gradient(p, g, temperature), gradient);
            CHECK(a <= softmax_bound);
            xsoftmax::log_softmax_backward(y, g, gradient, {.temperature = temperature});
            const double b = worst_error(log_softmax_gradient(y, g, temperature), gradient);
            CHECK(b <= log_softmax_bound);
            worst_softmax = std::max(worst_softmax, a);
            worst_log = std::max(worst_log, b);

            // Over each operand.
            std::vector<T> expected(n), over = g;
            xsoftmax::softmax_backward(p, g, expected, {.temperature = temperature});
            xsoftmax::softmax_backward(p, over, over, {.temperature = temperature});
            CHECK(over == expected);
            xsoftmax::softmax_backward(p, g, p, {.temperature = temperature});
            CHECK(p == expected);
            over = g;
            xsoftmax::log_softmax_backward(y, over, over, {.temperature = temperature});
            CHECK(over == gradient);
            xsoftmax::log_softmax_backward(y, g, y, {.temperature = temperature});
            CHECK(y == gradient);
        }
    std::printf("backward, %s, %s: largest error %.3f ULP, of log_softmax %.3f\n", sizeof(T) == 4 ? "float" : "double",
                std::string(xsoftmax::architecture()).c_str(), worst_softmax, worst_log);
}

TEMPLATE_TEST_CASE("backward passes of a row are those of a view of one row", "[backward]", float, double)
{
    using T = TestType;
    for (const std::size_t n : {1u, 7u, 33u, 500u}) {
        const auto logits = logits::normal<T>(n, 2, n);
        const auto upstream = logits::normal<T>(n, 1, n + 1);
        const auto p = xsoftmax::softmax(logits), y = xsoftmax::log_softmax(logits);
        const auto view = [n](auto& of) {
            return xsoftmax::matrix_view(of.data(), 1, n);
        };
        std::vector<T> row(n), of_view(n);
        xsoftmax::softmax_backward(p, upstream, row, {.temperature = 1.5});
        xsoftmax::softmax_backward(view(p), view(upstream), view(of_view), {.temperature = 1.5});
        CHECK(row == of_view);
        xsoftmax::log_softmax_backward(y, upstream, row);
        xsoftmax::log_softmax_backward(view(y), view(upstream), view(of_view));
        CHECK(row == of_view);
    }
}

// Groups of short rows among them, and rows that are odd in any place of a group.
TEMPLATE_TEST_CASE("backward passes of rows in bulk are bit for bit those of each alone", "[backward]", float, double)
{
    using T = TestType;
    const auto same = [](T a, T b) {
        return std::memcmp(&a, &b, sizeof(T)) == 0 || (std::isnan(a) && std::isnan(b));
    };
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    const double temperatures[] = {1, 0.3, 1, 2.5, 1e-3, 1e40};
    std::uint64_t salt = 0;
    for (std::size_t n = 1; n <= 80; n = logits::next_length(n))
        for (const std::size_t rows : {3u, 16u, 17u, 33u})
            for (const auto& [gap, spoilt] :
                 {std::pair<std::size_t, bool>{0, false}, {3, false}, {0, true}, {3, true}}) {
                const double temperature = temperatures[++salt % std::size(temperatures)];
                const std::size_t stride = n + gap;
                std::vector<T> p(rows * stride, T(7)), y = p, g = logits::normal<T>(p.size(), 1, salt + 900), row(n);
                for (std::size_t r = 0; r < rows; ++r) {
                    const auto x = some_logits<T>(n, salt + r);
                    xsoftmax::softmax(x, std::span(&p[r * stride], n));
                    xsoftmax::log_softmax(x, std::span(&y[r * stride], n));
                }
                if (n == 1) y[0] = g[0] = -T(0);
                for (std::size_t i = 0; i < n; ++i) g[salt * 7 % rows * stride + i] *= std::numeric_limits<T>::min();
                // No probabilities and no logarithms of any; a NaN in either; differences, or sums, that are infinite.
                if (spoilt) {
                    y[salt % rows * stride] = y[salt % rows * stride + n - 1] = T(-0.1);
                    y[salt * 13 % rows * stride + n / 2] = T(5);
                    y[salt * 3 % rows * stride + n / 2] = nan;
                    for (std::size_t i = 0; i < n; ++i)
                        g[salt * 17 % rows * stride + i] *= std::numeric_limits<T>::max() / 8;
                    p[salt % rows * stride] = p[salt % rows * stride + n - 1] = T(0.75);
                    p[salt * 3 % rows * stride + n / 2] = nan;
                    g[salt * 5 % rows * stride + n - 1] = nan;
                    g[salt * 11 % rows * stride] = std::numeric_limits<T>::infinity();
                }
                INFO("seed " << logits::seed() << ", salt " << salt << ", " << rows << " rows of " << n << ", gap "
                             << gap << ", temperature " << temperature);
                const auto check = [&](const std::vector<T>& forward, const auto& backward) {
                    std::vector<T> gradient(rows * stride, T(-1));
                    const xsoftmax::matrix_view<const T> in(forward.data(), rows, n, stride),
                        upstream(g.data(), rows, n, stride);
                    backward(in, upstream, xsoftmax::matrix_view<T>(gradient.data(), rows, n, stride));
                    std::vector<T> over_upstream = g;
                    const xsoftmax::matrix_view<T> over(over_upstream.data(), rows, n, stride);
                    backward(in, over, over);
                    bool good = true;
                    for (std::size_t r = 0; r < rows; ++r) {
                        backward(std::span<const T>(&forward[r * stride], n), std::span<const T>(&g[r * stride], n),
                                 std::span(row));
                        for (std::size_t i = 0; i < n; ++i)
                            good = good && same(gradient[r * stride + i], row[i]) &&
                                   same(over_upstream[r * stride + i], row[i]);
                        for (std::size_t i = n; i < stride; ++i) good = good && gradient[r * stride + i] == T(-1);
                    }
                    CHECK(good);
                };
                const xsoftmax::softmax_options options{.temperature = temperature};
                check(p, [&](const auto& in, const auto& upstream, auto out) {
                    xsoftmax::softmax_backward(in, upstream, out, options);
                });
                check(y, [&](const auto& in, const auto& upstream, auto out) {
                    xsoftmax::log_softmax_backward(in, upstream, out, options);
                });
            }
}

TEST_CASE("small gradients beside a dominant element keep their digits", "[backward]")
{
    const std::vector<double> x{37.42994775023705, 0}, p = xsoftmax::softmax(x), y = xsoftmax::log_softmax(x);
    for (const std::array<double, 2> g : {std::array<double, 2>{1, 0}, {0, 1}, {5, 4}}) {
        std::vector<double> gradient(2);
        const double expected = 5.551115123125775e-17 * (g[0] - g[1]);
        // p_0 is rounded to 1: what it lacks of that is not known here.
        xsoftmax::softmax_backward(p, g, gradient);
        CHECK(std::abs(gradient[0]) <= 1e-15);
        CHECK(gradient[1] == Approx(-expected).epsilon(1e-14));
        // By log p_0, the gradient is 1 − p_0 = p_1.
        xsoftmax::log_softmax_backward(y, std::array<double, 2>{1, 0}, gradient);
        CHECK(gradient[0] == Approx(5.551115123125775e-17).epsilon(1e-14));
        CHECK(gradient[1] == Approx(-5.551115123125775e-17).epsilon(1e-14));
    }
}

TEMPLATE_TEST_CASE("small products keep their digits at every temperature", "[backward]", float, double)
{
    using T = TestType;
    const T tiny = sizeof(T) == 4 ? T(1e-20) : T(1e-160);
    std::uint64_t salt = 0;
    double worst = 0;
    for (const double temperature : {0.1, 1e-3, 1e-9, 1e-12, 1e-40, 1e-100, 1e-300, 1e40})
        for (const std::size_t n : {2u, 7u, 40u, 200u})
            for (const double size : {1.0, 1e-20, 1e-30, 1e-160, 1e-250}) {
                if (sizeof(T) == 4 && size < 1e-30) continue;
                std::vector<T> p(n, tiny), g = logits::normal<T>(n, 1, ++salt);
                p[n / 2] = salt % 2 == 0 ? T(1) : T(0.4);
                for (T& u : g) u = static_cast<T>(static_cast<double>(u) * size);
                INFO("seed " << logits::seed() << ", salt " << salt << ", temperature " << temperature << ", length "
                             << n << ", size " << size);
                const auto exact = softmax_gradient(p, g, temperature);
                std::vector<T> gradient(n);
                xsoftmax::softmax_backward(p, g, gradient, {.temperature = temperature});
                const double row = worst_error(exact, gradient);
                CHECK(row <= softmax_bound);

                // As one of three rows side by side, the others of which are ordinary, and in place.
                std::vector<T> columns(3 * n), upstream(3 * n, T(1)), column(n);
                for (std::size_t i = 0; i < n; ++i) {
                    columns[3 * i] = columns[3 * i + 2] = T(1) / static_cast<T>(n);
                    columns[3 * i + 1] = p[i];
                    upstream[3 * i + 1] = g[i];
                }
                xsoftmax::softmax_backward(xsoftmax::matrix_view<const T>(columns.data(), n, 3),
                                           xsoftmax::matrix_view<const T>(upstream.data(), n, 3),
                                           xsoftmax::matrix_view<T>(upstream.data(), n, 3),
                                           {.temperature = temperature, .axis = 0});
                for (std::size_t i = 0; i < n; ++i) column[i] = upstream[3 * i + 1];
                const double side_by_side = worst_error(exact, column);
                CHECK(side_by_side <= softmax_bound);
                worst = std::max({worst, row, side_by_side});
            }
    std::printf("backward, small products, %s, %s: largest error %.3f ULP\n", sizeof(T) == 4 ? "float" : "double",
                std::string(xsoftmax::architecture()).c_str(), worst);
}

TEMPLATE_TEST_CASE("log_softmax's small probabilities keep their digits at temperatures below 1", "[backward]", float,
                   double)
{
    using T = TestType;
    double worst = 0;
    for (const double temperature : {0.1, 1e-3, 1e-9, 1e-12})
        for (const double low : sizeof(T) == 4 ? std::array{-95.0, -125.0} : std::array{-720.0, -870.0})
            for (const std::size_t n : {2u, 9u, 40u}) {
                std::vector<T> y(n, static_cast<T>(low)), g(n, T(0)), gradient(n);
                y[n / 2] = 0;
                g[n / 2] = T(0.75);
                for (std::size_t i = 0; i < n; ++i) y[i] += static_cast<T>(i) / 64;
                const auto exact = log_softmax_gradient(y, g, temperature);
                INFO("temperature " << temperature << ", length " << n << ", log-probabilities " << low);
                xsoftmax::log_softmax_backward(y, g, gradient, {.temperature = temperature});
                for (std::size_t i = 0; i < n; ++i)
                    if (i != n / 2) worst = std::max(worst, oracle::ulp_error(exact.value[i], gradient[i]));
                std::vector<T> twice(2 * n), upstream(2 * n);
                for (std::size_t i = 0; i < n; ++i) {
                    twice[2 * i] = twice[2 * i + 1] = y[i];
                    upstream[2 * i] = upstream[2 * i + 1] = g[i];
                }
                xsoftmax::log_softmax_backward(xsoftmax::matrix_view<const T>(twice.data(), n, 2),
                                               xsoftmax::matrix_view<const T>(upstream.data(), n, 2),
                                               xsoftmax::matrix_view<T>(twice.data(), n, 2),
                                               {.temperature = temperature, .axis = 0});
                for (std::size_t i = 0; i < n; ++i)
                    if (i != n / 2) worst = std::max(worst, oracle::ulp_error(exact.value[i], twice[2 * i + 1]));
                CHECK(worst <= log_softmax_bound);
            }
}

TEMPLATE_TEST_CASE("a NaN hides no dominant element of log_softmax's gradient", "[backward]", float, double)
{
    using T = TestType;
    const std::size_t n = 200;
    for (const std::size_t dominant : {0u, 5u, 100u, 199u})
        for (std::size_t at = 0; at < n; ++at) {
            if (at == dominant) continue;
            std::vector<T> y(n, T(-60)), g(n, T(1e-12)), gradient(n);
            y[dominant] = T(-1e-12);
            g[dominant] = 1;
            const auto exact = log_softmax_gradient(y, g, 1);
            y[at] = std::numeric_limits<T>::quiet_NaN();
            INFO("dominant " << dominant << ", NaN at " << at);
            xsoftmax::log_softmax_backward(y, g, gradient);
            CHECK(std::isnan(gradient[at]));
            gradient[at] = static_cast<T>(exact.value[at]);
            CHECK(worst_error(exact, gradient) <= log_softmax_bound);
        }
}

TEMPLATE_TEST_CASE("log_softmax's gradients keep the digits of small upstream gradients", "[backward]", float, double)
{
    using T = TestType;
    const std::size_t n = 3, rows = 33;
    std::vector<T> all_y, all_g;
    for (std::size_t r = 0; r < rows; ++r) {
        // A dominant element has a gradient of its own.
        const std::vector<T> x{T(-0.5), 0, r % 2 == 0 ? T(-1) : T(3)};
        const std::vector<T> row = xsoftmax::log_softmax(x);
        all_y.insert(all_y.end(), row.begin(), row.end());
        const double size = std::pow(static_cast<double>(std::numeric_limits<T>::min()),
                                     static_cast<double>(r + 1) / static_cast<double>(rows + 8));
        all_g.insert(all_g.end(), {0, 0, static_cast<T>(size)});
    }
    std::vector<T> out(rows * n), across(rows * n), across_y(rows * n), across_g(rows * n);
    xsoftmax::log_softmax_backward(xsoftmax::matrix_view<const T>(all_y.data(), rows, n),
                                   xsoftmax::matrix_view<const T>(all_g.data(), rows, n),
                                   xsoftmax::matrix_view<T>(out.data(), rows, n));
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < n; ++i) {
            across_y[i * rows + r] = all_y[r * n + i];
            across_g[i * rows + r] = all_g[r * n + i];
        }
    xsoftmax::log_softmax_backward(xsoftmax::matrix_view<const T>(across_y.data(), n, rows),
                                   xsoftmax::matrix_view<const T>(across_g.data(), n, rows),
                                   xsoftmax::matrix_view<T>(across.data(), n, rows), {.axis = 0});
    for (std::size_t r = 0; r < rows; ++r) {
        const auto begin = static_cast<std::ptrdiff_t>(r * n);
        const std::vector<T> row_y(all_y.begin() + begin, all_y.begin() + begin + 3),
            row_g(all_g.begin() + begin, all_g.begin() + begin + 3), got(out.begin() + begin, out.begin() + begin + 3);
        std::vector<T> alone(n), of_column(n);
        xsoftmax::log_softmax_backward(row_y, row_g, alone);
        for (std::size_t i = 0; i < n; ++i) of_column[i] = across[i * rows + r];
        INFO("upstream " << row_g[2]);
        const auto exact = log_softmax_gradient(row_y, row_g, 1);
        CHECK(worst_error(exact, alone) <= log_softmax_bound);
        CHECK(worst_error(exact, of_column) <= log_softmax_bound);
        CHECK(got == alone);
    }
}

TEST_CASE("backward passes against differences of the forward pass", "[backward]")
{
    const double step = 1e-5;
    std::uint64_t salt = 0;
    for (const std::size_t n : {1u, 2u, 5u, 17u, 40u})
        for (const double temperature : {1.0, 0.5, 2.0}) {
            const std::vector<double> x = logits::normal<double>(n, 1, ++salt),
                                      g = logits::normal<double>(n, 1, salt + 99);
            INFO("seed " << logits::seed() << ", salt " << salt << ", length " << n << ", temperature " << temperature);
            const xsoftmax::softmax_options options{.temperature = temperature};
            std::vector<double> by_p(n), by_y(n);
            xsoftmax::softmax_backward(xsoftmax::softmax(x, options), g, by_p, options);
            xsoftmax::log_softmax_backward(xsoftmax::log_softmax(x, options), g, by_y, options);
            const auto value = [&](std::vector<double> at, std::size_t i, double by, bool log) {
                at[i] += by;
                const auto f = log ? xsoftmax::log_softmax(at, options) : xsoftmax::softmax(at, options);
                return std::inner_product(f.begin(), f.end(), g.begin(), 0.0);
            };
            for (std::size_t i = 0; i < n; ++i) {
                const auto slope = [&](bool log) {
                    return (value(x, i, step, log) - value(x, i, -step, log)) / (2 * step);
                };
                CHECK(by_p[i] == Approx(slope(false)).margin(1e-8));
                CHECK(by_y[i] == Approx(slope(true)).margin(1e-8));
            }
        }
}

namespace {

/// Both passes along an axis, each operand with strides of its own; into a third view, and over each operand.
template <class T, std::size_t Rank>
void check_tensor(const std::array<std::size_t, Rank>& extents, const strided::layout<Rank>& of_forward,
                  const strided::layout<Rank>& of_upstream, const strided::layout<Rank>& of_gradient, std::size_t axis,
                  double temperature, std::uint64_t salt)
{
    INFO("seed " << logits::seed() << ", salt " << salt << ", rank " << Rank << ", axis " << axis << " of extent "
                 << extents[axis] << ", temperature " << temperature << ", gaps " << of_forward.gap << ", "
                 << of_upstream.gap << " and " << of_gradient.gap << ", backwards " << of_forward.backwards << ", "
                 << of_upstream.backwards << " and " << of_gradient.backwards);
    strided::tensor<T, Rank> forward(extents, of_forward), upstream(extents, of_upstream);
    const strided::tensor<T, Rank> nothing(extents, of_gradient);
    const auto first = static_cast<std::ptrdiff_t>(axis), last = first - static_cast<std::ptrdiff_t>(Rank);

    const auto check = [&](const auto& forward_pass, const auto& gradient_of, const auto& backward_pass, double bound) {
        std::vector<T> results, upstream_rows;
        exact_gradient<T> exact;
        while (results.size() < forward.size()) {
            const std::vector<T> row = forward_pass(some_logits<T>(extents[axis], ++salt)),
                                 g = logits::normal<T>(extents[axis], 1, salt + 70000, salt % 2 == 0 ? 0.0 : 1.0);
            const exact_gradient<T> of_row = gradient_of(row, g, temperature);
            results.insert(results.end(), row.begin(), row.end());
            upstream_rows.insert(upstream_rows.end(), g.begin(), g.end());
            exact.value.insert(exact.value.end(), of_row.value.begin(), of_row.value.end());
            exact.scale.insert(exact.scale.end(), of_row.scale.begin(), of_row.scale.end());
        }
        forward.assign(axis, results);
        upstream.assign(axis, upstream_rows);
        const std::vector<T> forward_before = forward.memory(), upstream_before = upstream.memory();

        auto gradient = nothing;
        backward_pass(forward.input(), upstream.input(), gradient.output(),
                      xsoftmax::softmax_options{.temperature = temperature, .axis = first});
        CHECK(worst_error(exact, gradient.rows(axis)) <= bound);
        CHECK(gradient.only_gaps_are_marked());
        CHECK(forward.memory() == forward_before);
        CHECK(upstream.memory() == upstream_before);

        const xsoftmax::softmax_options options{.temperature = temperature, .axis = last};
        for (auto* const over : {&forward, &upstream}) {
            const auto kept = *over;
            backward_pass(forward.input(), upstream.input(), over->output(), options);
            CHECK(worst_error(exact, over->rows(axis)) <= bound);
            CHECK(over->only_gaps_are_marked());
            *over = kept;
        }
    };
    check([](const auto& x) { return xsoftmax::softmax(x); }, softmax_gradient<T>,
          [](const auto&... operands) { xsoftmax::softmax_backward(operands...); }, softmax_bound);
    check([](const auto& x) { return xsoftmax::log_softmax(x); }, log_softmax_gradient<T>,
          [](const auto&... operands) { xsoftmax::log_softmax_backward(operands...); }, log_softmax_bound);
}

/// Layouts of each kind, along every axis: row-major, permuted, with gaps, backwards, and all operands unlike each other.
template <class T>
void check_layouts(std::size_t n, double temperature, std::uint64_t& salt)
{
    const auto next = [&] {
        return salt += 1000;
    };
    check_tensor<T, 1>({n}, {{0}}, {{0}}, {{0}}, 0, temperature, next());
    check_tensor<T, 1>({n}, {{0}, 3, 1}, {{0}, 2}, {{0}, 1, 1}, 0, temperature, next());
    for (std::size_t axis = 0; axis < 2; ++axis) {
        std::array<std::size_t, 2> extents{5, 21};
        extents[axis] = n;
        check_tensor<T, 2>(extents, {{0, 1}}, {{0, 1}}, {{0, 1}, 2}, axis, temperature, next());
        check_tensor<T, 2>(extents, {{1, 0}}, {{1, 0}, 4}, {{1, 0}}, axis, temperature, next());
        check_tensor<T, 2>(extents, {{0, 1}, 4, 3}, {{1, 0}, 3}, {{1, 0}, 2, 2}, axis, temperature, next());
        check_tensor<T, 2>(extents, {{1, 0}, 2, 1}, {{0, 1}, 0, 2}, {{0, 1}, 3, 3}, axis, temperature, next());
    }
    for (std::size_t axis = 0; axis < 3; ++axis) {
        std::array<std::size_t, 3> extents{3, 4, 19};
        extents[axis] = n;
        check_tensor<T, 3>(extents, {{0, 1, 2}}, {{0, 1, 2}}, {{0, 1, 2}, 2, 3}, axis, temperature, next());
        check_tensor<T, 3>(extents, {{2, 0, 1}, 2, 5}, {{2, 0, 1}}, {{2, 0, 1}, 4, 5}, axis, temperature, next());
        check_tensor<T, 3>(extents, {{1, 2, 0}, 1, 7}, {{0, 2, 1}, 2, 4}, {{2, 1, 0}, 0, 1}, axis, temperature, next());
    }
    for (std::size_t axis = 0; axis < 4; ++axis) {
        std::array<std::size_t, 4> extents{2, 3, 2, 5};
        extents[axis] = n;
        check_tensor<T, 4>(extents, {{0, 1, 2, 3}}, {{0, 1, 2, 3}}, {{0, 1, 2, 3}}, axis, temperature, next());
        check_tensor<T, 4>(extents, {{1, 0, 3, 2}, 2, 15}, {{3, 1, 0, 2}, 1, 6}, {{2, 3, 1, 0}, 4, 9}, axis,
                           temperature, next());
    }
}

}  // namespace

TEMPLATE_TEST_CASE("backward passes of every rank, axis and layout", "[backward]", float, double)
{
    std::uint64_t salt = 0, count = 0;
    for (const std::size_t n : {1u, 3u, 7u, 10u, 17u, 31u, 33u, 64u, 100u, 130u})
        for (const double temperature : {1.0, 0.3})
            if (!logits::is_left_out(count++)) check_layouts<TestType>(n, temperature, salt);
}

TEMPLATE_TEST_CASE("upstream gradients may repeat by stride 0", "[backward]", float, double)
{
    using T = TestType;
    const std::size_t n = 40, rows = 7;
    const std::vector<T> x = logits::normal<T>(rows * n, 3, 1), g = logits::normal<T>(n, 1, 2);
    const xsoftmax::matrix_view<const T> in(x.data(), rows, n);
    std::vector<T> p(x.size()), y(x.size()), gradient(x.size());
    const xsoftmax::matrix_view<T> to(gradient.data(), rows, n);
    xsoftmax::softmax(in, xsoftmax::matrix_view<T>(p.data(), rows, n));
    xsoftmax::log_softmax(in, xsoftmax::matrix_view<T>(y.data(), rows, n));
    // The same for each row; one number for all elements, as the gradient of a sum has it.
    for (const std::ptrdiff_t along : {1, 0}) {
        const xsoftmax::tensor_view<const T, 2> upstream(g.data(), {rows, n}, {0, along});
        const auto check = [&](const std::vector<T>& forward, const auto& gradient_of, const auto& backward_pass,
                               double bound) {
            backward_pass(xsoftmax::matrix_view<const T>(forward.data(), rows, n), upstream, to);
            for (std::size_t r = 0; r < rows; ++r) {
                const auto row_of = [&](const std::vector<T>& of) {
                    const auto first = of.begin() + static_cast<std::ptrdiff_t>(r * n);
                    return std::vector<T>(first, first + static_cast<std::ptrdiff_t>(n));
                };
                const auto u = along == 1 ? g : std::vector<T>(n, g[0]);
                INFO("seed " << logits::seed() << ", row " << r << ", stride along it " << along);
                CHECK(worst_error(gradient_of(row_of(forward), u, 1), row_of(gradient)) <= bound);
            }
        };
        check(
            p, softmax_gradient<T>, [](const auto&... operands) { xsoftmax::softmax_backward(operands...); },
            softmax_bound);
        check(
            y, log_softmax_gradient<T>, [](const auto&... operands) { xsoftmax::log_softmax_backward(operands...); },
            log_softmax_bound);
    }
}

TEMPLATE_TEST_CASE("backward passes keep a NaN in its row", "[backward]", float, double)
{
    using T = TestType;
    const T nan = std::numeric_limits<T>::quiet_NaN();
    for (const std::ptrdiff_t axis : {0, 1}) {
        std::vector<T> p(20 * 20, T(0.05)), g(400, T(1)), gradient(400);
        g[axis == 0 ? 3 * 20 + 7 : 7 * 20 + 3] = nan;
        const auto view = [](auto& of) {
            return xsoftmax::matrix_view<const T>(of.data(), 20, 20);
        };
        xsoftmax::softmax_backward(view(p), view(g), xsoftmax::matrix_view<T>(gradient.data(), 20, 20), {.axis = axis});
        for (std::size_t r = 0; r < 20; ++r)
            for (std::size_t i = 0; i < 20; ++i)
                CHECK(std::isnan(gradient[axis == 0 ? i * 20 + r : r * 20 + i]) == (r == 7));
        std::vector<T> y(400, T(-3));
        xsoftmax::log_softmax_backward(view(y), view(g), xsoftmax::matrix_view<T>(gradient.data(), 20, 20),
                                       {.axis = axis});
        for (std::size_t r = 0; r < 20; ++r)
            for (std::size_t i = 0; i < 20; ++i)
                CHECK(std::isnan(gradient[axis == 0 ? i * 20 + r : r * 20 + i]) == (r == 7));
        // A NaN among the results of the forward pass: all of softmax's row, one element of log_softmax's.
        const std::size_t at = axis == 0 ? 3 * 20 + 7 : 7 * 20 + 3;
        p[at] = y[at] = nan;
        g[at] = 1;
        for (const double temperature : {1.0, 0.5, 1e-100, 1e100}) {
            const xsoftmax::softmax_options options{.temperature = temperature, .axis = axis};
            xsoftmax::softmax_backward(view(p), view(g), xsoftmax::matrix_view<T>(gradient.data(), 20, 20), options);
            for (std::size_t r = 0; r < 20; ++r)
                for (std::size_t i = 0; i < 20; ++i)
                    CHECK(std::isnan(gradient[axis == 0 ? i * 20 + r : r * 20 + i]) == (r == 7));
            xsoftmax::log_softmax_backward(view(y), view(g), xsoftmax::matrix_view<T>(gradient.data(), 20, 20),
                                           options);
            for (std::size_t i = 0; i < 400; ++i) CHECK(std::isnan(gradient[i]) == (i == at));
        }
    }
}

TEST_CASE("a loss and its gradient agree with log_softmax's backward pass", "[backward]")
{
    for (const std::size_t n : {3u, 40u, 1000u}) {
        const std::vector<float> x = logits::normal<float>(n, 3, n);
        std::vector<float> by_loss(n), by_backward(n), upstream(n);
        upstream[n / 2] = -1;
        xsoftmax::softmax_cross_entropy(x, n / 2, by_loss);
        xsoftmax::log_softmax_backward(xsoftmax::log_softmax(x), upstream, by_backward);
        for (std::size_t i = 0; i < n; ++i) CHECK(by_backward[i] == Approx(by_loss[i]).epsilon(1e-5).margin(1e-12));
    }
}

TEST_CASE("what the backward passes refuse", "[backward]")
{
    std::vector<float> p(12, 0.25f), g(12, 1.0f), out(12, 9.0f);
    const auto refused = [&](const std::string& part, auto&& call) {
        CHECK(refuses<std::logic_error>(call, {"softmax_backward: ", part}));
        CHECK(out == std::vector<float>(12, 9.0f));
    };
    const auto view = [](std::vector<float>& of) {
        return xsoftmax::matrix_view<float>(of.data(), 3, 4);
    };
    for (const double temperature : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
        refused("temperature is", [&] { xsoftmax::softmax_backward(p, g, out, {.temperature = temperature}); });
        refused("temperature is",
                [&] { xsoftmax::log_softmax_backward(view(p), view(g), view(out), {.temperature = temperature}); });
    }
    refused("axis is 2", [&] { xsoftmax::softmax_backward(view(p), view(g), view(out), {.axis = 2}); });
    refused("upstream has 11 elements", [&] { xsoftmax::softmax_backward(p, std::span(g.data(), 11), out); });
    refused("gradient has 11 elements", [&] { xsoftmax::log_softmax_backward(p, g, std::span(out.data(), 11)); });
    refused("overlaps probabilities", [&] {
        xsoftmax::softmax_backward(std::span(p.data(), 11), std::span(g.data(), 11), std::span(p.data() + 1, 11));
    });
    refused("overlaps upstream", [&] {
        xsoftmax::log_softmax_backward(std::span(p.data(), 11), std::span(g.data(), 11), std::span(g.data() + 1, 11));
    });
}
