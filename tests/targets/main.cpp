// main UNIT...: calls the named ones of the program's units, each of which was compiled for another target, and compares what
// they give. Each has to name its own instruction set, and to give the bits that this gives by itself: units with fused
// multiply-add differ in a few from those without. And +inf has to come through log_sum_exp, which -ffast-math does not
// promise.
#include "targets.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>

#define XSOFTMAX_UNIT(name) const char* unit_##name(const inputs& in, results& to);
XSOFTMAX_UNITS
#undef XSOFTMAX_UNIT

namespace {

struct unit {
    const char* name;
    const char* (*call)(const inputs&, results&);
};

#define XSOFTMAX_UNIT(name) {#name, &unit_##name},
constexpr unit units[] = {XSOFTMAX_UNITS};
#undef XSOFTMAX_UNIT

inputs in;
results first, other;

/// The largest difference of two results, relative to 1 and the result.
template <class T>
double distance(const results_of<T>& a, const results_of<T>& b)
{
    constexpr std::size_t count = sizeof(a) / sizeof(T);
    const auto* const x = reinterpret_cast<const T*>(&a);
    const auto* const y = reinterpret_cast<const T*>(&b);
    double largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const auto u = static_cast<double>(x[i]), v = static_cast<double>(y[i]);
        if (u == v) continue;
        const double d = std::abs(u - v) / (1 + std::abs(u));
        largest = d <= largest ? largest : d;  // NaN counts
    }
    return largest;
}

template <class T>
bool same_bits(const results_of<T>& a, const results_of<T>& b)
{
    return std::memcmp(&a, &b, sizeof a) == 0;
}

bool is_fast(const std::string& name) { return name.find("_fast") != std::string::npos; }

bool is_fused(const std::string& architecture) { return architecture == "avx2" || architecture == "avx512"; }

}  // namespace

int main(int count, char** names)
{
    unsigned state = 1;
    const auto random = [&state] {
        state = state * 1664525 + 1013904223;
        return static_cast<double>(state >> 8) / (1 << 24);
    };
    for (std::size_t i = 0; i < sizeof in.logits_float / sizeof(float); ++i) {
        in.logits_double[i] = 12 * (random() - 0.5);
        in.targets_double[i] = random();
        in.logits_float[i] = static_cast<float>(in.logits_double[i]);
        in.targets_float[i] = static_cast<float>(in.targets_double[i]);
    }
    for (float& x : in.with_infinity) x = 1;
    in.with_infinity[5] = std::numeric_limits<float>::infinity();
    int failures = 0;
    std::string first_architecture;
    for (int k = 1; k < count; ++k)
        for (const unit& u : units) {
            const std::string name = names[k];
            if (name != u.name) continue;
            std::memset(&other, 0, sizeof other);
            const std::string architecture = u.call(in, other);
            const bool own = name.compare(0, architecture.size(), architecture) == 0;
            if (first_architecture.empty()) {
                first = other;
                first_architecture = architecture;
            }
            const double off_float = distance(first.of_float, other.of_float);
            const double off_double = distance(first.of_double, other.of_double);
            const bool same = same_bits(first.of_float, other.of_float) && same_bits(first.of_double, other.of_double);
            const bool differs = is_fused(architecture) != is_fused(first_architecture);
            const bool infinite = other.log_sum_exp_of_infinity == std::numeric_limits<float>::infinity();
            const bool right =
                own && off_float < 2e-6 && off_double < 4e-15 && !(differs && same) && (infinite || is_fast(name));
            std::printf("%-12s runs %-8s off by %.1e, %.1e; %s bits as the first; +inf gives %g: %s\n", u.name,
                        architecture.c_str(), off_float, off_double, same ? "the same" : "other",
                        static_cast<double>(other.log_sum_exp_of_infinity), right ? "ok" : "WRONG");
            failures += !right;
        }
    std::puts(failures == 0 ? "targets: ok" : "targets: WRONG");
    return failures != 0;
}
