// Views: every rank and axis, any strides, rows in bulk and side by side, and what is refused.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"
#include "refusals.hpp"
#include "strided.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <array>
#include <cstring>
#include <stdexcept>
#include <version>

#if __has_include(<mdspan>)
#include <mdspan>
#endif

namespace {

constexpr double bound = 4;

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T>
constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

using strided::mark;

/// What a row's results must be: the oracle's, or what is defined where that has no answer.
template <class T>
struct expected_row {
    std::vector<long double> p, y;
    long double lse = 0, lse_scale = 0;

    expected_row(const std::vector<T>& x, double temperature)
    {
        const T top = *std::max_element(x.begin(), x.end(), [](T a, T b) { return a < b; });
        const bool has_nan = std::any_of(x.begin(), x.end(), [](T v) { return std::isnan(v); });
        if (has_nan || std::isinf(top)) {
            p.assign(x.size(), not_a_number<T>);
            y = p;
            lse = has_nan ? not_a_number<T> : top;
        }
        else if (temperature == 0) {
            const auto winners = static_cast<long double>(std::count(x.begin(), x.end(), top));
            for (const T v : x) {
                p.push_back(v == top ? 1 / winners : 0);
                y.push_back(v == top ? -std::log(winners) : -infinity<T>);
            }
            lse = top == 0 ? std::log(winners) : std::copysign(infinity<T>, top);
            lse_scale = lse;
        }
        else {
            const oracle::row<T> exact(x, temperature);
            for (std::size_t i = 0; i < x.size(); ++i) {
                p.push_back(exact.softmax(i));
                y.push_back(exact.log_softmax(i));
            }
            lse = exact.log_sum_exp();
            // Where the two terms cancel, the bound is relative to the larger one.
            lse_scale = std::max(std::abs(exact.top()), std::abs(lse));
        }
    }
};

/// Largest error of rows, one after the other, in ULP.
template <class T>
double worst_error(const std::vector<T>& got, const std::vector<expected_row<T>>& rows,
                   std::vector<long double> expected_row<T>::*which)
{
    const std::size_t n = got.size() / rows.size();
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
        worst = std::max(worst, oracle::ulp_error<T>((rows[i / n].*which)[i % n], got[i]));
    return worst;
}

/// softmax, log_softmax and log_sum_exp along an axis, into another view and in place.
template <class T, std::size_t Rank>
void check_tensor(const std::array<std::size_t, Rank>& extents, const strided::layout<Rank>& of_input,
                  const strided::layout<Rank>& of_output, std::size_t axis, double temperature, std::uint64_t salt)
{
    INFO("seed " << logits::seed() << ", salt " << salt << ", rank " << Rank << ", axis " << axis << " of extent "
                 << extents[axis] << ", temperature " << temperature << ", gaps " << of_input.gap << " and "
                 << of_output.gap << ", backwards " << of_input.backwards << " and " << of_output.backwards);
    const bool is_ordinary = temperature > 1e-3 && temperature < 1e3;
    strided::tensor<T, Rank> in(extents, of_input), p(extents, of_output), y = p;
    std::vector<T> x;
    std::vector<expected_row<T>> rows;
    while (x.size() < in.size()) {
        std::vector<T> row = logits::normal<T>(extents[axis], is_ordinary ? 3 * temperature : 2, ++salt);
        // Halves, so that there are several winners, and zeros among them.
        if (!is_ordinary)
            for (T& u : row) u = std::min(std::round(2 * u) / 2, salt % 3 == 0 ? T(0) : T(2));
        x.insert(x.end(), row.begin(), row.end());
        rows.emplace_back(row, temperature);
    }
    in.assign(axis, x);
    const std::vector<T> before = in.memory();

    const auto first = static_cast<std::ptrdiff_t>(axis), last = first - static_cast<std::ptrdiff_t>(Rank);
    xsoftmax::softmax(in.input(), p.output(), {.temperature = temperature, .axis = first});
    xsoftmax::log_softmax(in.input(), y.output(), {.temperature = temperature, .axis = last});
    const std::vector<T> lse = xsoftmax::log_sum_exp(in.input(), {.temperature = temperature, .axis = last});
    std::vector<T> values(rows.size() + 2, mark<T>);
    xsoftmax::log_sum_exp(in.input(), std::span(values).subspan(1, rows.size()),
                          {.temperature = temperature, .axis = first});

    CHECK(in.memory() == before);
    CHECK(worst_error(p.rows(axis), rows, &expected_row<T>::p) <= bound);
    CHECK(worst_error(y.rows(axis), rows, &expected_row<T>::y) <= bound);
    CHECK(p.only_gaps_are_marked());
    CHECK(y.only_gaps_are_marked());
    REQUIRE(lse.size() == rows.size());
    double worst = 0;
    for (std::size_t r = 0; r < rows.size(); ++r)
        worst = std::max(worst, oracle::ulp_error(rows[r].lse, lse[r], rows[r].lse_scale));
    CHECK(worst <= bound);
    CHECK(std::equal(lse.begin(), lse.end(), values.begin() + 1));
    CHECK(values.front() == mark<T>);
    CHECK(values.back() == mark<T>);

    strided::tensor<T, Rank> in_place = in;
    xsoftmax::softmax(in_place.input(), in_place.output(), {.temperature = temperature, .axis = last});
    CHECK(worst_error(in_place.rows(axis), rows, &expected_row<T>::p) <= bound);
    CHECK(in_place.only_gaps_are_marked());
    xsoftmax::log_softmax(in.input(), in.output(), {.temperature = temperature, .axis = first});
    CHECK(worst_error(in.rows(axis), rows, &expected_row<T>::y) <= bound);
    CHECK(in.only_gaps_are_marked());
}

/// One layout of each kind, along every axis: row-major, permuted, with gaps, backwards, and output unlike input.
template <class T>
void check_layouts(std::size_t n, double temperature, unsigned backwards, std::uint64_t& salt)
{
    const unsigned other = backwards ^ 1u;
    const auto next = [&] {
        return salt += 1000;
    };
    check_tensor<T, 1>({n}, {{0}, 0, 0}, {{0}, 0, 0}, 0, temperature, next());
    check_tensor<T, 1>({n}, {{0}, 3, backwards & 1}, {{0}, 2, other & 1}, 0, temperature, next());
    for (std::size_t axis = 0; axis < 2; ++axis) {
        std::array<std::size_t, 2> extents{5, 21};
        extents[axis] = n;
        check_tensor<T, 2>(extents, {{0, 1}, 0, 0}, {{0, 1}, 0, 0}, axis, temperature, next());
        check_tensor<T, 2>(extents, {{0, 1}, 4, backwards & 3}, {{1, 0}, 3, other & 3}, axis, temperature, next());
        check_tensor<T, 2>(extents, {{1, 0}, 0, backwards & 1}, {{1, 0}, 2, other & 1}, axis, temperature, next());
    }
    for (std::size_t axis = 0; axis < 3; ++axis) {
        std::array<std::size_t, 3> extents{3, 4, 19};
        extents[axis] = n;
        check_tensor<T, 3>(extents, {{0, 1, 2}, 0, 0}, {{0, 1, 2}, 2, backwards & 3}, axis, temperature, next());
        check_tensor<T, 3>(extents, {{2, 0, 1}, 2, backwards & 5}, {{2, 0, 1}, 0, 0}, axis, temperature, next());
        check_tensor<T, 3>(extents, {{1, 2, 0}, 1, backwards & 7}, {{0, 2, 1}, 0, other & 7}, axis, temperature,
                           next());
    }
    for (std::size_t axis = 0; axis < 4; ++axis) {
        std::array<std::size_t, 4> extents{2, 3, 2, 5};
        extents[axis] = n;
        check_tensor<T, 4>(extents, {{0, 1, 2, 3}, 0, 0}, {{0, 1, 2, 3}, 0, 0}, axis, temperature, next());
        check_tensor<T, 4>(extents, {{1, 0, 3, 2}, 2, backwards}, {{3, 1, 0, 2}, 1, other}, axis, temperature, next());
    }
}

/// But for the sign and payload of a NaN, which say nothing.
template <class T>
bool same_bits(const T* a, const T* b, std::size_t n)
{
    for (std::size_t i = 0; i < n; ++i)
        if (std::memcmp(a + i, b + i, sizeof(T)) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
    return true;
}

constexpr std::uint64_t ways_to_be_odd = 13;

/// A row that is not like the others: what a group may meet.
template <class T>
void make_odd(T* row, std::size_t n, std::uint64_t how)
{
    using limits = std::numeric_limits<T>;
    const auto shift = [&](T by) {
        std::for_each(row, row + n, [=](T& x) { x += by; });
    };
    switch (how % ways_to_be_odd) {
        case 0: row[n / 2] = not_a_number<T>; break;
        case 1: row[n - 1] = infinity<T>; break;
        case 2: std::fill(row, row + n, -infinity<T>); break;
        case 3: row[0] = -infinity<T>; break;
        case 4: shift(T(1e4)); break;
        case 5: shift(T(1e30)); break;
        case 6: row[n / 3] = limits::max(); break;
        case 7: std::fill(row, row + n, limits::max()); break;
        case 8: std::fill(row, row + n, limits::lowest()); break;
        case 9: row[n - 1] = T(60); break;
        case 10: shift(T(-50)); break;
        case 11: row[n / 2] = T(-105); break;
        default:  // NaN must win over +inf, wherever it stands
            row[0] = infinity<T>;
            row[n - 1] = not_a_number<T>;
    }
}

/// The least that a user's own type needs.
template <class T>
struct minimal_mdspan {
    T* data;
    int rows, columns;
    static constexpr std::size_t rank() { return 2; }
    int extent(std::size_t axis) const { return axis == 0 ? rows : columns; }
    int stride(std::size_t axis) const { return axis == 0 ? columns : 1; }
    T* data_handle() const { return data; }
};

struct without_strides {
    static constexpr std::size_t rank() { return 1; }
    std::size_t extent(std::size_t) const { return 0; }
    float* data_handle() const { return nullptr; }
};

struct of_rank_0 {
    static constexpr std::size_t rank() { return 0; }
    std::size_t extent(std::size_t) const { return 0; }
    std::ptrdiff_t stride(std::size_t) const { return 0; }
    float* data_handle() const { return nullptr; }
};

static_assert(xsoftmax::tensor<minimal_mdspan<float>>);
static_assert(xsoftmax::tensor<xsoftmax::matrix_view<float>>);
static_assert(xsoftmax::tensor<xsoftmax::matrix_view<const double>>);
static_assert(xsoftmax::tensor<xsoftmax::tensor_view<float, 1>>);
static_assert(xsoftmax::tensor<xsoftmax::tensor_view<const float, 4>>);
static_assert(!xsoftmax::tensor<std::vector<float>>);
static_assert(!xsoftmax::tensor<std::span<float>>);
static_assert(!xsoftmax::tensor<std::array<float, 3>>);
static_assert(!xsoftmax::tensor<float*>);
static_assert(!xsoftmax::tensor<int*>);
static_assert(!xsoftmax::tensor<int>);
static_assert(!xsoftmax::tensor<without_strides>);
static_assert(!xsoftmax::tensor<of_rank_0>);

template <class In, class Out>
concept takes = requires(const In& in, const Out& out)
{
    xsoftmax::softmax(in, out);
};

static_assert(takes<xsoftmax::matrix_view<const float>, xsoftmax::matrix_view<float>>);
static_assert(takes<minimal_mdspan<const float>, xsoftmax::tensor_view<float, 2>>);
// What it must not take: must_not_compile/.

using view = xsoftmax::tensor_view<float, 2>;

/// The two functions that write a view, alike, by their names and their outputs'.
template <class Test>
void for_both(Test&& test)
{
    test("softmax", "probabilities", [](auto... arguments) { xsoftmax::softmax(arguments...); });
    test("log_softmax", "log_probabilities", [](auto... arguments) { xsoftmax::log_softmax(arguments...); });
}

/// Buffers that a refused call leaves alone.
class refusals {
public:
    std::vector<float> x = std::vector<float>(64, 1.0f), out = std::vector<float>(64, 9.0f);
    view in{x.data(), {4, 6}}, to{out.data(), {4, 6}};

    template <class Exception, class Call>
    void check(const std::string& function, std::initializer_list<std::string> parts, Call&& call) const
    {
        const std::string message = message_of<Exception>(call);
        INFO(message);
        CHECK(message.find("xsoftmax::" + function + ":") == 0);
        for (const std::string& part : parts) {
            INFO("without: " << part);
            CHECK(message.find(part) != std::string::npos);
        }
        CHECK(out == std::vector<float>(64, 9.0f));
        CHECK(x == std::vector<float>(64, 1.0f));
    }
};

}  // namespace

TEMPLATE_TEST_CASE("views of every rank, axis and layout", "[batches]", float, double)
{
    std::uint64_t salt = 0, count = 0;
    for (const std::size_t n : {1u, 3u, 7u, 10u, 17u, 31u, 33u, 100u, 130u})
        for (const double temperature : {1.0, 0.3})
            for (const unsigned backwards : {15u, 10u})
                if (!logits::is_left_out(count++)) check_layouts<TestType>(n, temperature, backwards, salt);
}

TEMPLATE_TEST_CASE("temperatures at their limits, along any axis", "[batches]", float, double)
{
    std::uint64_t salt = 5000000, count = 0;
    for (const std::size_t n : {1u, 3u, 10u, 33u})
        for (const double temperature : {0.0, 5e-324, 1e-300, 1e-40, 1e-12, 1e12, 1e40, 1e300})
            if (!logits::is_left_out(count++)) check_layouts<TestType>(n, temperature, 6, salt);
}

TEMPLATE_TEST_CASE("an input may repeat its elements by stride 0", "[batches]", float, double)
{
    using T = TestType;
    const std::vector<T> row = logits::normal<T>(20, 3, 1);
    const std::vector<T> alone = xsoftmax::softmax(row);
    // The same row seven times.
    std::vector<T> p(7 * 20);
    const xsoftmax::tensor_view<const T, 2> repeated(row.data(), {7, 20}, {0, 1});
    xsoftmax::softmax(repeated, xsoftmax::matrix_view<T>(p.data(), 7, 20));
    for (std::size_t r = 0; r < 7; ++r) CHECK(same_bits(&p[r * 20], alone.data(), 20));
    // Along the axis that repeats, all are equal.
    xsoftmax::softmax(repeated, xsoftmax::matrix_view<T>(p.data(), 7, 20), {.axis = 0});
    for (const T value : p) CHECK(oracle::ulp_error<T>(1.0L / 7, value) <= bound);
    // Along both.
    xsoftmax::softmax(xsoftmax::tensor_view<const T, 2>(row.data(), {7, 20}, {0, 0}),
                      xsoftmax::matrix_view<T>(p.data(), 7, 20));
    for (const T value : p) CHECK(oracle::ulp_error<T>(1.0L / 20, value) <= bound);
}

/// A batch of rows, some of them odd, with a gap behind each: every operation gives what it gives for each row alone.
template <class T>
void check_rows_in_bulk(std::size_t rows, std::size_t n, std::size_t gap, double temperature, std::uint64_t salt)
{
    // Even salts: all rows alike. Odd ones: some are odd, in every place of a group and in several at once.
    const std::size_t stride = n + gap, output_stride = gap == 0 ? n : n + gap + rows % 4;
    std::vector<T> x = logits::normal<T>(rows * stride, 3, salt);
    if (salt / 2 % 2 == 1) {
        make_odd(&x[salt * 7 % rows * stride], n, salt);
        make_odd(&x[salt * 5 % rows * stride], n, salt / 13);
    }
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = n; i < stride; ++i) x[r * stride + i] = mark<T>;
    std::vector<T> p(rows * output_stride, mark<T>), y = p, p_alone = p, y_alone = p;
    for (std::size_t r = 0; r < rows; ++r) {
        const std::span<const T> row(&x[r * stride], n);
        xsoftmax::softmax(row, std::span(&p_alone[r * output_stride], n), {.temperature = temperature});
        xsoftmax::log_softmax(row, std::span(&y_alone[r * output_stride], n), {.temperature = temperature});
    }
    const xsoftmax::matrix_view<const T> in(x.data(), rows, n, stride);
    const xsoftmax::matrix_view<T> to_p(p.data(), rows, n, output_stride), to_y(y.data(), rows, n, output_stride);
    xsoftmax::softmax(in, to_p, {.temperature = temperature});
    xsoftmax::log_softmax(in, to_y, {.temperature = temperature});
    INFO("seed " << logits::seed() << ", salt " << salt << ", " << rows << " rows of " << n << ", gap " << gap
                 << ", temperature " << temperature);
    // Gaps included.
    CHECK(same_bits(p.data(), p_alone.data(), p.size()));
    CHECK(same_bits(y.data(), y_alone.data(), y.size()));

