// Views: every rank and axis, any strides, rows in bulk and side by side, and what is refused.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <array>
#include <cstring>
#include <numeric>

#if defined(__has_include)
#if __has_include(<mdspan>)
#include <mdspan>
#endif
#endif

namespace {

constexpr double bound = 4;

/// A tensor in a buffer of its own, with strides of any order and sign, and gaps that hold a mark.
template <class T, std::size_t Rank>
class strided {
public:
    /// `order` lists the axes from the widest stride to the narrowest; `gap` elements are left after each index of an axis.
    strided(const std::array<std::size_t, Rank>& extents, const std::array<std::size_t, Rank>& order, std::size_t gap,
            bool backwards)
        : extents_(extents)
    {
        std::ptrdiff_t stride = 1;
        for (std::size_t k = Rank; k-- > 0;) {
            const std::size_t axis = order[k];
            strides_[axis] = stride;
            stride = stride * static_cast<std::ptrdiff_t>(extents[axis]) + static_cast<std::ptrdiff_t>(gap);
        }
        buffer_.assign(static_cast<std::size_t>(stride), mark);
        if (!backwards) return;
        for (std::size_t axis = 0; axis < Rank; ++axis) {
            origin_ += strides_[axis] * static_cast<std::ptrdiff_t>(extents[axis] - 1);
            strides_[axis] = -strides_[axis];
        }
    }

    xsoftmax::tensor_view<T, Rank> view() { return {buffer_.data() + origin_, extents_, strides_}; }
    xsoftmax::tensor_view<const T, Rank> input() const { return {buffer_.data() + origin_, extents_, strides_}; }

    T& at(const std::array<std::size_t, Rank>& index)
    {
        std::ptrdiff_t place = origin_;
        for (std::size_t axis = 0; axis < Rank; ++axis)
            place += strides_[axis] * static_cast<std::ptrdiff_t>(index[axis]);
        return buffer_[static_cast<std::size_t>(place)];
    }

