// Masks in every form, against the definition over the kept elements alone; rows of which nothing is kept.

#include "catch.hpp"
#include "logits.hpp"
#include "oracle.hpp"
#include "refusals.hpp"
#include "strided.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <memory>

namespace {

constexpr double bound = 4;

using xsoftmax::fully_masked;

/// A batch of [sequences, heads, queries, keys] and what a mask over it keeps.
template <class T>
struct batch {
    std::array<std::size_t, 4> extents;
    std::vector<T> logits;
    std::vector<bool> kept;  ///< by the definition

    explicit batch(const std::array<std::size_t, 4>& of, std::uint64_t salt)
        : extents(of), logits(logits::normal<T>(of[0] * of[1] * of[2] * of[3], 3, salt)), kept(logits.size(), true)
    {
    }

    std::size_t keys() const { return extents[3]; }
    std::size_t rows() const { return logits.size() / keys(); }
    xsoftmax::tensor_view<const T, 4> input() const { return {logits.data(), extents}; }
    xsoftmax::tensor_view<T, 4> view(std::vector<T>& of) const { return {of.data(), extents}; }

    /// Keeps less: element k of row r, with its indices.
    template <class Keeps>
    void restrict_to(Keeps&& keeps)
    {
        for (std::size_t r = 0; r < rows(); ++r)
            for (std::size_t k = 0; k < keys(); ++k) {
                const std::size_t query = r % extents[2], head = r / extents[2] % extents[1],
                                  sequence = r / extents[2] / extents[1];
                if (!keeps(sequence, head, query, k)) kept[r * keys() + k] = false;
            }
    }
};

/// Holds masked_softmax and masked_log_softmax against the rows of kept elements, and looks that what is left out is not
/// read: it is spoiled by NaN and infinities.
template <class T>
void check(batch<T> b, const xsoftmax::mask<T>& mask, double temperature = 1)
{
    const std::size_t n = b.keys();
    const std::vector<T> clean = b.logits;
    const std::array<T, 3> spoilers{std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(), T(1e30)};
    for (std::size_t i = 0; i < b.logits.size(); ++i)
        if (!b.kept[i]) b.logits[i] = spoilers[i % 3];
    std::vector<T> p(b.logits.size()), y(b.logits.size());
    xsoftmax::softmax(xsoftmax::masked(b.input(), mask), b.view(p), {.temperature = temperature});
    xsoftmax::log_softmax(xsoftmax::masked(b.input(), mask), b.view(y), {.temperature = temperature});
    double worst = 0;
    bool zeros = true;
    for (std::size_t r = 0; r < b.rows(); ++r) {
        std::vector<T> row;
        for (std::size_t k = 0; k < n; ++k)
            if (b.kept[r * n + k]) row.push_back(clean[r * n + k]);
        if (row.empty()) continue;
        const oracle::row<T> exact(row, temperature);
        std::size_t j = 0;
        for (std::size_t k = 0; k < n; ++k) {
            const std::size_t i = r * n + k;
            if (b.kept[i]) {
                worst = std::max(worst, oracle::ulp_error(exact.softmax(j), p[i]));
                worst = std::max(worst, oracle::ulp_error(exact.log_softmax(j), y[i]));
                ++j;
            }
            else
                zeros = zeros && p[i] == 0 && !std::signbit(p[i]) && y[i] == -std::numeric_limits<T>::infinity();
        }
    }
    CHECK(worst <= bound);
    CHECK(zeros);
    std::vector<T> in_place = b.logits;
    xsoftmax::softmax(xsoftmax::masked(xsoftmax::tensor_view<const T, 4>(in_place.data(), b.extents), mask),
                      b.view(in_place), {.temperature = temperature});
    CHECK(in_place == p);
    // What lies behind the mask makes no difference.
    batch<T> other = b;
    other.logits = clean;
    std::vector<T> again(p.size());
    xsoftmax::softmax(xsoftmax::masked(other.input(), mask), other.view(again), {.temperature = temperature});
    CHECK(std::memcmp(again.data(), p.data(), p.size() * sizeof(T)) == 0);
}

const std::vector<std::array<std::size_t, 4>> shapes = {{1, 1, 1, 1},  {2, 3, 4, 5},   {2, 2, 17, 17}, {1, 2, 3, 16},
                                                        {3, 1, 5, 40}, {1, 1, 33, 70}, {2, 1, 3, 131}};

}  // namespace

