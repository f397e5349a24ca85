/// No byte outside the spans is read or written: rows against pages that cannot be touched, and rows at every
/// misalignment between bytes that must stay.

#include "catch.hpp"
#include "logits.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#define XSOFTMAX_TEST_HAS_PAGES
#endif

namespace {

std::vector<std::size_t> lengths()
{
    std::vector<std::size_t> all = logits::lengths_to(300);
    all.insert(all.end(), {511, 512, 513, 1000, 1023, 1025, 2047});
    return all;
}

/// Rows are computed in their own type at 1, in double at 1e-20, and only counted at 0.
constexpr double temperatures[] = {0, 1e-20, 1};

/// Near 0, and where logits are first brought near it.
constexpr double offsets[] = {0, 1e4};

template <class T>
bool same_bytes(std::span<const T> a, std::span<const T> b)
{
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// Where the rows of one call lie; the output and the logits are written to in turn.
template <class T>
struct places {
    std::span<T> logits, targets, output;
};

/// Calls every function on rows that lie in `at`; are the results, bit by bit, those on rows in vectors?
template <class T>
bool all_functions_agree(const places<T>& at, double offset, double temperature)
{
    const std::size_t n = at.logits.size();
    std::vector<T> logits(n), targets(n), expected(n);
    for (std::size_t i = 0; i < n; ++i) {
        logits[i] = static_cast<T>(offset + static_cast<double>((i * 37 + 11) % 71) / 10);
        targets[i] = static_cast<T>((i * 5 + 1) % 7) / 4;
    }
    std::ranges::copy(targets, at.targets.begin());
    bool agree = true;
    const auto same = [&](T a, T b) {
        agree = agree && std::memcmp(&a, &b, sizeof a) == 0;
    };

    /// For function(logits, targets).
    const auto check_value = [&](auto&& function) {
        std::ranges::copy(logits, at.logits.begin());
        same(function(std::span<const T>(at.logits), std::span<const T>(at.targets)),
             function(std::span<const T>(logits), std::span<const T>(targets)));
    };
    /// For function(logits, targets, output).
    const auto check_row = [&](auto&& function) {
        const T value = function(std::span<const T>(logits), std::span<const T>(targets), std::span<T>(expected));
        std::ranges::copy(logits, at.logits.begin());
        for (const std::span<T> output : {at.output, at.logits}) {
            same(function(std::span<const T>(at.logits), std::span<const T>(at.targets), output), value);
            agree = agree && same_bytes(std::span<const T>(output), std::span<const T>(expected));
        }
    };
    check_row([=](auto x, auto, auto out) {
        xsoftmax::softmax(x, out, {temperature});
        return T(0);
    });
    check_row([=](auto x, auto, auto out) {
        xsoftmax::log_softmax(x, out, {temperature});
        return T(0);
    });
    check_value([=](auto x, auto) { return xsoftmax::log_sum_exp(x, {temperature}); });
    if (temperature == 0) return agree;
    check_value([=](auto x, auto) { return xsoftmax::softmax_cross_entropy(x, n - 1, {temperature}); });
    check_row([=](auto x, auto, auto out) { return xsoftmax::softmax_cross_entropy(x, n - 1, out, {temperature}); });
    check_value([=](auto x, auto t) { return xsoftmax::softmax_cross_entropy(x, t, {temperature}); });
    check_row([=](auto x, auto t, auto out) { return xsoftmax::softmax_cross_entropy(x, t, out, {temperature}); });
    return agree;
}

#if defined(XSOFTMAX_TEST_HAS_PAGES)

/// Memory for a row between two pages that cannot be touched.
class fenced_memory {
public:
    explicit fenced_memory(std::size_t bytes)
        : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), bytes_((bytes + page_ - 1) / page_ * page_)
    {
        void* mapped = mmap(nullptr, bytes_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) throw std::bad_alloc();
        mapped_ = static_cast<std::byte*>(mapped);
        if (mprotect(mapped_ + page_, bytes_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    }

    ~fenced_memory() { munmap(mapped_, bytes_ + 2 * page_); }

    fenced_memory(const fenced_memory&) = delete;
    fenced_memory& operator=(const fenced_memory&) = delete;

    template <class T>
    std::span<T> behind_the_first_fence(std::size_t n) const
    {
        return {reinterpret_cast<T*>(mapped_ + page_), n};
    }

    template <class T>
    std::span<T> before_the_last_fence(std::size_t n) const
    {
        return {reinterpret_cast<T*>(mapped_ + page_ + bytes_) - n, n};
    }

private:
    std::size_t page_;
    std::size_t bytes_;
    std::byte* mapped_ = nullptr;
};

#endif

}  // namespace

#if defined(XSOFTMAX_TEST_HAS_PAGES)

TEMPLATE_TEST_CASE("nothing beyond a row's ends is read or written", "[memory_bounds]", float, double)
{
    using T = TestType;
    const auto all_lengths = lengths();
    const std::size_t bytes = all_lengths.back() * sizeof(T);
    const fenced_memory logits(bytes), targets(bytes), output(bytes);
    for (const std::size_t n : all_lengths)
        for (const double offset : offsets)
            for (const double temperature : temperatures) {
                CAPTURE(n, offset, temperature);
                const places<T> at_the_end{logits.before_the_last_fence<T>(n), targets.before_the_last_fence<T>(n),
                                           output.before_the_last_fence<T>(n)};
                CHECK(all_functions_agree(at_the_end, offset, temperature));
                const places<T> at_the_beginning{logits.behind_the_first_fence<T>(n),
                                                 targets.behind_the_first_fence<T>(n),
                                                 output.behind_the_first_fence<T>(n)};
                CHECK(all_functions_agree(at_the_beginning, offset, temperature));
            }
}

/// Groups of short rows, rows side by side and through scratch, backward passes and masks: bit for bit what they are in
/// vectors, with every operand against a fence.
TEMPLATE_TEST_CASE("nothing beyond a batch's ends is read or written", "[memory_bounds]", float, double)
{
    using T = TestType;
    using view = xsoftmax::matrix_view<T>;
    using input = xsoftmax::matrix_view<const T>;
    constexpr std::size_t most = 65 * 700;
    const fenced_memory memory[3]{fenced_memory(most * sizeof(T)), fenced_memory(most * sizeof(T)),
                                  fenced_memory(most * sizeof(T))};
    for (const std::size_t rows : {2u, 7u, 16u, 65u})
        for (const std::size_t n : {1u, 3u, 8u, 13u, 16u, 31u, 33u, 63u, 64u, 75u, 129u, 700u})
            for (const std::ptrdiff_t axis : {1, 0})
                for (const bool at_the_end : {true, false}) {
                    CAPTURE(rows, n, axis, at_the_end);
                    const std::size_t count = rows * n, per_axis = axis == 1 ? rows : n;
                    std::span<T> at[3];
                    for (std::size_t k = 0; k < 3; ++k)
                        at[k] = at_the_end ? memory[k].template before_the_last_fence<T>(count)
                                           : memory[k].template behind_the_first_fence<T>(count);
                    std::vector<T> plain[3]{std::vector<T>(count), std::vector<T>(count), std::vector<T>(count)};
                    for (std::size_t i = 0; i < count; ++i) {
                        plain[0][i] = at[0][i] = static_cast<T>((i * 37 + 11) % 71) / 10;
                        plain[1][i] = at[1][i] = static_cast<T>((i * 5 + 1) % 7) / 4;
                    }
                    const std::vector<int> classes(per_axis, 0);
                    const xsoftmax::softmax_options options{.axis = axis};
                    /// For function(logits, another input, output).
                    const auto check = [&](auto&& function) {
                        function(input(plain[0].data(), rows, n), input(plain[1].data(), rows, n),
                                 view(plain[2].data(), rows, n));
                        function(input(at[0].data(), rows, n), input(at[1].data(), rows, n),
                                 view(at[2].data(), rows, n));
                        CHECK(same_bytes(std::span<const T>(at[2]), std::span<const T>(plain[2])));
                    };
                    check([&](auto x, auto, auto out) { xsoftmax::softmax(x, out, options); });
                    check([&](auto x, auto, auto out) { xsoftmax::log_softmax(x, out, options); });
                    check([&](auto x, auto, auto out) {
                        xsoftmax::softmax_cross_entropy(x, classes, out, {.axis = axis});
                    });
                    check(
                        [&](auto x, auto t, auto out) { xsoftmax::softmax_cross_entropy(x, t, out, {.axis = axis}); });
                    check([&](auto x, auto g, auto out) { xsoftmax::softmax_backward(x, g, out, options); });
                    check([&](auto x, auto g, auto out) { xsoftmax::log_softmax_backward(x, g, out, options); });
                    check([&](auto x, auto bias, auto out) {
                        xsoftmax::softmax(xsoftmax::masked(x, {.bias = bias}), out, options);
                    });
                    check([&](auto x, auto, auto out) {
                        xsoftmax::log_softmax(xsoftmax::masked(x, {.causal = 1}), out, options);
                    });
                }
}

/// Longer than most caches, where a sweep may store in another way.
TEMPLATE_TEST_CASE("nothing beyond the ends of a very long row is read or written", "[memory_bounds][large]", float,
                   double)
{
    using T = TestType;
    constexpr std::size_t size = std::size_t{25} << 20, bytes = size + 4096;
    const fenced_memory logits(bytes), targets(bytes), output(bytes);
    for (const std::size_t more : {7u, 0u, 1u, 16u}) {
        if (more != 7 && !logits::thorough()) continue;
        const std::size_t n = size / sizeof(T) + more;
        CAPTURE(n);
        const places<T> at_the_end{logits.before_the_last_fence<T>(n), targets.before_the_last_fence<T>(n),
                                   output.before_the_last_fence<T>(n)};
        CHECK(all_functions_agree(at_the_end, 0, 1));
    }
}

#endif

TEMPLATE_TEST_CASE("alignment changes no bit, and the bytes around a row stay", "[memory_bounds]", float, double)
{
    using T = TestType;
    struct alignas(64) line {
        unsigned char bytes[64];
    };
    constexpr unsigned char canary = 0xA5;
    constexpr std::size_t margin = 128;

    std::vector<std::size_t> some_lengths = logits::lengths_to(70);
    some_lengths.insert(some_lengths.end(), {127, 128, 129, 200, 255, 300});
    for (const std::size_t n : some_lengths)
        for (std::size_t shift = 0; shift < 64; shift += sizeof(T))
            for (const double offset : offsets)
                for (const double temperature : temperatures) {
                    CAPTURE(n, shift, offset, temperature);
                    const std::size_t size = n * sizeof(T);
                    std::vector<line> memory[3];
                    std::span<T> rows[3];
                    for (std::size_t k = 0; k < 3; ++k) {
                        memory[k].resize((2 * margin + shift + size + 63) / 64 + 1);
                        std::memset(memory[k].data(), canary, memory[k].size() * sizeof(line));
                        // Logits, targets and output are misaligned each in its own way.
                        auto* begin = reinterpret_cast<unsigned char*>(memory[k].data());
                        rows[k] = {reinterpret_cast<T*>(begin + margin + (shift + 4 * k * sizeof(T)) % 64), n};
                    }
                    CHECK(all_functions_agree(places<T>{rows[0], rows[1], rows[2]}, offset, temperature));
                    for (std::size_t k = 0; k < 3; ++k) {
                        const auto* begin = reinterpret_cast<const unsigned char*>(memory[k].data());
                        const auto* end = begin + memory[k].size() * sizeof(line);
                        const auto* row = reinterpret_cast<const unsigned char*>(rows[k].data());
                        const auto is_canary = [](unsigned char byte) {
                            return byte == canary;
                        };
                        CHECK(std::all_of(begin, row, is_canary));
                        CHECK(std::all_of(row + size, end, is_canary));
                    }
                }
}