    // What is more than where it writes to: each row's class is another one.
    const auto same_value = [](T a, T b) {
        return a == b || (a != a && b != b);
    };
    std::vector<T> sums(rows), losses(rows), gradient(rows * output_stride, mark<T>);
    std::vector<T> row_gradient = gradient;
    std::vector<int> classes(rows);
    for (std::size_t r = 0; r < rows; ++r) classes[r] = static_cast<int>((salt + r * 7) % n);
    xsoftmax::log_sum_exp(in, sums, {.temperature = temperature});
    bool same_losses = true;
    for (std::size_t r = 0; r < rows; ++r) {
        const std::span<const T> row(&x[r * stride], n);
        same_losses = same_losses && same_value(sums[r], xsoftmax::log_sum_exp(row, {.temperature = temperature}));
    }
    if (temperature > 0) {
        xsoftmax::cross_entropy_losses(in, classes, losses, {.temperature = temperature});
        for (std::size_t r = 0; r < rows; ++r) {
            const T loss = xsoftmax::softmax_cross_entropy(std::span<const T>(&x[r * stride], n), classes[r],
                                                           std::span(&row_gradient[r * output_stride], n),
                                                           {.temperature = temperature});
            same_losses = same_losses && same_value(losses[r], loss);
        }
        xsoftmax::cross_entropy_losses(in, classes, losses,
                                       xsoftmax::matrix_view<T>(gradient.data(), rows, n, output_stride),
                                       {.temperature = temperature});
        for (std::size_t i = 0; i < gradient.size(); ++i)
            same_losses = same_losses && same_value(gradient[i], row_gradient[i]);
    }
    CHECK(same_losses);

