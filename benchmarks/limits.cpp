/// How close to the machine: each shape against what bounds it (the bare exponential map, memcpy, a plain loop over
/// xsimd::exp, softmax itself), with the ratio that the library aims at.
///
///     xsoftmax_limits [part of a line's name]     a table, in a minute
///
/// * marks ratios above the aim; lines without an aim only say what is.
///
/// The calls of a line take turns, and the least time of each counts: machines are shared, and what slows one call down
/// is not the call's.

#include "peers/plain_loops.hpp"
#include "suite/data.hpp"

#include <xsoftmax/xsoftmax.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

// g++ 12 takes the undefined operand of its own AVX-512 intrinsics for a mistake of their users (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
// And it warns of the 2^58th turn of a loop over vectors.
#pragma GCC diagnostic ignored "-Waggressive-loop-optimizations"
#endif

namespace {

using call = std::function<void()>;

/// Keeps a value, and all memory, from being optimised away.
template <class T>
void keep(const T& value)
{
    asm volatile("" : : "r"(&value) : "memory");
}

double seconds_of(const call& measured, int times)
{
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < times; ++i) measured();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// The least time of each of two calls that take turns, in ns.
std::array<double, 2> least_times(const std::array<call, 2>& calls)
{
    std::array<int, 2> times{};
    for (std::size_t k = 0; k < 2; ++k) {
        calls[k]();
        const double once = std::max(seconds_of(calls[k], 1), 1e-8);
        times[k] = std::clamp(static_cast<int>(100e-6 / once), 1, 20000);
    }
    std::array<double, 2> least{1e30, 1e30};
    const double begin = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    for (int round = 0;
         round < 15 ||
         (round < 2000 &&
          std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count() < begin + 0.4);
         ++round)
        for (std::size_t k = 0; k < 2; ++k)
            least[k] = std::min(least[k], seconds_of(calls[k], times[k]) * 1e9 / times[k]);
    return least;
}

/// For a line that only says what is.
constexpr double no_aim = 0;

class limits {
public:
    explicit limits(std::string_view filter) : filter_(filter)
    {
        std::printf("%-38s %-22s %10s %10s %7s %7s\n", "", "against", "ns", "its ns", "ratio", "aim");
    }

    /// `count`: what a time is given for, of elements or rows.
    void line(const std::string& name, const char* limit, std::size_t count, double aim, const call& ours,
              const call& its) const
    {
        if (name.find(filter_) == std::string::npos) return;
        const auto least = least_times({ours, its});
        const double each = static_cast<double>(count);
        const double ratio = least[0] / least[1];
        std::printf("%-38s %-22s %10.4f %10.4f %7.3f ", name.c_str(), limit, least[0] / each, least[1] / each, ratio);
        if (aim == no_aim)
            std::printf("%7s\n", "-");
        else
            std::printf("%7.2f%s\n", aim, ratio > aim ? "  *" : "");
        std::fflush(stdout);
    }

private:
    std::string filter_;
};

template <class T>
struct operands {
    benchmarks::aligned_vector<T> in, out;
    explicit operands(std::size_t n) : in(benchmarks::normal_logits<T>(n)), out(n) {}

    // As rows of n.
    xsoftmax::matrix_view<const T> in_rows(std::size_t n) const { return {in.data(), in.size() / n, n}; }
    xsoftmax::matrix_view<T> out_rows(std::size_t n) { return {out.data(), out.size() / n, n}; }
};

/// Loads, takes the exponential, stores: nothing else.
template <class T>
[[gnu::noinline]] void exponential_map(const T* in, T* out, std::size_t n)
{
    using namespace xsoftmax::kernels;
    using B = xsimd::batch<T, default_arch>;
    scale_for<B> room;
    const auto& scale = scale_for<B>::make(1, room);
    const auto relative_to = reference<B>::to_one(scale);
    std::size_t i = 0;
    for (; n - i >= block_of<B>; i += block_of<B>) {
        B e[block_size];
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < block_size; ++k)
            e[k] = exponential(load_whole<B>(in + i + k * B::size), relative_to, scale);
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < block_size; ++k) store_whole(out + i + k * B::size, e[k]);
    }
    for (; i < n; i += B::size) {
        const std::size_t count = n - i < B::size ? n - i : B::size;
        store_part(out + i, count, exponential(load_part(in + i, count, B(T(0))), relative_to, scale));
    }
}

