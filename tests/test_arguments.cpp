/// What is accepted, what is refused, and how: at compile time by constraints, at run time by exceptions that name the
/// function, the argument and its value, with nothing written.

#include "catch.hpp"
#include "refusals.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <list>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// clang before 16 cannot compile libstdc++'s subrange.
#if !defined(__clang__) || __clang_major__ >= 16 || defined(_LIBCPP_VERSION)
#define XSOFTMAX_TEST_HAS_SUBRANGE
#endif

// ---- At compile time ------------------------------------------------------------------------------------------------

namespace {

template <class Logits, class Output>
concept rows_accepted = requires(Logits&& logits, Output&& output)
{
    xsoftmax::softmax(std::forward<Logits>(logits), std::forward<Output>(output));
    xsoftmax::log_softmax(std::forward<Logits>(logits), std::forward<Output>(output));
    xsoftmax::softmax_cross_entropy(std::forward<Logits>(logits), 0, std::forward<Output>(output));
};

/// By any function: one that takes what the others refuse would fail here.
template <class Logits, class Output>
concept rows_accepted_anywhere = requires(Logits&& logits, Output&& output)
{
    xsoftmax::softmax(std::forward<Logits>(logits), std::forward<Output>(output));
}
|| requires(Logits&& logits, Output&& output)
{
    xsoftmax::log_softmax(std::forward<Logits>(logits), std::forward<Output>(output));
}
|| requires(Logits&& logits, Output&& output)
{
    xsoftmax::softmax_cross_entropy(std::forward<Logits>(logits), 0, std::forward<Output>(output));
};

template <class Logits>
concept logits_accepted = requires(Logits&& logits)
{
    xsoftmax::softmax(std::forward<Logits>(logits));
    xsoftmax::log_softmax(std::forward<Logits>(logits));
    xsoftmax::log_sum_exp(std::forward<Logits>(logits));
    xsoftmax::softmax_cross_entropy(std::forward<Logits>(logits), 0);
};

template <class Logits>
concept logits_accepted_anywhere = requires(Logits&& logits)
{
    xsoftmax::softmax(std::forward<Logits>(logits));
}
|| requires(Logits&& logits) { xsoftmax::log_softmax(std::forward<Logits>(logits)); }
|| requires(Logits&& logits) { xsoftmax::log_sum_exp(std::forward<Logits>(logits)); };

template <class Logits, class Target>
concept target_accepted = requires(Logits&& logits, Target&& target)
{
    xsoftmax::softmax_cross_entropy(std::forward<Logits>(logits), std::forward<Target>(target));
};

template <class Logits, class Target, class Gradient>
concept gradient_accepted = requires(Logits&& logits, Target&& target, Gradient&& gradient)
{
    xsoftmax::softmax_cross_entropy(std::forward<Logits>(logits), std::forward<Target>(target),
                                    std::forward<Gradient>(gradient));
};

using floats = std::vector<float>;
using doubles = std::vector<double>;
enum class_name { cat, dog };

// Contiguous ranges of float or double.
static_assert(logits_accepted<floats&> && logits_accepted<const floats&> && logits_accepted<floats>);
static_assert(logits_accepted<doubles&>);
static_assert(logits_accepted<std::array<float, 3>&> && logits_accepted<const std::array<double, 3>&>);
static_assert(logits_accepted<float (&)[3]> && logits_accepted<const double (&)[3]>);
static_assert(logits_accepted<std::span<float>> && logits_accepted<std::span<const float>>);
static_assert(logits_accepted<std::span<float, 3>&> && logits_accepted<std::span<const double, 3>>);

// Outputs of the same type, which can be written to and outlive the call.
static_assert(rows_accepted<floats&, floats&> && rows_accepted<const floats&, std::span<float>>);
static_assert(rows_accepted<floats, std::array<float, 3>&> && rows_accepted<std::span<const double>, double (&)[3]>);
static_assert(rows_accepted<doubles&, std::span<double, 3>> && rows_accepted<doubles&, const std::span<double>&>);
#if defined(XSOFTMAX_TEST_HAS_SUBRANGE)
static_assert(logits_accepted<std::ranges::subrange<float*>> && logits_accepted<std::ranges::subrange<const double*>>);
static_assert(logits_accepted<std::ranges::subrange<floats::iterator>>);
static_assert(rows_accepted<floats&, std::ranges::subrange<float*>>);
#endif

// Classes are integers that count; target probabilities are of the logits' type.
static_assert(target_accepted<floats&, std::int8_t> && target_accepted<floats&, std::uint8_t>);
static_assert(target_accepted<floats&, short> && target_accepted<floats&, int> && target_accepted<floats&, unsigned>);
static_assert(target_accepted<floats&, std::int64_t> && target_accepted<floats&, std::uint64_t>);
static_assert(target_accepted<floats&, std::size_t> && target_accepted<floats&, const long&>);
static_assert(target_accepted<floats&, const floats&> && target_accepted<floats&, floats>);
static_assert(target_accepted<doubles, std::span<const double>> && target_accepted<floats&, const float (&)[3]>);
static_assert(gradient_accepted<floats&, const floats&, floats&> &&
              gradient_accepted<floats&, floats, std::span<float>>);

// ---- At run time ----------------------------------------------------------------------------------------------------

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b)
{
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEMPLATE_TEST_CASE("a temperature that is negative, infinite or NaN is refused", "[arguments]", float, double)
{
    using T = TestType;
    const std::vector<T> row{T(1), T(2), T(3)}, before{T(7), T(8), T(9)};
    const std::pair<double, const char*> refused[] = {
        {-1, "-1"}, {-5e-324, "-4.94"}, {infinity, "inf"}, {-infinity, "-inf"}, {not_a_number, "nan"}};
    for (const auto& [bad, text] : refused) {
        const double temperature = bad;
        INFO("temperature " << temperature);
        auto out = before;
        const auto is_refused = [&, t = text](const char* function, auto&& call) {
            return refuses<std::invalid_argument>(call, {function, "temperature", t});
        };
        CHECK(is_refused("xsoftmax::softmax:", [&] { xsoftmax::softmax(row, out, {temperature}); }));
        CHECK(is_refused("xsoftmax::softmax:", [&] { (void)xsoftmax::softmax(row, {temperature}); }));
        CHECK(is_refused("xsoftmax::log_softmax:", [&] { xsoftmax::log_softmax(row, out, {temperature}); }));
        CHECK(is_refused("xsoftmax::log_softmax:", [&] { (void)xsoftmax::log_softmax(row, {temperature}); }));
        CHECK(is_refused("xsoftmax::log_sum_exp:", [&] { (void)xsoftmax::log_sum_exp(row, {temperature}); }));
        const char* loss = "xsoftmax::softmax_cross_entropy:";
        CHECK(is_refused(loss, [&] { xsoftmax::softmax_cross_entropy(row, 0, {temperature}); }));
        CHECK(is_refused(loss, [&] { xsoftmax::softmax_cross_entropy(row, 0, out, {temperature}); }));
        CHECK(is_refused(loss, [&] { xsoftmax::softmax_cross_entropy(row, row, {temperature}); }));
        CHECK(is_refused(loss, [&] { xsoftmax::softmax_cross_entropy(row, row, out, {temperature}); }));
        CHECK(same_bytes(out, before));

        // Empty rows are no excuse.
        std::vector<T> none;
        CHECK(is_refused("xsoftmax::softmax:", [&] { xsoftmax::softmax(none, none, {temperature}); }));
        CHECK(is_refused("xsoftmax::log_softmax:", [&] { xsoftmax::log_softmax(none, none, {temperature}); }));
        CHECK(is_refused("xsoftmax::log_sum_exp:", [&] { (void)xsoftmax::log_sum_exp(none, {temperature}); }));
        CHECK(is_refused(loss, [&] { xsoftmax::softmax_cross_entropy(none, none, {temperature}); }));
    }
}

TEMPLATE_TEST_CASE("temperature 0 is refused by cross-entropy alone", "[arguments]", float, double)
{
    using T = TestType;
    const std::vector<T> row{T(1), T(2), T(3)}, before{T(7), T(8), T(9)};
    auto out = before;
    const auto is_refused = [](auto&& call) {
        return refuses<std::invalid_argument>(call,
                                              {"xsoftmax::softmax_cross_entropy:", "temperature is", "0,", "> 0"});
    };
    for (const double zero : {0.0, -0.0}) {
        CHECK(is_refused([&] { xsoftmax::softmax_cross_entropy(row, 0, {zero}); }));
        CHECK(is_refused([&] { xsoftmax::softmax_cross_entropy(row, 0, out, {zero}); }));
        CHECK(is_refused([&] { xsoftmax::softmax_cross_entropy(row, row, {zero}); }));
        CHECK(is_refused([&] { xsoftmax::softmax_cross_entropy(row, row, out, {zero}); }));
        CHECK(same_bytes(out, before));
        CHECK(xsoftmax::softmax(row, {zero}) == std::vector<T>{T(0), T(0), T(1)});
    }
}

TEMPLATE_TEST_CASE("an output or targets of another length are refused", "[arguments]", float, double)
{
    using T = TestType;
    const std::vector<T> row(5, T(1));
    for (const std::size_t size : {0u, 1u, 4u, 6u, 500u}) {
        CAPTURE(size);
        const std::vector<T> before(size, T(7));
        auto out = before;
        const auto is_refused = [&](const char* function, const char* argument, auto&& call) {
            return refuses<std::invalid_argument>(call, {function, argument, std::to_string(size), "5"});
        };
        CHECK(is_refused("xsoftmax::softmax:", "probabilities", [&] { xsoftmax::softmax(row, out); }));
        CHECK(is_refused("xsoftmax::log_softmax:", "log_probabilities", [&] { xsoftmax::log_softmax(row, out); }));
        const char* loss = "xsoftmax::softmax_cross_entropy:";
        CHECK(is_refused(loss, "gradient", [&] { xsoftmax::softmax_cross_entropy(row, 0, out); }));
        CHECK(is_refused(loss, "targets", [&] { xsoftmax::softmax_cross_entropy(row, before); }));
        CHECK(is_refused(loss, "gradient", [&] { xsoftmax::softmax_cross_entropy(row, row, out); }));
        std::vector<T> gradient(5, T(7));
        CHECK(is_refused(loss, "targets", [&] { xsoftmax::softmax_cross_entropy(row, before, gradient); }));
        CHECK(same_bytes(gradient, std::vector<T>(5, T(7))));
        CHECK(same_bytes(out, before));
    }
    std::vector<T> one(1, T(7));
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax(std::vector<T>{}, one); }, {"1", "0"}));
    CHECK(one[0] == 7);
}