    if (temperature > 0) {
        std::vector<T> weights(n);
        for (std::size_t k = 0; k < n; ++k) weights[k] = static_cast<T>(1 + k % 3) / 2;
        const xsoftmax::cross_entropy_options<T> options{
            .temperature = temperature, .ignore_index = classes[rows / 2], .class_weights = weights, .z_loss = 0.01};
        for (std::size_t r = 0; r < rows; ++r) {
            const auto of_row = xsoftmax::matrix_view<T>(&row_gradient[r * output_stride], 1, n);
            xsoftmax::cross_entropy_losses(xsoftmax::matrix_view<const T>(&x[r * stride], 1, n),
                                           std::span(&classes[r], 1), std::span(&sums[r], 1), of_row, options);
        }
        xsoftmax::cross_entropy_losses(in, classes, losses,
                                       xsoftmax::matrix_view<T>(gradient.data(), rows, n, output_stride), options);
        bool same_options = true;
        for (std::size_t r = 0; r < rows; ++r) same_options = same_options && same_value(losses[r], sums[r]);
        for (std::size_t k = 0; k < gradient.size(); ++k)
            same_options = same_options && same_value(gradient[k], row_gradient[k]);
        CHECK(same_options);
        std::vector<T> over_logits = x;
        xsoftmax::cross_entropy_losses(xsoftmax::matrix_view<const T>(over_logits.data(), rows, n, stride), classes,
                                       losses, xsoftmax::matrix_view<T>(over_logits.data(), rows, n, stride), options);
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t k = 0; k < n; ++k)
                same_options = same_options && same_value(over_logits[r * stride + k], gradient[r * output_stride + k]);
        CHECK(same_options);
    }

    // In place, and from the last row to the first.
    std::vector<T> z = x;
    const auto bottom = static_cast<std::ptrdiff_t>((rows - 1) * stride);
    const xsoftmax::tensor_view<T, 2> upwards(z.data() + bottom, {rows, n}, {-static_cast<std::ptrdiff_t>(stride), 1});
    xsoftmax::softmax(upwards, upwards, {.temperature = temperature});
    xsoftmax::log_softmax(in, xsoftmax::matrix_view<T>(x.data(), rows, n, stride), {.temperature = temperature});
    bool same = true;
    for (std::size_t r = 0; r < rows; ++r) {
        same = same && same_bits(&z[r * stride], &p_alone[r * output_stride], n);
        same = same && same_bits(&x[r * stride], &y_alone[r * output_stride], n);
        for (std::size_t i = n; i < stride; ++i)
            same = same && x[r * stride + i] == mark<T> && z[r * stride + i] == mark<T>;
    }
    CHECK(same);
}

