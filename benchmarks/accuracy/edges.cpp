#include "edges.hpp"

#include "../suite/json.hpp"

#include <oracle.hpp>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace benchmarks {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

using numbers = std::span<const float>;

/// Logits, and a word on what somebody made of them.
struct edge {
    std::string name;
    std::string expected;
    operation what;
    std::vector<float> logits;
    std::function<std::string(numbers logits, numbers result)> judge;
};

bool is_nan(float x) { return std::isnan(x); }

/// For rows whose results shall be NaN throughout.
std::string judge_nan(numbers, numbers result)
{
    const auto count = std::count_if(result.begin(), result.end(), is_nan);
    if (count == static_cast<std::ptrdiff_t>(result.size())) return "NaN";
    if (count > 0) return "NaN in part";
    if (std::all_of(result.begin(), result.end(), [](float x) { return x == 0; })) return "0 throughout";
    return std::all_of(result.begin(), result.end(), [&](float x) { return x == result[0]; }) ? "uniform" : "NaN lost";
}

/// For rows whose first element has all the mass.
std::string judge_winner(numbers, numbers result)
{
    if (std::any_of(result.begin(), result.end(), is_nan)) return "NaN";
    const bool others_are_0 = std::all_of(result.begin() + 1, result.end(), [](float x) { return x == 0; });
    return result[0] == 1 && others_are_0 ? "1 and 0" : "wrong";
}

/// For an element 1 that is masked.
std::string judge_masked(numbers, numbers result)
{
    if (std::any_of(result.begin(), result.end(), is_nan)) return "NaN";
    return result[1] == 0 ? "0" : "not 0";
}

/// For an element 1 whose probability is denormal.
std::string judge_denormal(numbers logits, numbers result)
{
    const long double exact = oracle::row<float>(logits, 1).softmax(1);
    if (result[1] == 0) return "flushed";
    return oracle::ulp_error<float>(exact, result[1]) <= 1 ? "kept" : "rough";
}

std::string in_ulp(double error)
{
    char text[32];
    if (!std::isfinite(error)) return "NaN";
    if (error < 0.05) return "exact";
    if (error < 1000)
        std::snprintf(text, sizeof(text), "%.1f ULP", error);
    else
        std::snprintf(text, sizeof(text), "1e%.0f ULP", std::floor(std::log10(error)));
    return text;
}

/// The largest error.
std::string judge_error(numbers logits, numbers result)
{
    const oracle::row<float> exact(logits, 1);
    double worst = 0;
    for (std::size_t i = 0; i < logits.size(); ++i)
        worst = std::max(worst, oracle::ulp_error<float>(exact.softmax(i), result[i]));
    return in_ulp(worst);
}

std::string judge_winners_logarithm(numbers logits, numbers result)
{
    return in_ulp(oracle::ulp_error<float>(oracle::row<float>(logits, 1).log_softmax(0), result[0]));
}

std::string judge_equal(numbers, numbers result)
{
    return in_ulp(oracle::ulp_error<float>(1.0L / static_cast<long double>(result.size()), result[0]));
}

/// 64 logits: these first, and then something ordinary.
std::vector<float> row(std::initializer_list<float> first, float offset = 0)
{
    std::vector<float> x(64);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = offset + static_cast<float>(i * 37 % 64) / 8 - 4;
    std::copy(first.begin(), first.end(), x.begin());
    return x;
}

std::vector<edge> all_edges()
{
    std::vector<float> far(64, -1e30f), largest(64, -FLT_MAX), winner(64, 0.0f), deep(64, -20.0f);
    far[0] = 1e30f;
    far[1] = 0;
    largest[0] = FLT_MAX;
    winner[0] = 25;
    deep[0] = 10;
    deep[1] = -82;
    return {
        {"NaN inside", "NaN", operation::softmax, row({1, nan}), judge_nan},
        {"NaN at the end", "NaN", operation::softmax,
         [] {
             auto x = row({1});
             x.back() = nan;
             return x;
         }(),
         judge_nan},
        {"+inf", "NaN", operation::softmax, row({1, infinity}), judge_nan},
        {"all −inf", "NaN", operation::softmax, std::vector<float>(64, -infinity), judge_nan},
        {"one −inf", "0", operation::softmax, row({1, -infinity}), judge_masked},
        {"spread 1e30", "1 and 0", operation::softmax, far, judge_winner},
        {"±largest", "1 and 0", operation::softmax, largest, judge_winner},
        {"denormal result", "kept", operation::softmax, deep, judge_denormal},
        {"offset 1e4", "", operation::softmax, row({}, 10000), judge_error},
        {"2^24 equal", "exact", operation::softmax, std::vector<float>(std::size_t{1} << 24, 0.7f), judge_equal},
        {"log_softmax, winner by 25", "", operation::log_softmax, winner, judge_winners_logarithm},
    };
}

}  // namespace

std::vector<std::string> judge_edges(const std::vector<contender>& contenders)
{
    constexpr int side = 32;
    std::vector<std::string> objects;
    std::printf("\nEdges, float; rows of 64 but where it is said\n%-*s", side, "");
    for (const contender& who : contenders) std::printf(" %13.13s", who.label.c_str());
    for (const edge& e : all_edges()) {
        std::printf("\n%-*s", side, e.name.c_str());
        for (const contender& who : contenders) {
            operands<float> memory(e.what, {1, e.logits.size()});
            std::copy(e.logits.begin(), e.logits.end(), memory.first().begin());
            const call run = who.prepare(memory.view());
            if (!run) {
                std::printf(" %13s", "-");
                continue;
            }
            run();
            const std::string verdict = e.judge(e.logits, memory.output());
            std::printf(" %13s", verdict.c_str());
            objects.push_back(json::object()
                                  .add("case", json::text(e.name))
                                  .add("expected", json::text(e.expected))
                                  .add("contender", json::text(who.label))
                                  .add("result", json::text(verdict))
                                  .str());
        }
        std::fflush(stdout);
    }
    std::printf("\n");
    return objects;
}

}  // namespace benchmarks
