// Several threads: results are bit for bit those of one, and an exception in a task reaches the caller.
#include "catch.hpp"
#include "logits.hpp"

#include <xsoftmax/parallel.hpp>
#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(XSOFTMAX_TEST_NO_MEMORY)
namespace {

/// Whether this thread gets memory.
thread_local bool memory_is_out = false;

}  // namespace

// Inlined, g++ would warn that free gets what is of new.
XSOFTMAX_NEVER_INLINE void* operator new(std::size_t size)
{
    void* const p = memory_is_out ? nullptr : std::malloc(size == 0 ? 1 : size);
    if (p == nullptr) throw std::bad_alloc();
    return p;
}
XSOFTMAX_NEVER_INLINE void operator delete(void* p) noexcept { std::free(p); }
XSOFTMAX_NEVER_INLINE void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace {

/// An executor of a few lines, on four threads that take whichever task is next.
struct four_threads {
    void operator()(std::size_t count, const std::function<void(std::size_t)>& task) const
    {
        std::atomic<std::size_t> next{0};
        std::exception_ptr thrown;
        std::mutex guard;
        const auto work = [&] {
            for (std::size_t k = next++; k < count; k = next++) try {
                    task(k);
                }
                catch (...) {
                    const std::lock_guard lock(guard);
                    thrown = std::current_exception();
                }
        };
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) threads.emplace_back(work);
        for (std::thread& t : threads) t.join();
        if (thrown) std::rethrow_exception(thrown);
    }
};

#if defined(XSOFTMAX_TEST_NO_MEMORY)
/// Another executor, whose tasks get no memory from the third on.
template <class Executor>
struct short_of_memory {
    Executor executor;

    void operator()(std::size_t count, const std::function<void(std::size_t)>& task) const
    {
        executor(count, [&](std::size_t k) {
            const struct no_memory {
                ~no_memory() { memory_is_out = false; }
            } until_the_end;
            memory_is_out = k >= 2;
            task(k);
        });
    }
};
#endif

/// Runs the tasks in reverse, and counts them.
struct counting {
    std::size_t* tasks;