TEMPLATE_TEST_CASE("rows in bulk are bit for bit what they are alone", "[batches]", float, double)
{
    std::uint64_t salt = 0;
    const double temperatures[] = {1, 0.3, 1, 2.5, 1, 0, 1, 1e-40};
    for (const std::size_t n : logits::lengths_to(140))
        for (const std::size_t rows : {1u, 3u, 15u, 16u, 17u, 33u, 64u})
            for (const std::size_t gap : {0u, 3u}) {
                const double temperature = temperatures[++salt / 2 % std::size(temperatures)];
                check_rows_in_bulk<TestType>(rows, n, gap, temperature, salt);
            }
    for (const std::size_t n : {200u, 399u, 400u, 513u, 1000u, 1111u, 4200u})
        for (const std::size_t rows : {2u, 17u, 70u})
            if (logits::thorough() || n * rows < 20000) check_rows_in_bulk<TestType>(rows, n, rows % 4, 1, ++salt);
}

// Results beyond 12 MB are written past the caches; rows of floats beyond 160 KB are computed twice.
TEMPLATE_TEST_CASE("rows that exceed the caches", "[batches][large]", float, double)
{
    constexpr std::size_t least = (std::size_t{13} << 20) / sizeof(TestType);
    std::uint64_t count = 0;
    for (const std::size_t n : {300u, 1000u, 20000u, 45000u})
        for (const std::uint64_t salt : {1u, 2u, 3u})
            if (!logits::is_left_out(count++))
                check_rows_in_bulk<TestType>(least / n, n, n % 7 * salt, 1, 100 * n + salt);
}

TEMPLATE_TEST_CASE("a group with each odd member in each place", "[batches]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 9000000, count = 0;
    for (const std::size_t n : {1u, 2u, 5u, 9u, 16u, 31u, 40u, 64u})
        for (const std::size_t rows : {17u, 33u})
            for (std::uint64_t how = 0; how < ways_to_be_odd; ++how)
                for (std::size_t odd = 0; odd < rows; ++odd) {
                    if (logits::is_left_out(count++)) continue;
                    std::vector<T> x = logits::normal<T>(rows * n, 3, ++salt), p(x.size()), y(x.size()), alone(n);
                    make_odd(&x[odd * n], n, how);
                    const xsoftmax::matrix_view<const T> in(x.data(), rows, n);
                    xsoftmax::softmax(in, xsoftmax::matrix_view<T>(p.data(), rows, n));
                    xsoftmax::log_softmax(in, xsoftmax::matrix_view<T>(y.data(), rows, n));
                    bool same = true;
                    for (std::size_t r = 0; r < rows; ++r) {
                        const std::span<const T> row(&x[r * n], n);
                        xsoftmax::softmax(row, alone);
                        same = same && same_bits(alone.data(), &p[r * n], n);
                        xsoftmax::log_softmax(row, alone);
                        same = same && same_bits(alone.data(), &y[r * n], n);
                    }
                    INFO("seed " << logits::seed() << ", salt " << salt << ", " << rows << " rows of " << n << ", row "
                                 << odd << " odd by " << how);
                    CHECK(same);
                }
}