TEMPLATE_TEST_CASE("keep-masks of bools and bytes, broadcast in every way", "[masks]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 0;
    for (const auto& shape : shapes)
        for (unsigned broadcast = 0; broadcast < 16; ++broadcast) {
            batch<T> b(shape, ++salt);
            std::array<std::size_t, 4> extents = shape;
            for (std::size_t axis = 0; axis < 4; ++axis)
                if ((broadcast >> axis & 1) != 0) extents[axis] = 1;
            const std::size_t count = extents[0] * extents[1] * extents[2] * extents[3];
            auto random = logits::generator(salt);
            std::vector<unsigned char> bytes(count);
            const auto flags = std::make_unique<bool[]>(count);
            for (std::size_t i = 0; i < count; ++i) {
                bytes[i] = static_cast<unsigned char>(random() % 3);  // any byte but 0 keeps
                flags[i] = bytes[i] != 0;
            }
            b.restrict_to([&](std::size_t s, std::size_t h, std::size_t q, std::size_t k) {
                const std::array<std::size_t, 4> index{s, h, q, k};
                std::size_t at = 0;
                for (std::size_t axis = 0; axis < 4; ++axis)
                    at = at * extents[axis] + (extents[axis] == 1 ? 0 : index[axis]);
                return bytes[at] != 0;
            });
            INFO("seed " << logits::seed() << ", salt " << salt << ", broadcast " << broadcast);
            check<T>(b, {.keep = xsoftmax::tensor_view<const unsigned char, 4>(bytes.data(), extents)});
            check<T>(b, {.keep = xsoftmax::tensor_view<const bool, 4>(flags.get(), extents)}, 0.5);
        }
}

TEMPLATE_TEST_CASE("a keep-mask of fewer axes lies over the last ones", "[masks]", float, double)
{
    using T = TestType;
    batch<T> b({2, 3, 4, 19}, 1);
    std::vector<unsigned char> keys(19);
    for (std::size_t k = 0; k < 19; ++k) keys[k] = k % 4 != 1;
    b.restrict_to([&](std::size_t, std::size_t, std::size_t, std::size_t k) { return keys[k] != 0; });
    check<T>(b, {.keep = keys});
    check<T>(b, {.keep = xsoftmax::matrix_view<const unsigned char>(keys.data(), 1, 19)});
}

TEMPLATE_TEST_CASE("lengths, for each row or for several", "[masks]", int, unsigned, long, unsigned long, long long,
                   unsigned long long)
{
    std::uint64_t salt = 100;
    for (const auto& shape : shapes)
        for (const std::size_t rows_for_each : {std::size_t{1}, shape[2], shape[1] * shape[2]}) {
            batch<float> b(shape, ++salt);
            std::vector<TestType> lengths(b.rows() / rows_for_each);
            for (std::size_t i = 0; i < lengths.size(); ++i)
                lengths[i] = static_cast<TestType>((i * 7 + salt) % (b.keys() + 1));
            b.restrict_to([&](std::size_t s, std::size_t h, std::size_t q, std::size_t k) {
                const std::size_t row = (s * shape[1] + h) * shape[2] + q;
                return k < static_cast<std::size_t>(lengths[row / rows_for_each]);
            });
            INFO("seed " << logits::seed() << ", salt " << salt);
            check<float>(b, {.lengths = lengths});
        }
}

TEMPLATE_TEST_CASE("causal masks, with an offset, and all kinds at once", "[masks]", float, double)
{
    using T = TestType;
    std::uint64_t salt = 200;
    for (const auto& shape : shapes)
        for (const std::ptrdiff_t offset : {-3, 0, 1, 12}) {
            batch<T> b(shape, ++salt);
            INFO("seed " << logits::seed() << ", salt " << salt << ", offset " << offset);
            b.restrict_to([&](std::size_t, std::size_t, std::size_t q, std::size_t k) {
                return static_cast<std::ptrdiff_t>(k) <= static_cast<std::ptrdiff_t>(q) + offset;
            });
            check<T>(b, {.causal = offset});

            std::vector<std::int64_t> lengths(shape[0]);
            for (std::size_t s = 0; s < shape[0]; ++s) lengths[s] = static_cast<std::int64_t>((s + 3) % (shape[3] + 1));
            std::vector<unsigned char> keys(shape[3]);
            for (std::size_t k = 0; k < keys.size(); ++k) keys[k] = k % 5 != 2;
            // A bias of zeros and −inf changes no kept logit.
            std::vector<T> bias(shape[2] * shape[3]);
            for (std::size_t i = 0; i < bias.size(); ++i)
                bias[i] = i % 7 == 3 ? -std::numeric_limits<T>::infinity() : T(0);
            b.restrict_to([&](std::size_t s, std::size_t, std::size_t q, std::size_t k) {
                return k < static_cast<std::size_t>(lengths[s]) && keys[k] != 0 && (q * shape[3] + k) % 7 != 3;
            });
            check<T>(b, {.keep = keys,
                         .lengths = std::span<const std::int64_t>(lengths),
                         .causal = offset,
                         .bias = xsoftmax::matrix_view<const T>(bias.data(), shape[2], shape[3])});
        }
}

