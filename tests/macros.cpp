// After what <windows.h> and others define, the headers compile all the same.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>
#include <xsimd/xsimd.hpp>
#define near
#define far
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define small char
#define I (0)
#include <xsoftmax/xsoftmax.hpp>

float of_macros(const float* x, std::size_t n) { return xsoftmax::log_sum_exp(std::span<const float>(x, n)); }