TEMPLATE_TEST_CASE("side by side, a row does not see its neighbours", "[batches]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 0, count = 0;
    for (const std::size_t n : {1u, 2u, 7u, 17u, 40u, 333u})
        for (const std::size_t rows : {1u, 3u, 5u, 16u, 17u, 40u, 64u, 100u})
            for (std::uint64_t how = 0; how <= ways_to_be_odd; ++how) {
                if (logits::is_left_out(count++)) continue;
                const std::size_t stride = rows + how % 2 * 3;
                std::vector<T> x(n * stride, mark<T>), p = x, y = x;
                std::vector<expected_row<T>> expected;
                ++salt;
                for (std::size_t r = 0; r < rows; ++r) {
                    std::vector<T> row = logits::normal<T>(n, 3, salt * 1000 + r);
                    // None; or a few, one of them in the last vector.
                    if (how < ways_to_be_odd && (r == salt % rows || r + 1 == rows)) make_odd(row.data(), n, how);
                    for (std::size_t i = 0; i < n; ++i) x[i * stride + r] = row[i];
                    expected.emplace_back(row, 1);
                }
                const xsoftmax::matrix_view<const T> in(x.data(), n, rows, stride);
                xsoftmax::softmax(in, xsoftmax::matrix_view<T>(p.data(), n, rows, stride), {.axis = 0});
                xsoftmax::log_softmax(in, xsoftmax::matrix_view<T>(y.data(), n, rows, stride), {.axis = -2});
                const std::vector<T> lse = xsoftmax::log_sum_exp(in, {.axis = 0});
                INFO("seed " << logits::seed() << ", salt " << salt << ", " << rows << " rows of " << n << ", odd by "
                             << how);
                const auto worst_of = [&](const std::vector<T>& got, std::vector<long double> expected_row<T>::*which) {
                    double worst = 0;
                    for (std::size_t r = 0; r < rows; ++r)
                        for (std::size_t i = 0; i < n; ++i)
                            worst = std::max(worst, oracle::ulp_error<T>((expected[r].*which)[i], got[i * stride + r]));
                    return worst;
                };
                CHECK(worst_of(p, &expected_row<T>::p) <= bound);
                CHECK(worst_of(y, &expected_row<T>::y) <= bound);
                double worst = 0;
                for (std::size_t r = 0; r < rows; ++r)
                    worst = std::max(worst, oracle::ulp_error(expected[r].lse, lse[r], expected[r].lse_scale));
                CHECK(worst <= bound);

                std::vector<T> z = x;
                const xsoftmax::matrix_view<T> in_place(z.data(), n, rows, stride);
                xsoftmax::softmax(in_place, in_place, {.axis = 0});
                CHECK(same_bits(z.data(), p.data(), z.size()));
                const xsoftmax::matrix_view<T> log_in_place(x.data(), n, rows, stride);
                xsoftmax::log_softmax(log_in_place, log_in_place, {.axis = 0});
                CHECK(same_bits(x.data(), y.data(), x.size()));
                bool gaps = true;
                for (std::size_t i = 0; i < n; ++i)
                    for (std::size_t r = rows; r < stride; ++r)
                        gaps = gaps && p[i * stride + r] == mark<T> && y[i * stride + r] == mark<T>;
                CHECK(gaps);
            }
}

TEST_CASE("anything with the shape of std::mdspan is a view", "[batches]")
{
    std::vector<float> x = logits::normal<float>(6 * 10, 2), p(60), y(60), expected(60), log_expected(60);
    const xsoftmax::matrix_view<const float> in(x.data(), 6, 10);
    xsoftmax::softmax(in, xsoftmax::matrix_view<float>(expected.data(), 6, 10));
    xsoftmax::log_softmax(in, xsoftmax::matrix_view<float>(log_expected.data(), 6, 10));
    const std::vector<float> lse = xsoftmax::log_sum_exp(in);
    const minimal_mdspan<const float> own{x.data(), 6, 10};
    xsoftmax::softmax(own, minimal_mdspan<float>{p.data(), 6, 10});
    xsoftmax::log_softmax(own, xsoftmax::matrix_view<float>(y.data(), 6, 10));
    CHECK(p == expected);
    CHECK(y == log_expected);
    CHECK(xsoftmax::log_sum_exp(own) == lse);
}

#if defined(__cpp_lib_mdspan)
TEMPLATE_TEST_CASE("std::mdspan of every layout is a view", "[batches]", float, double)
{
    using T = TestType;
    using dynamic = std::dextents<int, 2>;
    static_assert(xsoftmax::tensor<std::mdspan<T, std::dextents<std::size_t, 3>>>);
    static_assert(xsoftmax::tensor<std::mdspan<const T, std::extents<int, 4, 5>, std::layout_left>>);
    static_assert(xsoftmax::tensor<std::mdspan<T, dynamic, std::layout_stride>>);
    static_assert(!xsoftmax::tensor<std::mdspan<T, std::extents<int>>>);
    const std::vector<T> x = logits::normal<T>(6 * 10, 2);
    std::vector<T> expected(60), p(60);
    xsoftmax::softmax(xsoftmax::matrix_view<const T>(x.data(), 6, 10),
                      xsoftmax::matrix_view<T>(expected.data(), 6, 10));
    const std::vector<T> lse = xsoftmax::log_sum_exp(xsoftmax::matrix_view<const T>(x.data(), 6, 10));

    xsoftmax::softmax(std::mdspan(x.data(), 6, 10), std::mdspan(p.data(), 6, 10));
    CHECK(p == expected);
    CHECK(xsoftmax::log_sum_exp(std::mdspan(x.data(), 6, 10)) == lse);

    std::fill(p.begin(), p.end(), T(0));
    xsoftmax::softmax(std::mdspan<const T, std::extents<int, 6, 10>>(x.data()),
                      std::mdspan<T, std::extents<unsigned char, 6, 10>>(p.data()));
    CHECK(p == expected);

    // The same memory, seen as its transpose.
    std::fill(p.begin(), p.end(), T(0));
    xsoftmax::softmax(std::mdspan<const T, dynamic, std::layout_left>(x.data(), 10, 6),
                      std::mdspan<T, dynamic, std::layout_left>(p.data(), 10, 6), {.axis = 0});
    CHECK(p == expected);

    // Rows apart, and a contiguous input.
    std::vector<T> apart(6 * 13, mark<T>);
    const std::layout_stride::mapping<dynamic> padded(dynamic(6, 10), std::array<int, 2>{13, 1});
    xsoftmax::softmax(std::mdspan(x.data(), 6, 10), std::mdspan<T, dynamic, std::layout_stride>(apart.data(), padded));
    for (std::size_t r = 0; r < 6; ++r) CHECK(same_bits(&apart[r * 13], &expected[r * 10], 10));
    CHECK(std::count(apart.begin(), apart.end(), mark<T>) == 6 * 3);
}
#endif