template <class T>
[[gnu::noinline]] void xsimd_exponential_map(const T* in, T* out, std::size_t n)
{
    using B = xsimd::batch<T>;
    for (std::size_t i = 0; i + B::size <= n; i += B::size)
        xsimd::exp(B::load_unaligned(in + i)).store_unaligned(out + i);
}

template <class T>
void run(const limits& table, const char* type)
{
    constexpr bool is_float = sizeof(T) == 4;
    constexpr bool is_avx512 = xsoftmax::kernels::is_avx512<xsoftmax::kernels::default_arch>;
    constexpr bool has_fma = xsoftmax::kernels::has_fused_multiply_add<xsoftmax::kernels::default_arch>;
    const std::string t = std::string(" ") + type;
    {
        operands<T> d(4096);
        table.line(
            "exponential map 4096" + t, "xsimd::exp map", 4096, 0.65,
            [&] {
                exponential_map(d.in.data(), d.out.data(), d.in.size());
                keep(d.out);
            },
            [&] {
                xsimd_exponential_map(d.in.data(), d.out.data(), d.in.size());
                keep(d.out);
            });
        const double aim = is_avx512 ? (is_float ? 0.5 : 0.65) : has_fma ? 0.52 : 0.6;
        table.line(
            "softmax 4096" + t, "plain xsimd::exp loop", 4096, aim,
            [&] {
                xsoftmax::softmax(d.in, d.out);
                keep(d.out);
            },
            [&] {
                benchmarks::plain_loops<benchmarks::xsimd_exp, T>::softmax(d.in, d.out);
                keep(d.out);
            });
    }
    for (const auto& [n, aim] :
         {std::pair<std::size_t, double>{1000, 2.3}, {4096, 1.8}, {32000, 1.8}, {1 << 20, 2.1}}) {
        operands<T> d(n);
        table.line(
            "softmax " + std::to_string(n) + t, "exponential map", n, aim,
            [&] {
                xsoftmax::softmax(d.in, d.out);
                keep(d.out);
            },
            [&] {
                exponential_map(d.in.data(), d.out.data(), d.in.size());
                keep(d.out);
            });
    }
    for (const auto& [rows, n] : {std::pair<std::size_t, std::size_t>{64, 1024}, {16, 4096}}) {
        operands<T> d(rows * n);
        const auto in = d.in_rows(n);
        const auto out = d.out_rows(n);
        table.line(
            "softmax " + std::to_string(rows) + "x" + std::to_string(n) + t, "exponential map", rows * n, 1.5,
            [&] {
                xsoftmax::softmax(in, out);
                keep(d.out);
            },
            [&] {
                exponential_map(d.in.data(), d.out.data(), d.in.size());
                keep(d.out);
            });
    }
    for (const auto& [rows, n, ns] : {std::tuple<std::size_t, std::size_t, double>{4096, 10, 2.6},
                                      {4096, 16, 3.0},
                                      {1024, 32, 5},
                                      {512, 64, 9},
                                      {256, 128, 17}}) {
        operands<T> d(rows * n), map(4096);
        const auto in = d.in_rows(n);
        const auto out = d.out_rows(n);
        // In proportion to 0.063 ns an element of the map.
        table.line(
            "softmax " + std::to_string(rows) + "x" + std::to_string(n) + t + ", a row", "row of map / 4096", rows,
            ns / (0.063 * 4096) * static_cast<double>(rows),
            [&] {
                xsoftmax::softmax(in, out);
                keep(d.out);
            },
            [&] {
                exponential_map(map.in.data(), map.out.data(), 4096);
                keep(map.out);
            });
    }
    for (const auto& [n, ns] : {std::pair<std::size_t, double>{8, 10}, {16, 10}, {64, 17}, {128, 25}}) {
        operands<T> d(n), map(4096);
        table.line(
            "one call " + std::to_string(n) + t, "map of 4096", 1, ns / (0.063 * 4096),
            [&] {
                xsoftmax::softmax(d.in, d.out);
                keep(d.out);
            },
            [&] {
                exponential_map(map.in.data(), map.out.data(), 4096);
                keep(map.out);
            });
    }
    {
        // What the checks of arguments cost: at most about 1 ns, of 10.
        operands<T> d(8);
        table.line(
            "one call 8" + t + ", checked", "its kernel alone", 1, 1.1,
            [&] {
                xsoftmax::softmax(d.in, d.out);
                keep(d.out);
            },
            [&] {
                keep(xsoftmax::kernels::softmax_short_row<xsoftmax::kernels::default_arch>(d.in.data(), d.in.size(),
                                                                                           d.out.data(), 1.0));
                keep(d.out);
            });
    }
    {
        operands<T> d(4096);
        const auto softmax = [&] {
            xsoftmax::softmax(d.in, d.out);
            keep(d.out);
        };
        table.line(
            "log_softmax 4096" + t, "softmax", 4096, 1.25,
            [&] {
                xsoftmax::log_softmax(d.in, d.out);
                keep(d.out);
            },
            softmax);
        table.line(
            "log_sum_exp 4096" + t, "softmax", 4096, 0.9, [&] { keep(xsoftmax::log_sum_exp(d.in)); }, softmax);
        table.line(
            "cross-entropy + gradient 4096" + t, "softmax", 4096, 1.25,
            [&] { keep(xsoftmax::softmax_cross_entropy(d.in, 7, d.out)); }, softmax);
        table.line(
            "cross-entropy 4096" + t, "softmax", 4096, 0.9, [&] { keep(xsoftmax::softmax_cross_entropy(d.in, 7)); },
            softmax);
    }
    for (const auto& [rows, n, aim] :
         {std::tuple<std::size_t, std::size_t, double>{16384, 1024, 0.85}, {512, 32000, 1.1}, {1, 1 << 24, 1.35}}) {
        operands<T> d(rows * n);
        const auto in = d.in_rows(n);
        const auto out = d.out_rows(n);
        table.line(
            "softmax " + std::to_string(rows) + "x" + std::to_string(n) + t, "memcpy", rows * n, aim,
            [&] {
                xsoftmax::softmax(in, out);
                keep(d.out);
            },
            [&] {
                std::memcpy(d.out.data(), d.in.data(), d.in.size() * sizeof(T));
                keep(d.out);
            });
    }
}