TEST_CASE("a causal offset may be any number", "[masks]")
{
    batch<float> b({1, 2, 5, 7}, 250);
    constexpr auto most = std::numeric_limits<std::ptrdiff_t>::max();
    check<float>(b, {.causal = most});
    check<float>(b, {.causal = most - 3});
    b.restrict_to([](std::size_t, std::size_t, std::size_t, std::size_t) { return false; });
    check<float>(b, {.causal = std::numeric_limits<std::ptrdiff_t>::min()});
    check<float>(b, {.causal = -most});
}

TEMPLATE_TEST_CASE("a bias of -inf leaves out what is no number", "[masks]", float, double)
{
    using T = TestType;
    constexpr T infinity = std::numeric_limits<T>::infinity();
    for (const std::size_t n : {5u, 16u, 70u}) {
        batch<T> b({1, 2, 3, n}, 350 + n);
        std::vector<T> row(n), turned(3 * n);
        for (std::size_t k = 0; k < n; ++k) row[k] = k % 3 == 1 ? -infinity : T(0);
        for (std::size_t q = 0; q < 3; ++q)
            for (std::size_t k = 0; k < n; ++k) turned[k * 3 + q] = (q + k) % 4 == 0 ? -infinity : T(0);
        batch<T> other = b;
        b.restrict_to([](std::size_t, std::size_t, std::size_t, std::size_t k) { return k % 3 != 1; });
        check<T>(b, {.bias = row});
        other.restrict_to([](std::size_t, std::size_t, std::size_t q, std::size_t k) { return (q + k) % 4 != 0; });
        const std::array<std::ptrdiff_t, 2> apart{1, 3};
        check<T>(other, {.bias = xsoftmax::tensor_view<const T, 2>(turned.data(), {3, n}, apart)});
    }
}

TEMPLATE_TEST_CASE("a bias is added in the logits' type", "[masks]", float, double)
{
    using T = TestType;
    for (const std::size_t n : {1u, 9u, 16u, 50u}) {
        batch<T> b({1, 2, 3, n}, 300 + n);
        const std::vector<T> bias = logits::normal<T>(3 * n, 2, 400 + n);
        batch<T> added = b;
        for (std::size_t i = 0; i < b.logits.size(); ++i) added.logits[i] += bias[i % (3 * n)];
        std::vector<T> p(b.logits.size()), expected(p.size());
        xsoftmax::softmax(xsoftmax::masked(b.input(), {.bias = xsoftmax::matrix_view<const T>(bias.data(), 3, n)}),
                          b.view(p));
        xsoftmax::softmax(added.input(), added.view(expected));
        CHECK(p == expected);
    }
}

TEMPLATE_TEST_CASE("rows of which nothing is kept", "[masks]", float, double)
{
    using T = TestType;
    const T nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
    const std::size_t n = 21;
    std::vector<T> x(3 * n, nan), p(x.size()), y(x.size()), losses(3), gradient(x.size());
    for (std::size_t i = 0; i < n; ++i) x[i] = T(0.1) * static_cast<T>(i);
    std::vector<unsigned char> keep(3 * n, 0);
    std::fill(keep.begin(), keep.begin() + 5, static_cast<unsigned char>(1));
    const std::vector<int> targets{2, 3, 4};
    const xsoftmax::matrix_view<const T> in(x.data(), 3, n);
    const auto to = [&](std::vector<T>& of) {
        return xsoftmax::matrix_view<T>(of.data(), 3, n);
    };
    xsoftmax::mask<T> mask{.keep = xsoftmax::matrix_view<const unsigned char>(keep.data(), 3, n)};
    const auto run = [&] {
        xsoftmax::softmax(xsoftmax::masked(in, mask), to(p));
        xsoftmax::log_softmax(xsoftmax::masked(in, mask), to(y));
        xsoftmax::cross_entropy_losses(xsoftmax::masked(in, mask), targets, losses, to(gradient));
    };
    const auto all = [&](const std::vector<T>& of, auto&& is) {
        return std::all_of(of.begin() + static_cast<std::ptrdiff_t>(n), of.end(), is);
    };
    SECTION("zeros")
    {
        run();
        CHECK(all(p, [](T v) { return v == 0; }));
        CHECK(all(y, [&](T v) { return v == -infinity; }));
        CHECK(all(gradient, [](T v) { return v == 0; }));
        CHECK(losses[1] == 0);
        CHECK(losses[2] == 0);
    }
    SECTION("uniform")
    {
        mask.fully_masked = fully_masked::uniform;
        run();
        CHECK(
            all(p, [&](T v) { return std::abs(v * static_cast<T>(n) - 1) <= 4 * std::numeric_limits<T>::epsilon(); }));
        CHECK(all(y, [&](T v) { return v == static_cast<T>(-std::log(static_cast<double>(n))); }));
        CHECK(all(gradient, [](T v) { return v == 0; }));
        CHECK(losses[1] == Approx(std::log(21.0)));
    }
    SECTION("nan")
    {
        mask.fully_masked = fully_masked::nan;
        run();
        CHECK(all(p, [](T v) { return std::isnan(v); }));
        CHECK(all(y, [](T v) { return std::isnan(v); }));
        CHECK(all(gradient, [](T v) { return std::isnan(v); }));
        CHECK(std::isnan(losses[1]));
    }
    SECTION("error")
    {
        mask.fully_masked = fully_masked::error;
        const std::vector<T> mark(x.size(), T(9));
        p = y = gradient = mark;
        losses.assign(3, T(9));
        CHECK_THROWS_AS(xsoftmax::softmax(xsoftmax::masked(in, mask), to(p)), std::invalid_argument);
        CHECK_THROWS_AS(xsoftmax::log_softmax(xsoftmax::masked(in, mask), to(y)), std::invalid_argument);
        CHECK_THROWS_AS(xsoftmax::cross_entropy_losses(xsoftmax::masked(in, mask), targets, losses, to(gradient)),
                        std::invalid_argument);
        CHECK(p == mark);
        CHECK(y == mark);
        CHECK(gradient == mark);
        CHECK(losses == std::vector<T>(3, T(9)));
        try {
            xsoftmax::softmax(xsoftmax::masked(in, mask), to(p));
        }
        catch (const std::invalid_argument& error) {
            CHECK(std::string(error.what()) == "xsoftmax::softmax: mask keeps nothing of row 1");
        }
        return;
    }
    // The row of which something is kept is as ever.
    const std::vector<T> row(x.begin(), x.begin() + 5), expected = xsoftmax::softmax(row);
    for (std::size_t i = 0; i < n; ++i) CHECK(p[i] == (i < 5 ? expected[i] : T(0)));
    CHECK(losses[0] == Approx(xsoftmax::softmax_cross_entropy(row, 2)));
    for (std::size_t i = 5; i < n; ++i) CHECK(gradient[i] == 0);
}