TEST_CASE("views without elements are fine, and nothing is done", "[batches]")
{
    float untouched = 7;
    for (const std::array<std::size_t, 3> extents :
         {std::array<std::size_t, 3>{0, 4, 5}, {3, 0, 5}, {3, 4, 0}, {0, 0, 5}, {0, 0, 0}})
        for (const std::ptrdiff_t axis : {0, 1, 2})
            for (const double temperature : {1.0, 0.0, 1e-40}) {
                const xsoftmax::tensor_view<float, 3> empty(&untouched, extents);
                xsoftmax::softmax(empty, empty, {.temperature = temperature, .axis = axis});
                xsoftmax::log_softmax(empty, empty, {.temperature = temperature, .axis = axis});
                // Of no element the sum is 0, and there may be no row either.
                std::size_t rows = 1;
                for (std::size_t k = 0; k < 3; ++k)
                    if (k != static_cast<std::size_t>(axis)) rows *= extents[k];
                const std::vector<float> lse = xsoftmax::log_sum_exp(empty, {.temperature = temperature, .axis = axis});
                INFO("extents " << extents[0] << ", " << extents[1] << ", " << extents[2] << ", axis " << axis);
                CHECK(lse == std::vector<float>(rows, -infinity<float>));
            }
    const xsoftmax::matrix_view<float> nowhere(nullptr, 0, 0);
    xsoftmax::softmax(nowhere, nowhere);
    xsoftmax::log_softmax(nowhere, nowhere, {.axis = 0});
    CHECK(xsoftmax::log_sum_exp(nowhere).empty());
    CHECK(untouched == 7);
    // The arguments are looked at all the same.
    CHECK_THROWS_AS(xsoftmax::softmax(nowhere, nowhere, {.axis = 2}), std::out_of_range);
    CHECK_THROWS_AS(xsoftmax::softmax(nowhere, nowhere, {.temperature = -1}), std::invalid_argument);
    CHECK_THROWS_AS(xsoftmax::softmax(nowhere, xsoftmax::matrix_view<float>(&untouched, 0, 1)), std::invalid_argument);
}

TEST_CASE("views refuse axes that are not there", "[batches]")
{
    const refusals data;
    constexpr std::ptrdiff_t least = std::numeric_limits<std::ptrdiff_t>::min();
    constexpr std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max();
    for (const std::ptrdiff_t axis : {std::ptrdiff_t{2}, std::ptrdiff_t{-3}, std::ptrdiff_t{5}, least, most}) {
        const std::string named = "axis is " + std::to_string(axis) + ",";
        for_both([&](const char* function, const char*, auto call) {
            data.check<std::out_of_range>(function, {named, "[-2, 2)"},
                                          [&] { call(data.in, data.to, xsoftmax::softmax_options{.axis = axis}); });
        });
        data.check<std::out_of_range>("log_sum_exp", {named},
                                      [&] { (void)xsoftmax::log_sum_exp(data.in, {.axis = axis}); });
        std::vector<float> values(4, 9.0f);
        data.check<std::out_of_range>("log_sum_exp", {named},
                                      [&] { xsoftmax::log_sum_exp(data.in, values, {.axis = axis}); });
        CHECK(values == std::vector<float>(4, 9.0f));
    }
}

TEST_CASE("views refuse temperatures below 0, infinite and NaN", "[batches]")
{
    const refusals data;
    for (const double temperature : {-1.0, -1e-300, infinity<double>, not_a_number<double>}) {
        for_both([&](const char* function, const char*, auto call) {
            data.check<std::invalid_argument>(function, {"temperature is "}, [&] {
                call(data.in, data.to, xsoftmax::softmax_options{.temperature = temperature});
            });
        });
        data.check<std::invalid_argument>("log_sum_exp", {"temperature is "},
                                          [&] { (void)xsoftmax::log_sum_exp(data.in, {.temperature = temperature}); });
    }
}

TEST_CASE("views refuse outputs of another shape", "[batches]")
{
    refusals data;
    for_both([&](const char* function, const char* output, auto call) {
        const std::string name = output;
        data.check<std::invalid_argument>(function, {name + " has extent 5 on axis 1", "logits has 6"}, [&] {
            call(data.in, view(data.out.data(), {4, 5}));
        });
        data.check<std::invalid_argument>(function, {name + " has extent 3 on axis 0", "logits has 4"}, [&] {
            call(data.in, view(data.out.data(), {3, 6}));
        });
        // As many elements, in another shape.
        data.check<std::invalid_argument>(function, {name + " has extent 6 on axis 0", "logits has 4"}, [&] {
            call(data.in, view(data.out.data(), {6, 4}));
        });
        data.check<std::invalid_argument>(function, {name + " has extent 0 on axis 1", "logits has 6"}, [&] {
            call(data.in, view(data.out.data(), {4, 0}));
        });
    });
    for (const std::size_t size : {0u, 3u, 5u, 6u, 24u})
        data.check<std::invalid_argument>("log_sum_exp", {"values has " + std::to_string(size) + " elements", "4 rows"},
                                          [&] { xsoftmax::log_sum_exp(data.in, std::span(data.out.data(), size)); });
    data.check<std::invalid_argument>("log_sum_exp", {"values has 4 elements", "6 rows"}, [&] {
        xsoftmax::log_sum_exp(data.in, std::span(data.out.data(), 4), {.axis = 0});
    });
}