TEMPLATE_TEST_CASE("ranges that overlap without being equal are refused", "[arguments]", float, double)
{
    using T = TestType;
    constexpr std::size_t n = 10;
    std::vector<T> memory(3 * n);
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<T>(i);
    const auto before = memory;
    const std::span<T> row(memory.data() + n, n);
    const std::vector<T> apart(n, T(0.1));
    const char* loss = "xsoftmax::softmax_cross_entropy:";

    for (const int shift : {-9, -5, -1, 1, 5, 9}) {
        CAPTURE(shift);
        const std::span<T> moved(memory.data() + static_cast<int>(n) + shift, n);
        const std::string bytes = std::to_string(shift * static_cast<int>(sizeof(T))) + " bytes";
        const auto is_refused = [&](const char* function, const char* output, const char* input, auto&& call) {
            return refuses<std::invalid_argument>(call, {function, output, "overlaps", input, bytes});
        };
        CHECK(is_refused("xsoftmax::softmax:", "probabilities", "logits", [&] { xsoftmax::softmax(row, moved); }));
        CHECK(is_refused("xsoftmax::log_softmax:", "log_probabilities", "logits",
                         [&] { xsoftmax::log_softmax(row, moved); }));
        CHECK(is_refused(loss, "gradient", "logits", [&] { xsoftmax::softmax_cross_entropy(row, 0, moved); }));
        CHECK(is_refused(loss, "gradient", "logits", [&] { xsoftmax::softmax_cross_entropy(row, apart, moved); }));
        CHECK(is_refused(loss, "gradient", "targets", [&] { xsoftmax::softmax_cross_entropy(apart, row, moved); }));
        CHECK(same_bytes(memory, before));
    }
    // The gradient may be the logits, but not the targets: those are read again after it is written.
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax_cross_entropy(apart, row, row); },
                                         {loss, "gradient", "overlaps", "targets"}));
    CHECK(refuses<std::invalid_argument>([&] { xsoftmax::softmax_cross_entropy(row, row, row); },
                                         {loss, "gradient", "overlaps", "targets"}));
    CHECK(same_bytes(memory, before));
}