TEMPLATE_TEST_CASE("a row of which nothing is kept: one-hot probabilities are its class, with any options", "[masks]",
                   float, double)
{
    using T = TestType;
    const std::vector<T> x(5, T(1)), one_hot{0, 0, 0, 1, 0}, weights{T(1), T(2), T(0.5), T(3), T(0.25)};
    const xsoftmax::matrix_view<const T> in(x.data(), 1, 5), probabilities(one_hot.data(), 1, 5);
    const std::vector<int> targets{3};
    const std::vector<unsigned char> none(5, 0);
    for (const auto kept : {fully_masked::zeros, fully_masked::uniform, fully_masked::nan})
        for (const double smoothing : {0.0, 0.25, 1.0})
            for (const bool weighted : {false, true}) {
                const xsoftmax::mask<T> mask{.keep = none, .fully_masked = kept};
                xsoftmax::cross_entropy_options<T> options{.label_smoothing = smoothing, .z_loss = 0.5};
                if (weighted) options.class_weights = weights;
                std::vector<T> by_class(1), by_probabilities(1), gradient(5, T(7));
                xsoftmax::cross_entropy_losses(xsoftmax::masked(in, mask), targets, by_class,
                                               xsoftmax::matrix_view<T>(gradient.data(), 1, 5), options);
                xsoftmax::cross_entropy_losses(xsoftmax::masked(in, mask), probabilities, by_probabilities, options);
                CAPTURE(smoothing, weighted);
                if (kept == fully_masked::nan) {
                    CHECK(std::isnan(by_class[0]));
                    CHECK(std::isnan(by_probabilities[0]));
                    continue;
                }
                CHECK(by_class == by_probabilities);
                CHECK(gradient == std::vector<T>(5, T(0)));
                const double weight = weighted ? (1 - smoothing) * 3 + smoothing / 5 * 6.75 : 1;
                CHECK(by_class[0] == Approx(kept == fully_masked::uniform ? weight * std::log(5.0) : 0));
            }
}

TEST_CASE("an ignored row may keep nothing", "[masks]")
{
    const std::vector<float> x(8, 1.0f);
    const std::vector<unsigned char> keep{0, 0, 0, 0, 1, 1, 0, 1};
    const xsoftmax::matrix_view<const float> in(x.data(), 2, 4);
    const xsoftmax::mask<float> mask{.keep = xsoftmax::matrix_view<const unsigned char>(keep.data(), 2, 4),
                                     .fully_masked = fully_masked::error};
    CHECK(xsoftmax::softmax_cross_entropy(xsoftmax::masked(in, mask), std::vector<int>{-100, 0}) ==
          Approx(std::log(3.0)));
    CHECK_THROWS_AS(xsoftmax::softmax_cross_entropy(xsoftmax::masked(in, mask), std::vector<int>{0, 0}),
                    std::invalid_argument);
}