TEST_CASE("views refuse more elements than memory holds, and touch none", "[batches]")
{
    refusals data;
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max(), one = 1;
    // Products that wrap to 0, to something small, to something large, or only do so counted in bytes.
    for (const std::array<std::size_t, 2> extents : {std::array<std::size_t, 2>{one << 32, one << 32},
                                                     {one << 32, (one << 32) + 1},
                                                     {one << 40, one << 40},
                                                     {most / 3 + 1, 3},
                                                     {one << 61, 4},
                                                     {one << 31, one << 31},
                                                     {1, most},
                                                     {most, 1},
                                                     {most, most}}) {
        // The larger one, or the last of two equal ones, is what makes them too many.
        const std::string named = std::to_string(std::max(extents[0], extents[1]));
        INFO("extents " << extents[0] << ", " << extents[1]);
        const view large(data.x.data(), extents), output(data.out.data(), extents);
        for (const std::ptrdiff_t axis : {0, 1}) {
            for_both([&](const char* function, const char*, auto call) {
                data.check<std::invalid_argument>(function, {"logits has extent ", named, "more elements"}, [&] {
                    call(large, output, xsoftmax::softmax_options{.axis = axis});
                });
            });
            data.check<std::invalid_argument>("log_sum_exp", {"logits has extent ", named, "more elements"},
                                              [&] { (void)xsoftmax::log_sum_exp(large, {.axis = axis}); });
            for (const std::size_t size : {0u, 1u})
                data.check<std::invalid_argument>("log_sum_exp", {"logits has extent ", named, "more elements"}, [&] {
                    xsoftmax::log_sum_exp(large, std::span(data.out.data(), size), {.axis = axis});
                });
        }
    }
}

TEST_CASE("views refuse strides that reach farther than memory", "[batches]")
{
    refusals data;
    constexpr std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max(),
                             least = std::numeric_limits<std::ptrdiff_t>::min();
    for (const std::array<std::ptrdiff_t, 2> strides : {std::array<std::ptrdiff_t, 2>{most, 1},
                                                        {least, 1},
                                                        {6, least},
                                                        {6, most / 4},
                                                        {most / 13, most / 21},  // one after the other
                                                        {-(most / 13), most / 21}}) {
        INFO("strides " << strides[0] << ", " << strides[1]);
        const view wide(data.x.data(), {4, 6}, strides), output(data.out.data(), {4, 6}, strides);
        for_both([&](const char* function, const char* name, auto call) {
            const std::string which = name;
            data.check<std::invalid_argument>(function, {"logits has stride ", "farther than memory"},
                                              [&] { call(wide, data.to); });
            data.check<std::invalid_argument>(function, {which + " has stride ", "farther than memory"},
                                              [&] { call(data.in, output); });
        });
        data.check<std::invalid_argument>("log_sum_exp", {"logits has stride ", "farther than memory"},
                                          [&] { (void)xsoftmax::log_sum_exp(wide); });
        data.check<std::invalid_argument>("softmax_backward", {"upstream has stride ", "farther than memory"},
                                          [&] { xsoftmax::softmax_backward(data.in, wide, data.to); });
        data.check<std::invalid_argument>("softmax_cross_entropy", {"targets has stride ", "farther than memory"},
                                          [&] { (void)xsoftmax::softmax_cross_entropy(data.in, wide); });
    }
    // Strides of axes that are not walked along do not matter.
    xsoftmax::softmax(view(data.x.data(), {1, 6}, {most, 1}), view(data.out.data(), {1, 6}, {least, 1}));
    CHECK(data.out[5] == Approx(1.0f / 6));
}

TEST_CASE("views refuse to write an element twice", "[batches]")
{
    refusals data;
    for_both([&](const char* function, const char* output, auto call) {
        const std::string name = output;
        for (const std::ptrdiff_t axis : {0, 1}) {
            const xsoftmax::softmax_options options{.axis = axis};
            data.check<std::invalid_argument>(function, {name, "stride 0 on axis 0"}, [&] {
                call(data.in, view(data.out.data(), {4, 6}, {0, 1}), options);
            });
            data.check<std::invalid_argument>(function, {name, "stride 0 on axis 1"}, [&] {
                call(data.in, view(data.out.data(), {4, 6}, {6, 0}), options);
            });
        }
        // In place too.
        const view same(data.x.data(), {4, 6}, {0, 1});
        data.check<std::invalid_argument>(function, {name, "stride 0 on axis 0"}, [&] { call(same, same); });
    });
    // An axis of one element has no stride to speak of.
    xsoftmax::softmax(view(data.x.data(), {1, 6}, {0, 1}), view(data.out.data(), {1, 6}, {0, 1}));
    CHECK(data.out[5] == Approx(1.0f / 6));
    CHECK(data.out[6] == 9.0f);
}