TEMPLATE_TEST_CASE("equal and adjacent ranges are accepted", "[arguments]", float, double)
{
    using T = TestType;
    constexpr std::size_t n = 10;
    const std::vector<T> logits(n, T(3)), thirds(n, T(1) / 3);
    std::vector<T> memory(3 * n, T(3));
    const std::span<T> low(memory.data(), n), row(memory.data() + n, n), high(memory.data() + 2 * n, n);
    for (const auto& out : {low, high, row}) {
        std::fill(memory.begin(), memory.end(), T(3));
        CHECK_NOTHROW(xsoftmax::softmax(row, out));
        CHECK(out[0] == xsoftmax::softmax(logits)[0]);
        std::fill(memory.begin(), memory.end(), T(3));
        CHECK_NOTHROW(xsoftmax::log_softmax(row, out));
        CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(row, 0, out));
        CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(row, thirds, out));
    }
    CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(row, low, high));
    CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(row, high, row));
    CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(row, row));  // the targets may be the logits: neither is written
}

TEMPLATE_TEST_CASE("a class that is not one of the row's is refused", "[arguments]", float, double)
{
    using T = TestType;
    const std::vector<T> row{T(1), T(2), T(3)}, before{T(7), T(8), T(9)};
    auto out = before;
    const auto check = [&](auto target, const char* text) {
        CAPTURE(text);
        CHECK(refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(row, target); },
                                         {"xsoftmax::softmax_cross_entropy:", "target", text, "[0, 3)"}));
        CHECK(refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(row, target, out); },
                                         {"xsoftmax::softmax_cross_entropy:", "target", text, "[0, 3)"}));
        CHECK(same_bytes(out, before));
    };
    check(std::int8_t{-1}, "is -1,");
    check(std::int8_t{-128}, "is -128,");
    check(std::int8_t{3}, "is 3,");
    check(std::uint8_t{3}, "is 3,");
    check(std::uint8_t{255}, "is 255,");
    check(short{-1}, "is -1,");
    check(-1, "is -1,");
    check(3, "is 3,");
    check(std::numeric_limits<int>::min(), "is -2147483648,");
    check(std::numeric_limits<int>::max(), "is 2147483647,");
    check(3u, "is 3,");
    check(std::numeric_limits<unsigned>::max(), "is 4294967295,");
    check(std::int64_t{-1}, "is -1,");
    check(std::numeric_limits<std::int64_t>::min(), "is -9223372036854775808,");
    check(std::int64_t{1} << 32, "is 4294967296,");
    check(std::size_t{3}, "is 3,");
    check(std::numeric_limits<std::uint64_t>::max(), "is 18446744073709551615,");

    std::vector<T> none;
    CHECK(refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(none, 0); }, {"target is 0", "[0, 0)"}));
    CHECK(
        refuses<std::out_of_range>([&] { xsoftmax::softmax_cross_entropy(none, 0, none); }, {"target is 0", "[0, 0)"}));
}