    std::size_t marks() const { return static_cast<std::size_t>(std::count(buffer_.begin(), buffer_.end(), mark)); }

private:
    static constexpr T mark = static_cast<T>(-12345);
    std::array<std::size_t, Rank> extents_;
    std::array<std::ptrdiff_t, Rank> strides_{};
    std::ptrdiff_t origin_ = 0;
    std::vector<T> buffer_;
};

/// Calls visit(index) for each index of the extents but those of `axis`, which stays 0, in row-major order.
template <std::size_t Rank, class Visit>
void for_each_row(const std::array<std::size_t, Rank>& extents, std::size_t axis, Visit&& visit)
{
    std::array<std::size_t, Rank> index{};
    for (;;) {
        visit(index);
        std::size_t k = Rank;
        for (;;) {
            if (k == 0) return;
            --k;
            if (k == axis) continue;
            if (++index[k] < extents[k]) break;
            index[k] = 0;
        }
    }
}

/// softmax, log_softmax and log_sum_exp of `in` along an axis, held against the oracle.
template <class T, std::size_t Rank>
void check_tensor(const std::array<std::size_t, Rank>& extents, const std::array<std::size_t, Rank>& in_order,
                  const std::array<std::size_t, Rank>& out_order, std::size_t gap, bool backwards, std::size_t axis,
                  double temperature, std::uint64_t salt)
{
    const std::size_t n = extents[axis];
    strided<T, Rank> in(extents, in_order, gap, backwards), p(extents, out_order, gap + 1, false),
        y(extents, out_order, gap, backwards);
    std::vector<std::vector<T>> rows;
    for_each_row(extents, axis, [&](std::array<std::size_t, Rank> index) {
        rows.push_back(logits::normal<T>(n, 3 * temperature, ++salt));
        for (index[axis] = 0; index[axis] < n; ++index[axis]) in.at(index) = rows.back()[index[axis]];
    });
    const std::size_t gaps_of_p = p.marks() - rows.size() * n, gaps_of_y = y.marks() - rows.size() * n;

    const auto signed_axis = static_cast<std::ptrdiff_t>(axis);
    const auto negative_axis = signed_axis - static_cast<std::ptrdiff_t>(Rank);
    xsoftmax::softmax(in.input(), p.view(), {.temperature = temperature, .axis = signed_axis});
    xsoftmax::log_softmax(in.input(), y.view(), {.temperature = temperature, .axis = negative_axis});
    const std::vector<T> lse = xsoftmax::log_sum_exp(in.input(), {.temperature = temperature, .axis = negative_axis});

    CHECK(p.marks() == gaps_of_p);
    CHECK(y.marks() == gaps_of_y);
    REQUIRE(lse.size() == rows.size());
    const auto hold_against_oracle = [&](auto& probabilities, bool others) {
        double worst = 0;
        std::size_t r = 0;
        for_each_row(extents, axis, [&](std::array<std::size_t, Rank> index) {
            const oracle::row<T> exact(rows[r], temperature);
            const auto scale = std::max(std::abs(exact.top()), std::abs(exact.log_sum_exp()));
            if (others) worst = std::max(worst, oracle::ulp_error(exact.log_sum_exp(), lse[r], scale));
            ++r;
            for (index[axis] = 0; index[axis] < n; ++index[axis]) {
                const std::size_t i = index[axis];
                worst = std::max(worst, oracle::ulp_error(exact.softmax(i), probabilities.at(index)));
                if (others) worst = std::max(worst, oracle::ulp_error(exact.log_softmax(i), y.at(index)));
            }
        });
        CHECK(worst <= bound);
    };
    hold_against_oracle(p, true);
    xsoftmax::softmax(in.input(), in.view(), {.temperature = temperature, .axis = signed_axis});
    hold_against_oracle(in, false);
}

/// But for the sign and payload of a NaN, which say nothing.
template <class T>
bool same_bits(const T* a, const T* b, std::size_t n)
{
    for (std::size_t i = 0; i < n; ++i)
        if (std::memcmp(a + i, b + i, sizeof(T)) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
    return true;
}

/// A row that is not like the others: what a group may meet.
template <class T>
void spoil(T* row, std::size_t n, std::uint64_t how)
{
    using limits = std::numeric_limits<T>;
    switch (how % 9) {
        case 0: row[n / 2] = limits::quiet_NaN(); break;
        case 1: row[n - 1] = limits::infinity(); break;
        case 2: std::fill(row, row + n, -limits::infinity()); break;
        case 3: row[0] = -limits::infinity(); break;
        case 4: std::for_each(row, row + n, [](T& x) { x += T(1e4); }); break;
        case 5: row[n / 3] = limits::max(); break;
        case 6: row[0] = T(60); break;
        case 7: std::for_each(row, row + n, [](T& x) { x -= T(50); }); break;
        default: row[n / 2] = T(-105); break;
    }
}

template <class T>
struct minimal_mdspan {
    using element_type = T;
    T* data;
    std::size_t rows, columns;
    static constexpr std::size_t rank() { return 2; }
    std::size_t extent(std::size_t axis) const { return axis == 0 ? rows : columns; }
    std::size_t stride(std::size_t axis) const { return axis == 0 ? columns : 1; }
    T* data_handle() const { return data; }
};

static_assert(xsoftmax::tensor<minimal_mdspan<float>>);
static_assert(xsoftmax::tensor<xsoftmax::matrix_view<const double>>);
static_assert(xsoftmax::tensor<xsoftmax::tensor_view<float, 4>>);
static_assert(!xsoftmax::tensor<std::vector<float>>);
static_assert(!xsoftmax::tensor<float*>);
static_assert(!xsoftmax::tensor<int>);

template <class Exception, class Call>
std::string message_of(Call&& call)
{
    try {
        call();
    }
    catch (const Exception& error) {
        return error.what();
    }
    return "nothing was thrown";
}

}  // namespace

TEMPLATE_TEST_CASE("views of every rank, axis and layout", "[batches]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 1000;
    for (const std::size_t n : {1u, 3u, 10u, 17u, 33u, 70u, 130u})
        for (const double temperature : {1.0, 0.3})
            for (const bool backwards : {false, true}) {
                INFO("seed " << logits::seed() << ", " << n << " elements, temperature " << temperature);
                check_tensor<T, 1>({n}, {0}, {0}, 2, backwards, 0, temperature, salt += 1000);
                for (std::size_t axis = 0; axis < 2; ++axis) {
                    std::array<std::size_t, 2> extents{5, 21};
                    extents[axis] = n;
                    check_tensor<T, 2>(extents, {0, 1}, {1, 0}, 3, backwards, axis, temperature, salt += 1000);
                    check_tensor<T, 2>(extents, {1, 0}, {1, 0}, 0, backwards, axis, temperature, salt += 1000);
                    check_tensor<T, 2>(extents, {0, 1}, {0, 1}, 0, backwards, axis, temperature, salt += 1000);
                }
                for (std::size_t axis = 0; axis < 3; ++axis) {
                    std::array<std::size_t, 3> extents{3, 4, 19};
                    extents[axis] = n;
                    check_tensor<T, 3>(extents, {0, 1, 2}, {0, 1, 2}, 0, backwards, axis, temperature, salt += 1000);
                    check_tensor<T, 3>(extents, {2, 0, 1}, {0, 1, 2}, 1, backwards, axis, temperature, salt += 1000);
                }
                for (std::size_t axis = 0; axis < 4; ++axis) {
                    std::array<std::size_t, 4> extents{2, 3, 2, 5};
                    extents[axis] = n;
                    check_tensor<T, 4>(extents, {0, 1, 2, 3}, {3, 1, 0, 2}, 1, backwards, axis, temperature,
                                       salt += 1000);
                }
            }
}

TEMPLATE_TEST_CASE("rows in bulk are bit for bit what they are alone", "[batches]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 0;
    for (std::size_t n = 1; n <= 140; n += n < 70 ? 1 : 7)
        for (const std::size_t rows : {1u, 15u, 16u, 33u, 50u})
            for (const std::size_t gap : {0u, 3u})
                for (const bool spoiled : {false, true}) {
                    const std::size_t stride = n + gap;
                    std::vector<T> x = logits::normal<T>(rows * stride, 3, ++salt), p(x.size()), y(x.size()), alone(n);
                    if (spoiled) {
                        spoil(&x[(rows - 1) * stride], n, salt);
                        spoil(&x[rows / 2 * stride], n, salt / 3);
                    }
                    const double temperature = salt % 3 == 0 ? 0.7 : 1;
                    const xsoftmax::matrix_view<const T> in(x.data(), rows, n, stride);
                    xsoftmax::softmax(in, xsoftmax::matrix_view<T>(p.data(), rows, n, stride),
                                      {.temperature = temperature});
                    xsoftmax::log_softmax(in, xsoftmax::matrix_view<T>(y.data(), rows, n, stride),
                                          {.temperature = temperature});
                    bool same = true;
                    for (std::size_t r = 0; r < rows; ++r) {
                        const std::span<const T> row(&x[r * stride], n);
                        xsoftmax::softmax(row, alone, {.temperature = temperature});
                        same = same && same_bits(alone.data(), &p[r * stride], n);
                        xsoftmax::log_softmax(row, alone, {.temperature = temperature});
                        same = same && same_bits(alone.data(), &y[r * stride], n);
                    }
                    INFO("seed " << logits::seed() << ", " << rows << " rows of " << n << ", salt " << salt);
                    CHECK(same);
                    xsoftmax::softmax(in, xsoftmax::matrix_view<T>(x.data(), rows, n, stride),
                                      {.temperature = temperature});
                    for (std::size_t r = 0; r < rows; ++r) CHECK(same_bits(&x[r * stride], &p[r * stride], n));
                }
}

TEMPLATE_TEST_CASE("side by side, a row does not see its neighbours", "[batches]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 0;
    for (const std::size_t n : {1u, 2u, 7u, 40u})
        for (const std::size_t rows : {1u, 5u, 16u, 40u, 64u, 100u})
            for (std::size_t odd = 0; odd < rows; odd += 7) {
                std::vector<T> x = logits::normal<T>(n * rows, 3, ++salt), p(x.size()), y(x.size());
                std::vector<T> column(n);
                for (std::size_t i = 0; i < n; ++i) column[i] = x[i * rows + odd];
                spoil(column.data(), n, salt);
                for (std::size_t i = 0; i < n; ++i) x[i * rows + odd] = column[i];
                const xsoftmax::matrix_view<const T> in(x.data(), n, rows);
                xsoftmax::softmax(in, xsoftmax::matrix_view<T>(p.data(), n, rows), {.axis = 0});
                xsoftmax::log_softmax(in, xsoftmax::matrix_view<T>(y.data(), n, rows), {.axis = 0});
                const std::vector<T> lse = xsoftmax::log_sum_exp(in, {.axis = 0});
                INFO("seed " << logits::seed() << ", " << rows << " rows of " << n << ", odd one " << odd << ", salt "
                             << salt);
                for (std::size_t r = 0; r < rows; ++r) {
                    for (std::size_t i = 0; i < n; ++i) column[i] = x[i * rows + r];
                    const std::vector<T> alone = xsoftmax::softmax(column), log_alone = xsoftmax::log_softmax(column);
                    const T lse_alone = xsoftmax::log_sum_exp(column);
                    double worst = 0;
                    for (std::size_t i = 0; i < n; ++i) {
                        worst = std::max(worst, oracle::ulp_error<T>(alone[i], p[i * rows + r]));
                        worst = std::max(worst, oracle::ulp_error<T>(log_alone[i], y[i * rows + r]));
                    }
                    CHECK(worst <= 2 * bound);  // each may be off by the bound
                    if (std::isfinite(lse_alone))
                        CHECK(std::abs(lse_alone - lse[r]) <=
                              8 * std::numeric_limits<T>::epsilon() * std::max(T(8), std::abs(lse_alone)));
                    else
                        CHECK((std::isnan(lse_alone) ? std::isnan(lse[r]) : lse_alone == lse[r]));
                }
            }
}

TEMPLATE_TEST_CASE("unusual temperatures along any axis", "[batches]", float, double)
{
    using T = TestType;
    const std::vector<T> x = logits::normal<T>(6 * 20, 3);
    for (const double temperature : {0.0, 1e-40, 1e-300, 1e40, 1e300})
        for (const std::ptrdiff_t axis : {0, 1}) {
            std::vector<T> p(x.size());
            xsoftmax::softmax(xsoftmax::matrix_view<const T>(x.data(), 6, 20),
                              xsoftmax::matrix_view<T>(p.data(), 6, 20), {.temperature = temperature, .axis = axis});
            const std::size_t rows = axis == 0 ? 20 : 6, n = 120 / rows;
            for (std::size_t r = 0; r < rows; ++r) {
                std::vector<T> row(n), expected(n);
                for (std::size_t i = 0; i < n; ++i) row[i] = axis == 0 ? x[i * 20 + r] : x[r * 20 + i];
                xsoftmax::softmax(row, expected, {.temperature = temperature});
                for (std::size_t i = 0; i < n; ++i) CHECK(expected[i] == (axis == 0 ? p[i * 20 + r] : p[r * 20 + i]));
            }
        }
}

TEST_CASE("anything with the shape of std::mdspan is a view", "[batches]")
{
    std::vector<float> x = logits::normal<float>(6 * 10, 2), p(60), expected(60);
    xsoftmax::softmax(xsoftmax::matrix_view<const float>(x.data(), 6, 10),
                      xsoftmax::matrix_view<float>(expected.data(), 6, 10));
    xsoftmax::softmax(minimal_mdspan<const float>{x.data(), 6, 10}, minimal_mdspan<float>{p.data(), 6, 10});
    CHECK(p == expected);
#if defined(__cpp_lib_mdspan)
    static_assert(xsoftmax::tensor<std::mdspan<float, std::dextents<std::size_t, 3>>>);
    std::fill(p.begin(), p.end(), 0.0f);
    xsoftmax::softmax(std::mdspan(x.data(), 6, 10), std::mdspan(p.data(), 6, 10));
    CHECK(p == expected);
    const std::mdspan<float, std::dextents<int, 2>, std::layout_left> columns(x.data(), 10, 6);
    std::fill(p.begin(), p.end(), 0.0f);
    xsoftmax::softmax(columns, std::mdspan<float, std::dextents<int, 2>, std::layout_left>(p.data(), 10, 6),
                      {.axis = 0});
    CHECK(p == expected);
#endif
}

TEST_CASE("views without elements are fine, and nothing is done", "[batches]")
{
    float untouched = 7;
    for (const std::array<std::size_t, 3> extents : {std::array<std::size_t, 3>{0, 4, 5}, {3, 0, 5}, {3, 4, 0}})
        for (const std::ptrdiff_t axis : {0, 1, 2}) {
            const xsoftmax::tensor_view<float, 3> view(&untouched, extents);
            xsoftmax::softmax(view, view, {.axis = axis});
            xsoftmax::log_softmax(view, view, {.axis = axis});
            const std::vector<float> lse = xsoftmax::log_sum_exp(view, {.axis = axis});
            for (const float value : lse) CHECK(value == -std::numeric_limits<float>::infinity());
        }
    CHECK(untouched == 7);
}

TEST_CASE("what views refuse", "[batches]")
{
    using view = xsoftmax::tensor_view<float, 2>;
    std::vector<float> x(64, 1.0f), out(64, 9.0f);
    const view in(x.data(), {4, 6});
    const auto refused = [&](auto error, const std::string& part, auto&& call) {
        const std::string message = message_of<decltype(error)>(call);
        INFO(message);
        CHECK(message.find("xsoftmax::") != std::string::npos);
        CHECK(message.find(part) != std::string::npos);
        CHECK(out == std::vector<float>(64, 9.0f));
        CHECK(x == std::vector<float>(64, 1.0f));
    };
    const std::out_of_range range("");
    const std::invalid_argument invalid("");
    const view to(out.data(), {4, 6});
    refused(range, "axis is 2", [&] { xsoftmax::softmax(in, to, {.axis = 2}); });
    refused(range, "axis is -3", [&] { xsoftmax::log_softmax(in, to, {.axis = -3}); });
    refused(range, "axis is 5", [&] { (void)xsoftmax::log_sum_exp(in, {.axis = 5}); });
    refused(invalid, "extent 5 on axis 1", [&] { xsoftmax::softmax(in, view(out.data(), {4, 5})); });
    refused(invalid, "extent 3 on axis 0", [&] { xsoftmax::log_softmax(in, view(out.data(), {3, 6})); });
    refused(invalid, "temperature is -1", [&] { xsoftmax::softmax(in, to, {.temperature = -1}); });
    refused(invalid, "values has 3 elements", [&] { xsoftmax::log_sum_exp(in, std::span(out.data(), 3)); });
    const std::size_t huge = std::size_t{1} << 40;
    refused(invalid, "1099511627776", [&] {
        xsoftmax::softmax(view(x.data(), {huge, huge}), view(out.data(), {huge, huge}));
    });
    refused(invalid, "stride 0 on axis 0", [&] { xsoftmax::softmax(in, view(out.data(), {4, 6}, {0, 1})); });
    refused(invalid, "overlaps logits", [&] { xsoftmax::softmax(in, view(x.data() + 1, {4, 6})); });
    refused(invalid, "overlaps logits", [&] { xsoftmax::softmax(in, view(x.data(), {4, 6}, {1, 4})); });
    refused(invalid, "overlaps logits", [&] { xsoftmax::log_softmax(in, view(x.data() + 6, {4, 6}, {-6, 1})); });
    // Columns between each other's share no element.
    xsoftmax::softmax(view(x.data(), {8, 3}, {8, 1}), view(x.data() + 4, {8, 3}, {8, 1}));
    CHECK(x[4] == Approx(1.0f / 3));
    CHECK(x[3] == 1.0f);
    CHECK(x[7] == 1.0f);
}