namespace {

/// Losses of a masked batch, of classes or of target probabilities, against those of each row's kept classes alone.
template <class T>
void check_losses(const std::array<std::size_t, 4>& extents, const strided::layout<4>& of_logits,
                  const strided::layout<4>& of_others, std::size_t axis, bool probabilities,
                  xsoftmax::cross_entropy_options<T> options, std::uint64_t salt)
{
    strided::tensor<T, 4> x_in(extents, of_logits), probabilities_in(extents, of_others);
    strided::tensor<T, 4> gradient_out(extents, of_others), reduced_gradient_out = gradient_out;
    strided::tensor<unsigned char, 4> keep_in(extents, of_others);
    const std::size_t size = x_in.size(), n = extents[axis], rows = size / n;
    const std::vector<T> x = logits::normal<T>(size, 2, salt);
    std::vector<T> target_probabilities = logits::uniform<T>(size, 0, 1, salt + 1);
    const std::vector<T> weights = logits::uniform<T>(n, T(0.5), 2, salt + 2);
    const bool weighted = options.class_weights.size() != 0;
    if (weighted) options.class_weights = weights;
    options.axis = static_cast<std::ptrdiff_t>(axis) - 4;
    std::vector<unsigned char> keep(size);
    std::vector<std::int64_t> targets(rows);
    auto random = logits::generator(salt + 3);
    for (std::size_t r = 0; r < rows; ++r) {
        targets[r] = static_cast<std::int64_t>(random() % n);
        for (std::size_t k = 0; k < n; ++k) {
            const std::size_t at = r * n + k;
            keep[at] = k == static_cast<std::size_t>(targets[r]) || random() % 3 != 0;
            if (keep[at] == 0) target_probabilities[at] = 0;  // or the loss is infinite
        }
        if (r % 4 == 1) targets[r] = options.ignore_index;
    }
    x_in.assign(axis, x);
    probabilities_in.assign(axis, target_probabilities);
    keep_in.assign(axis, keep);

    std::vector<T> losses(rows);
    T reduced = 0;
    const auto run = [&](const auto& to) {
        const xsoftmax::mask<T> mask{.keep = keep_in.input()};
        xsoftmax::cross_entropy_losses(xsoftmax::masked(x_in.input(), mask), to, losses, gradient_out.output(),
                                       options);
        reduced = xsoftmax::softmax_cross_entropy(xsoftmax::masked(x_in.input(), mask), to,
                                                  reduced_gradient_out.output(), options);
    };
    if (probabilities)
        run(probabilities_in.input());
    else
        run(targets);
    const std::vector<T> gradient = gradient_out.rows(axis), reduced_gradient = reduced_gradient_out.rows(axis);

    double sum = 0, weight = 0;
    std::vector<T> expected(size, T(0));
    for (std::size_t r = 0; r < rows; ++r) {
        std::vector<T> row, row_weights, row_probabilities;
        std::vector<std::size_t> places;
        std::vector<std::int64_t> target{options.ignore_index};
        for (std::size_t k = 0; k < n; ++k) {
            const std::size_t at = r * n + k;
            if (keep[at] == 0) continue;
            if (targets[r] == static_cast<std::int64_t>(k)) target[0] = static_cast<std::int64_t>(row.size());
            row.push_back(x[at]);
            row_probabilities.push_back(target_probabilities[at]);
            row_weights.push_back(weights[k]);
            places.push_back(at);
        }
        auto of_row = options;
        of_row.axis = -1;
        if (weighted) of_row.class_weights = row_weights;
        std::vector<T> loss(1), alone(row.size());
        const xsoftmax::matrix_view<const T> row_view(row.data(), 1, row.size());
        const xsoftmax::matrix_view<T> alone_view(alone.data(), 1, row.size());
        if (probabilities)
            xsoftmax::cross_entropy_losses(row_view,
                                           xsoftmax::matrix_view<const T>(row_probabilities.data(), 1, row.size()),
                                           loss, alone_view, of_row);
        else
            xsoftmax::cross_entropy_losses(row_view, target, loss, alone_view, of_row);
        CHECK(losses[r] == Approx(loss[0]).epsilon(8 * std::numeric_limits<T>::epsilon()));
        sum += static_cast<double>(loss[0]);
        // As PyTorch's mean: rows count by their target's weight, or one each where targets are probabilities.
        if (probabilities)
            weight += 1;
        else if (targets[r] != options.ignore_index)
            weight += weighted ? static_cast<double>(weights[static_cast<std::size_t>(targets[r])]) : 1;
        for (std::size_t j = 0; j < row.size(); ++j) expected[places[j]] = alone[j];
    }
    const double divisor = options.reduction == xsoftmax::reduction::mean ? weight : 1;
    const double margin = 32 * std::numeric_limits<T>::epsilon();
    CHECK(reduced == Approx(sum / divisor).epsilon(32 * std::numeric_limits<T>::epsilon()));
    bool same = true, zeros = true;
    for (std::size_t i = 0; i < size; ++i) {
        const double one = static_cast<double>(expected[i]);
        same = same && std::abs(static_cast<double>(gradient[i]) - one) <= margin &&
               std::abs(static_cast<double>(reduced_gradient[i]) - one / divisor) <= margin;
        zeros = zeros && (keep[i] != 0 || (gradient[i] == 0 && reduced_gradient[i] == 0));
    }
    CHECK(same);
    CHECK(zeros);
    CHECK(gradient_out.only_gaps_are_marked());
    CHECK(reduced_gradient_out.only_gaps_are_marked());
}

}  // namespace