TEMPLATE_TEST_CASE("every integer type names the same class", "[arguments]", std::int8_t, std::uint8_t, short, int,
                   unsigned, std::int64_t, std::size_t, std::uint64_t)
{
    const std::vector<float> row{1, 2, 3};
    CHECK(xsoftmax::softmax_cross_entropy(row, TestType{2}) == xsoftmax::softmax_cross_entropy(row, 2));
    CHECK(xsoftmax::softmax_cross_entropy(row, TestType{0}) == xsoftmax::softmax_cross_entropy(row, 0));
    const std::vector<float> longer(128, 1);
    CHECK(xsoftmax::softmax_cross_entropy(longer, TestType{127}) == xsoftmax::softmax_cross_entropy(longer, 0));
}

TEMPLATE_TEST_CASE("every contiguous range gives the same", "[arguments]", float, double)
{
    using T = TestType;
    const std::vector<T> vector{T(1), T(2), T(4)};
    const std::array<T, 3> array{T(1), T(2), T(4)};
    const T plain[3] = {T(1), T(2), T(4)};
    const auto expected = xsoftmax::softmax(vector);
    CHECK(xsoftmax::softmax(array) == expected);
    CHECK(xsoftmax::softmax(plain) == expected);
    CHECK(xsoftmax::softmax(std::span(vector)) == expected);
    CHECK(xsoftmax::softmax(std::span<const T, 3>(plain)) == expected);
    CHECK(xsoftmax::softmax(std::vector<T>(vector)) == expected);

    std::array<T, 3> out_array{};
    xsoftmax::softmax(vector, out_array);
    CHECK(std::ranges::equal(out_array, expected));
    T out_plain[3]{};
    xsoftmax::softmax(array, out_plain);
    CHECK(std::ranges::equal(out_plain, expected));
    std::vector<T> out(3);
    xsoftmax::softmax(plain, std::span(out));
    CHECK(out == expected);
#if defined(XSOFTMAX_TEST_HAS_SUBRANGE)
    out.assign(3, T(0));
    xsoftmax::softmax(std::ranges::subrange(plain, plain + 3), std::ranges::subrange(out.data(), out.data() + 3));
    CHECK(out == expected);
#endif
    CHECK(xsoftmax::softmax_cross_entropy(vector, array) == xsoftmax::softmax_cross_entropy(array, plain));
}

TEMPLATE_TEST_CASE("empty ranges are accepted wherever they lie", "[arguments]", float, double)
{
    using T = TestType;
    const std::vector<T> row(4, T(1));
    std::vector<T> memory(4, T(7));
    const std::span<const T> none;
    const std::span<T> inside(memory.data() + 2, 0);
    CHECK_NOTHROW(xsoftmax::softmax(none, std::span<T>()));
    CHECK_NOTHROW(xsoftmax::softmax(std::span<T>(), inside));
    CHECK_NOTHROW(xsoftmax::log_softmax(inside, inside));
    CHECK_NOTHROW(xsoftmax::softmax_cross_entropy(inside, inside, inside));
    CHECK(xsoftmax::softmax(none).empty());
    CHECK(xsoftmax::log_softmax(none).empty());
    CHECK(same_bytes(memory, std::vector<T>(4, T(7))));
}