/// What bounds a backward pass of softmax: Σ p·g in four sums, then p·(g − Σ). n is a multiple of four vectors.
template <class T>
[[gnu::noinline]] void streaming_backward(const T* p, const T* g, T* out, std::size_t n)
{
    using B = xsimd::batch<T>;
    B sums[4] = {B(T(0)), B(T(0)), B(T(0)), B(T(0))};
    for (std::size_t i = 0; i < n; i += 4 * B::size)
        for (std::size_t k = 0; k < 4; ++k)
            sums[k] =
                xsimd::fma(B::load_unaligned(p + i + k * B::size), B::load_unaligned(g + i + k * B::size), sums[k]);
    alignas(B) T lanes[B::size];
    B((sums[0] + sums[1]) + (sums[2] + sums[3])).store_aligned(lanes);
    T sum = 0;
    for (const T lane : lanes) sum += lane;
    for (std::size_t i = 0; i < n; i += B::size)
        (B::load_unaligned(p + i) * (B::load_unaligned(g + i) - B(sum))).store_unaligned(out + i);
}

/// What many rows gain from being given at once, and what axes, gradients and backward passes cost.
template <class T>
void run_batches(const limits& table, const char* type)
{
    const std::string t = std::string(" ") + type;
    for (const auto& shape : {std::pair<std::size_t, std::size_t>{4096, 10}, {4096, 16}, {1024, 32}}) {
        // Not bound by structure, which clang 14 does not capture.
        const std::size_t rows = shape.first, n = shape.second;
        operands<T> d(rows * n);
        const auto in = d.in_rows(n);
        const auto out = d.out_rows(n);
        table.line(
            "batch " + std::to_string(rows) + "x" + std::to_string(n) + t, "row by row", rows * n, 0.4,
            [&] {
                xsoftmax::softmax(in, out);
                keep(d.out);
            },
            [&] {
                for (std::size_t r = 0; r < rows; ++r) {
                    xsoftmax::softmax(std::span<const T>(d.in).subspan(r * n, n),
                                      std::span<T>(d.out).subspan(r * n, n));
                    keep(d.out);
                }
            });
    }
    {
        operands<T> d(64 * 512 * 64);
        const xsoftmax::tensor_view<const T, 3> in(d.in.data(), {64, 512, 64});
        const xsoftmax::tensor_view<T, 3> out(d.out.data(), {64, 512, 64});
        const auto in_rows = d.in_rows(512);
        const auto out_rows = d.out_rows(512);
        table.line(
            "batch 64x512x64, axis 1" + t, "the last axis", d.in.size(), 1.3,
            [&] {
                xsoftmax::softmax(in, out, {.axis = 1});
                keep(d.out);
            },
            [&] {
                xsoftmax::softmax(in_rows, out_rows);
                keep(d.out);
            });
    }
    operands<T> d(256 * 1024);
    const auto in = d.in_rows(1024);
    const auto out = d.out_rows(1024);
    const std::vector<int> targets(256, 7);
    table.line(
        "batch 256x1024, cross-entropy + gradient" + t, "softmax", d.in.size(), 1.3,
        [&] { keep(xsoftmax::softmax_cross_entropy(in, targets, out)); },
        [&] {
            xsoftmax::softmax(in, out);
            keep(d.out);
        });
    operands<T> gradient(256 * 1024);
    xsoftmax::softmax(in, out);
    const xsoftmax::matrix_view<const T> probabilities(d.out.data(), 256, 1024);
    table.line(
        "batch 256x1024, backward" + t, "streaming loops", d.in.size(), 1.3,
        [&] {
            xsoftmax::softmax_backward(probabilities, in, gradient.out_rows(1024));
            keep(gradient.out);
        },
        [&] {
            for (std::size_t r = 0; r < 256; ++r)
                streaming_backward(d.out.data() + r * 1024, d.in.data() + r * 1024, gradient.out.data() + r * 1024,
                                   1024);
            keep(gradient.out);
        });
}