    void operator()(std::size_t count, const std::function<void(std::size_t)>& task) const
    {
        *tasks += count;
        for (std::size_t k = count; k-- > 0;) task(k);
    }
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b)
{
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// What every function of batches makes of the same operands, one after the other.
template <class T, class Executor>
std::vector<T> all_results(Executor&& executor, std::size_t outer, std::size_t n, std::size_t inner)
{
    const std::size_t count = outer * n * inner, rows = outer * inner;
    std::vector<T> x(count), upstream(count), all;
    unsigned state = 1;
    for (std::size_t i = 0; i < count; ++i) {
        state = state * 1664525 + 1013904223;
        x[i] = static_cast<T>(static_cast<double>(state >> 8) * 0x1p-20 - 8);
        upstream[i] = static_cast<T>(static_cast<double>(state % 1000) * 1e-3);
    }
    // Rows that are not computed side by side with their neighbours; of long ones, which take 50 times as long then, the first.
    for (std::size_t i = 0; i < count; i += std::max<std::size_t>(40001, 3 * n)) x[i] = static_cast<T>(3e5);
    const auto view = [&](auto& of) {
        return xsoftmax::tensor_view(of.data(), std::array{outer, n, inner});
    };
    const auto keep = [&](const std::vector<T>& result) {
        all.insert(all.end(), result.begin(), result.end());
    };
    std::vector<std::int64_t> classes(rows);
    for (std::size_t r = 0; r < rows; ++r) classes[r] = r % 11 == 3 ? -100 : static_cast<std::int64_t>(r * 7 % n);
    const std::vector<std::int32_t> lengths(1, static_cast<std::int32_t>(n / 2));
    std::vector<T> p(count), q(count), g(count), of_rows(rows);
    const xsoftmax::cross_entropy_options<T> plain{.axis = 1};
    const xsoftmax::cross_entropy_options<T> smooth{.label_smoothing = 0.1, .z_loss = 1e-3, .axis = 1};
    const xsoftmax::mask<T> mask{.lengths = std::span<const std::int32_t>(lengths), .causal = 2};

    xsoftmax::softmax(executor, view(x), view(p), {.axis = 1});
    keep(p);
    xsoftmax::log_softmax(executor, view(x), view(q), {.temperature = 0.7, .axis = 1});
    keep(q);
    xsoftmax::log_sum_exp(executor, view(x), of_rows, {.axis = 1});
    keep(of_rows);
    for (const auto& options : {plain, smooth}) {
        xsoftmax::cross_entropy_losses(executor, view(x), classes, of_rows, view(g), options);
        keep(of_rows);
        keep(g);
        keep({xsoftmax::softmax_cross_entropy(executor, view(x), classes, view(g), options),
              xsoftmax::softmax_cross_entropy(executor, view(x), classes, options),
              xsoftmax::softmax_cross_entropy(executor, view(x), view(upstream), options),
              xsoftmax::softmax_cross_entropy(executor, view(x), view(upstream), view(q), options),
              xsoftmax::softmax_cross_entropy(executor, xsoftmax::masked(view(x), mask), classes, options),
              xsoftmax::softmax_cross_entropy(executor, xsoftmax::masked(view(x), mask), view(upstream), options)});
        keep(g);
        keep(q);
        xsoftmax::cross_entropy_losses(executor, view(x), view(upstream), of_rows, options);
        keep(of_rows);
        xsoftmax::cross_entropy_losses(executor, xsoftmax::masked(view(x), mask), classes, of_rows, view(g), options);
        keep(of_rows);
        keep(g);
        xsoftmax::cross_entropy_losses(executor, xsoftmax::masked(view(x), mask), view(upstream), of_rows, view(g),
                                       options);
        keep(of_rows);
        keep(g);
    }
    xsoftmax::softmax(executor, xsoftmax::masked(view(x), mask), view(g), {.axis = 1});
    keep(g);
    xsoftmax::log_softmax(executor, xsoftmax::masked(view(x), mask), view(g), {.temperature = 0.7, .axis = 1});
    keep(g);
    xsoftmax::softmax_backward(executor, view(p), view(upstream), view(g), {.axis = 1});
    keep(g);
    xsoftmax::log_softmax_backward(executor, view(q), view(upstream), view(g), {.axis = 1});
    keep(g);
    return all;
}

/// Every executor gives the bits of one thread.
template <class T>
void check_bits(std::size_t outer, std::size_t n, std::size_t inner)
{
    CAPTURE(outer, n, inner);
    const auto one = all_results<T>(xsoftmax::serial_executor{}, outer, n, inner);
    CHECK(same_bits(one, all_results<T>(four_threads{}, outer, n, inner)));
    std::size_t tasks = 0;
    CHECK(same_bits(one, all_results<T>(counting{&tasks}, outer, n, inner)));
    CHECK(tasks > 0);
#if defined(_OPENMP)
    CHECK(same_bits(one, all_results<T>(xsoftmax::openmp{}, outer, n, inner)));
#endif
#if defined(XSOFTMAX_TEST_ONETBB)
    CHECK(same_bits(one, all_results<T>(xsoftmax::onetbb{}, outer, n, inner)));
#endif
}

}  // namespace

TEMPLATE_TEST_CASE("several threads give the bits of one", "[threads]", float, double)
{
    check_bits<TestType>(1700, 161, 1);
}

TEMPLATE_TEST_CASE("several threads give the bits of one along an inner axis", "[threads][large]", float, double)
{
    check_bits<TestType>(40, 7, 500);  // two tasks, no more
}

TEMPLATE_TEST_CASE("several threads give the bits of one, whatever the shape", "[threads][.slow]", float, double)
{
    const std::size_t shapes[][3] = {{17000, 10, 1}, {40, 7, 1500}, {1, 41, 6000}, {3, 100000, 1}, {5, 300, 200}};
    for (const auto& [outer, n, inner] : shapes) check_bits<TestType>(outer, n, inner);
}

TEST_CASE("a small batch stays on the caller's thread", "[threads]")
{
    std::size_t tasks = 0;
    all_results<float>(counting{&tasks}, 100, 100, 1);
    CHECK(tasks == 0);
}