TEMPLATE_TEST_CASE("masked losses, every option in combination, along any axis of any strides", "[masks]", float,
                   double)
{
    using T = TestType;
    std::uint64_t salt = 100, count = 0;
    const std::array<T, 1> present{};
    using layouts = std::pair<strided::layout<4>, strided::layout<4>>;
    const std::array of_logits_and_others{
        layouts{{{0, 1, 2, 3}}, {{0, 1, 2, 3}}}, layouts{{{2, 0, 3, 1}}, {{1, 3, 0, 2}}},
        layouts{{{0, 1, 2, 3}, 2, 5}, {{3, 2, 1, 0}, 3, 10}}, layouts{{{3, 2, 1, 0}, 1, 15}, {{0, 1, 2, 3}, 4}}};
    for (const auto& extents : {std::array<std::size_t, 4>{2, 3, 4, 5}, {1, 2, 3, 23}})
        for (std::size_t axis = 0; axis < 4; ++axis)
            for (const auto& [of_logits, of_others] : of_logits_and_others)
                for (unsigned bits = 0; bits < 64; ++bits) {
                    if (logits::is_left_out(count++)) continue;
                    const auto chosen = [&](unsigned k) {
                        return (bits >> k & 1) != 0;
                    };
                    INFO("seed " << logits::seed() << ", salt " << salt << ", axis " << axis << " of extent "
                                 << extents[axis] << ", widest axis of logits " << of_logits.order[0] << ", gap "
                                 << of_logits.gap << ", options " << bits);
                    xsoftmax::cross_entropy_options<T> options{
                        .temperature = chosen(0) ? 0.5 : 1,
                        .reduction = chosen(1) ? xsoftmax::reduction::sum : xsoftmax::reduction::mean,
                        .label_smoothing = chosen(2) ? 0.2 : 0,
                        .z_loss = chosen(3) ? 1e-2 : 0};
                    if (chosen(4)) options.class_weights = present;  // which: check_losses knows how many
                    check_losses<T>(extents, of_logits, of_others, axis, chosen(5), options, salt += 4);
                }
}

TEST_CASE("masks at unusual temperatures and along other axes", "[masks]")
{
    for (const double temperature : {0.0, 1e-40, 1e40}) {
        batch<float> b({1, 1, 4, 9}, 11);
        b.restrict_to([](std::size_t, std::size_t, std::size_t q, std::size_t k) { return k <= q; });
        std::vector<float> p(36);
        xsoftmax::softmax(xsoftmax::masked(b.input(), {.causal = 0}), b.view(p), {.temperature = temperature});
        for (std::size_t q = 0; q < 4; ++q) {
            const std::vector<float> row(&b.logits[q * 9], &b.logits[q * 9] + q + 1);
            const auto expected = xsoftmax::softmax(row, {.temperature = temperature});
            for (std::size_t k = 0; k < 9; ++k) CHECK(p[q * 9 + k] == (k <= q ? expected[k] : 0.0f));
        }
    }
    const std::vector<float> x = logits::normal<float>(8 * 5, 1, 12);
    std::vector<float> p(40), transposed(40), expected(40);
    std::vector<unsigned char> keep(40);
    for (std::size_t i = 0; i < 40; ++i) keep[i] = i % 3 != 0;
    xsoftmax::softmax(xsoftmax::masked(xsoftmax::matrix_view<const float>(x.data(), 8, 5),
                                       {.keep = xsoftmax::matrix_view<const unsigned char>(keep.data(), 8, 5)}),
                      xsoftmax::matrix_view<float>(p.data(), 8, 5), {.axis = 0});
    const xsoftmax::tensor_view<const float, 2> turned(x.data(), {5, 8}, {1, 5});
    const xsoftmax::tensor_view<const unsigned char, 2> turned_keep(keep.data(), {5, 8}, {1, 5});
    xsoftmax::softmax(xsoftmax::masked(turned, {.keep = turned_keep}),
                      xsoftmax::tensor_view<float, 2>(expected.data(), {5, 8}, {1, 5}));
    CHECK(p == expected);
}