/// As many threads as the machine has, begun anew for each call.
struct std_threads {
    std::size_t count = std::max(1u, std::thread::hardware_concurrency());  // which is 0 where it is not known

    template <class Task>
    void operator()(std::size_t tasks, const Task& task) const
    {
        std::atomic<std::size_t> next{0};
        const auto work = [&] {
            for (std::size_t k = next++; k < tasks; k = next++) task(k);
        };
        std::vector<std::jthread> others(count - 1);
        for (std::jthread& thread : others) thread = std::jthread(work);
        work();
    }
};

/// What threads gain, and what they gain where a plain copy is cut alike.
void run_threads(const limits& table)
{
    constexpr std::size_t rows = 32768, n = 1000, tasks = 512, share = rows * n / tasks;
    operands<float> d(rows * n);
    auto& out = d.out;
    const xsoftmax::matrix_view<const float> logits(d.in.data(), rows, n);
    const xsoftmax::matrix_view<float> probabilities(out.data(), rows, n);
    const auto copy = [&](std::size_t k) {
        std::memcpy(out.data() + k * share, d.in.data() + k * share, share * sizeof(float));
    };
    const std_threads threads;
    const std::string name = ", " + std::to_string(threads.count) + " threads";
    table.line(
        "copy 32768x1000 float" + name, "one thread", rows * n, no_aim,
        [&] {
            threads(tasks, copy);
            keep(out);
        },
        [&] {
            for (std::size_t k = 0; k < tasks; ++k) copy(k);
            keep(out);
        });
    table.line(
        "softmax 32768x1000 float" + name, "one thread", rows * n, no_aim,
        [&] {
            xsoftmax::softmax(threads, logits, probabilities);
            keep(out);
        },
        [&] {
            xsoftmax::softmax(logits, probabilities);
            keep(out);
        });
}

}  // namespace

int main(int argc, char** argv)
{
    std::printf("%s, %zu floats a vector\n", xsimd::default_arch::name(), xsimd::batch<float>::size);
    const limits table(argc > 1 ? argv[1] : "");
    run<float>(table, "float");
    run_batches<float>(table, "float");
    if (argc < 3) {
        run<double>(table, "double");
        run_batches<double>(table, "double");
    }
    run_threads(table);
}