TEST_CASE("views refuse to overlap unless they are the same", "[batches]")
{
    refusals data;
    float* const x = data.x.data();
    for_both([&](const char* function, const char* output, auto call) {
        const std::string part = std::string(output) + " overlaps logits";
        const auto refuse = [&](const view& in, const view& out) {
            for (const std::ptrdiff_t axis : {0, 1})
                data.check<std::invalid_argument>(function, {part},
                                                  [&] { call(in, out, xsoftmax::softmax_options{.axis = axis}); });
        };
        data.check<std::invalid_argument>(function, {part, "begins 4 bytes after"}, [&] {
            call(data.in, view(x + 1, {4, 6}));
        });
        refuse(data.in, view(x + 1, {4, 6}));                           // by one element
        refuse(view(x + 1, {4, 6}), data.in);                           // the other way
        refuse(data.in, view(x + 23, {4, 6}));                          // the last one only
        refuse(data.in, view(x + 6, {4, 6}));                           // by a row
        refuse(data.in, view(x, {4, 6}, {1, 4}));                       // the same memory, transposed
        refuse(data.in, view(x + 18, {4, 6}, {-6, 1}));                 // the same rows, in reverse
        refuse(data.in, view(x + 5, {4, 6}, {6, -1}));                  // each row in reverse
        refuse(data.in, view(x, {4, 6}, {7, 1}));                       // rows farther apart
        refuse(view(x, {4, 3}, {8, 1}), view(x + 2, {4, 3}, {8, 1}));   // columns that share one
        refuse(view(x, {4, 3}, {8, 1}), view(x + 10, {4, 3}, {8, 1}));  // and do so one row on
    });
}

TEST_CASE("views between each other's elements are taken", "[batches]")
{
    for_both([](const char* function, const char*, auto call) {
        INFO(function);
        const std::vector<float> x = logits::normal<float>(64, 2, 3);
        const auto check = [&](std::array<std::ptrdiff_t, 2> strides, std::ptrdiff_t output_at) {
            for (const std::ptrdiff_t axis : {0, 1}) {
                const xsoftmax::softmax_options options{.axis = axis};
                std::vector<float> shared = x, apart(64);
                call(view(shared.data(), {4, 3}, strides), view(shared.data() + output_at, {4, 3}, strides), options);
                call(xsoftmax::tensor_view<const float, 2>(x.data(), {4, 3}, strides),
                     view(apart.data() + output_at, {4, 3}, strides), options);
                std::vector<float> expected = x;
                for (std::ptrdiff_t r = 0; r < 4; ++r)
                    for (std::ptrdiff_t c = 0; c < 3; ++c) {
                        const auto place = static_cast<std::size_t>(output_at + r * strides[0] + c * strides[1]);
                        expected[place] = apart[place];
                    }
                INFO("strides " << strides[0] << ", " << strides[1] << ", axis " << axis);
                CHECK(shared == expected);
            }
        };
        check({8, 1}, 4);   // the right half of a matrix from its left
        check({6, 2}, 1);   // every other element
        check({12, 1}, 6);  // every other row
        check({2, 8}, 1);   // the same, transposed
    });
}

// The contract: "one element of the output has several places", by whichever strides.
TEST_CASE("views refuse outputs whose rows run into each other", "[batches]")
{
    refusals data;
    for_both([&](const char* function, const char* output, auto call) {
        for (const std::array<std::ptrdiff_t, 2> strides : {std::array<std::ptrdiff_t, 2>{3, 1}, {1, 1}, {-5, 1}}) {
            INFO("strides " << strides[0] << ", " << strides[1]);
            const std::string list = std::to_string(strides[0]) + ", " + std::to_string(strides[1]);
            data.check<std::invalid_argument>(function, {output, "strides of " + list}, [&] {
                call(data.in, view(data.out.data() + 15, {4, 6}, strides));
            });
            std::fill(data.out.begin(), data.out.end(), 9.0f);
        }
    });
}

// The contract: `values` "shares no memory with the logits"; here values are written over logits that are still needed.
TEST_CASE("log_sum_exp of a view refuses values among the logits", "[batches]")
{
    refusals data;
    for (const std::size_t at : {0u, 6u, 20u}) {
        INFO("values begin at element " << at);
        data.check<std::invalid_argument>("log_sum_exp", {"values overlaps logits"},
                                          [&] { xsoftmax::log_sum_exp(data.in, std::span(data.x.data() + at, 4)); });
        std::fill(data.x.begin(), data.x.end(), 1.0f);
    }
}

// Rows of no element are rows all the same, each with a value of its own: 2^80 of them cannot be.
TEST_CASE("log_sum_exp refuses more empty rows than can be counted", "[batches]")
{
    const refusals data;
    constexpr std::size_t many = std::size_t{1} << 40;
    float untouched = 7;
    const xsoftmax::tensor_view<float, 3> empty(&untouched, {many, many, 0});
    data.check<std::invalid_argument>("log_sum_exp", {"logits", std::to_string(many)},
                                      [&] { (void)xsoftmax::log_sum_exp(empty); });
}

// Neighbours that lead by far, and maxima about where rows begin to be subtracted from their logits.
TEMPLATE_TEST_CASE("a row's bits do not depend on its neighbours", "[batches]", float, double)
{
    using T = TestType;
    auto random = logits::generator();
    std::uniform_real_distribution<double> unit(0, 1);
    for (const std::size_t n : {2u, 7u, 16u, 40u, 64u})
        for (const double about : {0.0, 355.0, 2839.0})
            for (int repeat = 0; repeat < (logits::thorough() ? 20 : 4); ++repeat) {
                const std::size_t rows = 21;
                std::vector<T> x = logits::normal<T>(rows * n, 2, random(), about), y(x.size()), p(x.size()), alone(n);
                for (std::size_t r = 0; r < rows; ++r)
                    if (unit(random) < 0.5) x[r * n + random() % n] += static_cast<T>(10 + 30 * unit(random));
                const xsoftmax::matrix_view<const T> in(x.data(), rows, n);
                xsoftmax::log_softmax(in, xsoftmax::matrix_view<T>(y.data(), rows, n));
                xsoftmax::softmax(in, xsoftmax::matrix_view<T>(p.data(), rows, n));
                INFO(n << " elements about " << about << ", repeat " << repeat << ", seed " << logits::seed());
                bool same = true;
                for (std::size_t r = 0; r < rows; ++r) {
                    const std::span<const T> row(&x[r * n], n);
                    xsoftmax::log_softmax(row, alone);
                    same = same && same_bits(&y[r * n], alone.data(), n);
                    xsoftmax::softmax(row, alone);
                    same = same && same_bits(&p[r * n], alone.data(), n);
                }
                CHECK(same);
            }
}