TEST_CASE("a NaN that is kept makes its row NaN", "[masks]")
{
    batch<float> b({1, 1, 3, 6}, 13);
    b.logits[8] = std::nanf("");
    std::vector<float> p(18);
    const std::vector<unsigned char> six{1, 1, 1, 1, 0, 1};
    xsoftmax::softmax(xsoftmax::masked(b.input(), {.keep = six}), b.view(p));
    for (std::size_t k = 0; k < 6; ++k) CHECK(std::isnan(p[6 + k]));
    for (std::size_t k = 0; k < 6; ++k) CHECK(!std::isnan(p[k]));
    // However the mask is given.
    const std::vector<int> lengths{5, 5, 3};
    const auto look = [&] {
        for (std::size_t k = 0; k < 6; ++k) CHECK(std::isnan(p[6 + k]));
        for (std::size_t k = 3; k < 6; ++k) CHECK(!std::isnan(p[12 + k]));
    };
    for (const float spoiler : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        b.logits[8] = spoiler;
        xsoftmax::softmax(xsoftmax::masked(b.input(), {.lengths = lengths}), b.view(p));
        look();
        xsoftmax::log_softmax(xsoftmax::masked(b.input(), {.lengths = lengths}), b.view(p));
        look();
        xsoftmax::log_softmax(xsoftmax::masked(b.input(), {.causal = 2}), b.view(p));
        for (std::size_t k = 0; k < 6; ++k) CHECK(std::isnan(p[6 + k]));
        CHECK(p[5] == -std::numeric_limits<float>::infinity());
    }
}

TEMPLATE_TEST_CASE("a target that is left out takes no share of label smoothing", "[masks]", float, double)
{
    using T = TestType;
    const std::vector<T> x{1, 1, 1, 1}, one_hot{0, 0, 1, 0};
    const std::vector<unsigned char> keep{1, 1, 0, 1};
    const int targets[] = {2};
    const xsoftmax::matrix_view<const T> in(x.data(), 1, 4), probabilities(one_hot.data(), 1, 4);
    const xsoftmax::mask<T> mask{.keep = keep};
    for (const double smoothing : {0.3, 1.0}) {
        std::vector<T> loss(1), other_loss(1), gradient(4), other(4);
        const xsoftmax::cross_entropy_options<T> options{.label_smoothing = smoothing};
        xsoftmax::cross_entropy_losses(xsoftmax::masked(in, mask), targets, loss,
                                       xsoftmax::matrix_view<T>(gradient.data(), 1, 4), options);
        xsoftmax::cross_entropy_losses(xsoftmax::masked(in, mask), probabilities, other_loss,
                                       xsoftmax::matrix_view<T>(other.data(), 1, 4), options);
        CHECK(loss == other_loss);
        CHECK(gradient == other);
        const double own = 1 - smoothing;
        CHECK(gradient[0] == Approx(own / 3).margin(1e-6));
        CHECK(gradient[2] == Approx(-own).margin(1e-6));
        if (smoothing == 1)
            CHECK(loss[0] == Approx(std::log(3)).epsilon(1e-6));
        else
            CHECK(loss[0] == std::numeric_limits<T>::infinity());
    }
}

TEST_CASE("a row of which nothing is kept: its targets' sum keeps its digits", "[masks]")
{
    const std::size_t n = 1000;
    const std::vector<double> x(n, 0.0), targets(n, 0.1);
    const std::vector<unsigned char> keep(n, 0);
    std::vector<double> loss(1);
    xsoftmax::cross_entropy_losses(xsoftmax::masked(xsoftmax::matrix_view<const double>(x.data(), 1, n),
                                                    {.keep = keep, .fully_masked = fully_masked::uniform}),
                                   xsoftmax::matrix_view<const double>(targets.data(), 1, n), loss);
    CHECK(oracle::ulp_error(1000 * static_cast<long double>(0.1) * std::log(static_cast<long double>(n)), loss[0]) <=
          bound);
    // Without classes there is nothing to lose.
    const xsoftmax::matrix_view<const double> none(x.data(), 1, 0);
    xsoftmax::cross_entropy_losses(xsoftmax::masked(none, {.fully_masked = fully_masked::uniform}), none, loss);
    CHECK(loss[0] == 0);
}