TEST_CASE("an exception in a task reaches the caller", "[threads]")
{
    const auto fail_in = [](auto executor) {
        executor(100, [](std::size_t k) {
            if (k == 57) throw std::runtime_error("57");
        });
    };
    CHECK_THROWS_AS(fail_in(xsoftmax::serial_executor{}), std::runtime_error);
#if defined(_OPENMP)
    CHECK_THROWS_AS(fail_in(xsoftmax::openmp{}), std::runtime_error);
#endif
#if defined(XSOFTMAX_TEST_ONETBB)
    CHECK_THROWS_AS(fail_in(xsoftmax::onetbb{}), std::runtime_error);
#endif
    const auto refuses = [](std::size_t, const auto&) {
        throw std::runtime_error("no threads");
    };
    std::vector<float> logits(1000 * 1000, 1.0f);
    const xsoftmax::matrix_view<float> view(logits.data(), 1000, 1000);
    CHECK_THROWS_AS(xsoftmax::softmax(refuses, view, view), std::runtime_error);
}

TEST_CASE("what fails inside a function reaches the caller of any executor", "[threads]")
{
    constexpr std::size_t rows = 4000, n = 100;
    const std::vector<float> logits(rows * n, 1.0f), targets(rows * n, 0.01f);
    std::vector<float> out(rows * n, 7.0f);
    const xsoftmax::matrix_view<const float> in(logits.data(), rows, n), t(targets.data(), rows, n);
    const xsoftmax::matrix_view<float> to(out.data(), rows, n);
    const auto fails = [&](auto executor) {
        // A check, which comes before the first task.
        const xsoftmax::mask<float> keeps_nothing{.causal = -1, .fully_masked = xsoftmax::fully_masked::error};
        CHECK_THROWS_AS(xsoftmax::softmax(executor, xsoftmax::masked(in, keeps_nothing), to), std::invalid_argument);
        CHECK(out == std::vector<float>(rows * n, 7.0f));
        const std::vector<int> classes(rows, 3);
        const xsoftmax::mask<float> mask{.causal = 5};
#if defined(XSOFTMAX_TEST_NO_MEMORY)
        // Tasks that want memory for a row.
        const short_of_memory<decltype(executor)> poor{executor};
        CHECK_THROWS_AS(xsoftmax::softmax_cross_entropy(poor, xsoftmax::masked(in, mask), classes), std::bad_alloc);
        CHECK_THROWS_AS(xsoftmax::softmax_cross_entropy(poor, in, t, {.label_smoothing = 0.1}), std::bad_alloc);
#endif
        // And no harm was done.
        CHECK(xsoftmax::softmax_cross_entropy(executor, xsoftmax::masked(in, mask), classes) > 0);
    };
    fails(xsoftmax::serial_executor{});
    fails(four_threads{});
#if defined(_OPENMP)
    fails(xsoftmax::openmp{});
#endif
#if defined(XSOFTMAX_TEST_ONETBB)
    fails(xsoftmax::onetbb{});
#endif
}

// A CTest test of its own, since it is the first call only in a process that has made none.
TEST_CASE("any function may be the first call, from any thread", "[threads][first]")
{
    constexpr std::size_t rows = 2, n = 5, count = rows * n;
    const std::vector<float> logits{1, 2, 3, 4, 5, 5, 4, 3, 2, 1};
    const std::vector<int> classes{1, 2};
    const xsoftmax::matrix_view<const float> in(logits.data(), rows, n);
    const std::function<void(std::vector<float>&)> functions[] = {
        [&](auto& to) { xsoftmax::softmax(logits, to); },
        [&](auto& to) { xsoftmax::softmax(in, xsoftmax::matrix_view<float>(to.data(), rows, n)); },
        [&](auto& to) { xsoftmax::log_softmax(logits, to); },
        [&](auto& to) { to[0] = xsoftmax::log_sum_exp(logits); },
        [&](auto& to) { to[0] = static_cast<float>(xsoftmax::softmax_cross_entropy(logits, 3)); },
        [&](auto& to) { to[0] = static_cast<float>(xsoftmax::softmax_cross_entropy(in, classes)); },
        [&](auto& to) { xsoftmax::softmax_backward(logits, logits, to); },
        [&](auto& to) { to[0] = static_cast<float>(xsoftmax::architecture().size()); },
    };
    constexpr std::size_t threads_each = 2, all = std::size(functions) * threads_each;
    std::vector<std::vector<float>> results(all, std::vector<float>(count));
    std::vector<std::thread> threads;
    for (std::size_t k = 0; k < all; ++k) threads.emplace_back([&, k] { functions[k / threads_each](results[k]); });
    for (std::thread& t : threads) t.join();
    for (std::size_t k = 0; k < all; ++k) {
        std::vector<float> again(count);
        functions[k / threads_each](again);
        CHECK(same_bits(results[k], again));
    }
}