TEST_CASE("what masks refuse", "[masks]")
{
    std::vector<float> x(24, 1.0f), out(24, 9.0f);
    const xsoftmax::tensor_view<const float, 3> in(x.data(), {2, 3, 4});
    const xsoftmax::tensor_view<float, 3> to(out.data(), {2, 3, 4});
    std::vector<unsigned char> bytes(64, 1);
    const auto refused = [&](const std::string& part, const xsoftmax::mask<float>& mask,
                             xsoftmax::softmax_options options = {}) {
        CHECK(refuses<std::logic_error>([&] { xsoftmax::softmax(xsoftmax::masked(in, mask), to, options); },
                                        {"xsoftmax::softmax: ", part}));
        CHECK(out == std::vector<float>(24, 9.0f));
    };
    const std::vector<std::int64_t> five{1, 2, 3, 4, 0}, too_long{1, 5}, negative{-1, 2};
    const std::vector<std::uint64_t> enormous{std::uint64_t(-1), 2};
    const std::vector<unsigned char> five_bytes(5, 1);
    const std::vector<float> three_floats(3, 0.0f);
    const std::vector<int> none;
    refused("keep has extent 5", {.keep = five_bytes});
    refused("keep has extent 2", {.keep = xsoftmax::matrix_view<const unsigned char>(bytes.data(), 2, 4)});
    refused("keep has 4 axes", {.keep = xsoftmax::tensor_view<const unsigned char, 4>(bytes.data(), {2, 2, 3, 4})});
    refused("bias has extent 3", {.bias = three_floats});
    refused("lengths has 5 elements", {.lengths = std::span<const std::int64_t>(five)});
    refused("lengths has 0 elements", {.lengths = none});
    refused("lengths[1] is 5", {.lengths = std::span<const std::int64_t>(too_long)});
    refused("lengths[0] is -1", {.lengths = std::span<const std::int64_t>(negative)});
    refused("lengths[0] is 18446744073709551615", {.lengths = std::span<const std::uint64_t>(enormous)});
    const std::array<std::ptrdiff_t, 2> far{std::numeric_limits<std::ptrdiff_t>::max() / 2 + 1, 1};
    refused("keep has stride 4611686018427387904 on axis 1",
            {.keep = xsoftmax::tensor_view<const unsigned char, 2>(bytes.data(), {3, 4}, far)});
    refused("bias has stride 4611686018427387904 on axis 1",
            {.bias = xsoftmax::tensor_view<const float, 2>(x.data(), {3, 4}, far)});
    refused("temperature is -2", {}, {.temperature = -2});
    refused("axis is 3", {}, {.axis = 3});
}

TEMPLATE_TEST_CASE("masks refuse outputs over what they are made of", "[masks]", float, double)
{
    using T = TestType;
    using view = xsoftmax::matrix_view<T>;
    std::vector<T> x(12, T(1)), memory(24, T(0)), gradient(12);
    const auto before = memory;
    const xsoftmax::matrix_view<const T> in(x.data(), 3, 4);
    const std::vector<int> classes{0, 1, 2};
    T* const at = memory.data();
    const auto refused = [&](const std::string& part, auto&& call) {
        CHECK(refuses<std::invalid_argument>(call, {part, "bytes after"}));
        CHECK(memory == before);
    };
    const auto each = [&](const std::string& part, const xsoftmax::mask<T>& mask) {
        const view out(at, 3, 4);
        const std::span<T> losses(at + 1, 3);
        refused("probabilities overlaps " + part, [&] { xsoftmax::softmax(xsoftmax::masked(in, mask), out); });
        refused("log_probabilities overlaps " + part, [&] { xsoftmax::log_softmax(xsoftmax::masked(in, mask), out); });
        refused("losses overlaps " + part,
                [&] { xsoftmax::cross_entropy_losses(xsoftmax::masked(in, mask), classes, losses); });
        refused("losses overlaps " + part,
                [&] { xsoftmax::cross_entropy_losses(xsoftmax::masked(in, mask), in, losses); });
        refused("gradient overlaps " + part,
                [&] { xsoftmax::softmax_cross_entropy(xsoftmax::masked(in, mask), classes, out); });
        refused("gradient overlaps " + part,
                [&] { xsoftmax::softmax_cross_entropy(xsoftmax::masked(in, mask), in, out); });
    };
    const auto* const bytes = reinterpret_cast<const unsigned char*>(at);
    each("bias", {.bias = xsoftmax::matrix_view<const T>(at, 3, 4)});
    each("bias", {.bias = std::span<const T>(at + 1, 4)});
    each("bias", {.bias = xsoftmax::matrix_view<const T>(at + 1, 3, 1)});
    each("keep", {.keep = std::span<const unsigned char>(bytes + sizeof(T), 4)});
    each("lengths", {.lengths = std::span<const std::int32_t>(reinterpret_cast<const std::int32_t*>(at + 1), 3)});

    // Beside each other, and between each other's rows.
    xsoftmax::softmax(xsoftmax::masked(in, {.bias = xsoftmax::matrix_view<const T>(at, 3, 4)}), view(at + 12, 3, 4));
    std::fill(memory.begin(), memory.end(), T(0));
    xsoftmax::softmax(xsoftmax::masked(in, {.bias = xsoftmax::matrix_view<const T>(at, 3, 4, 8)}),
                      view(at + 4, 3, 4, 8));
    CHECK(memory[4] == T(0.25));
}
