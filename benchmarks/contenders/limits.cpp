/// What nobody can be faster than: a copy, by ordinary and by streaming stores, a sum of what is read, and the
/// exponentials alone.

#include "xsoftmax.hpp"

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace benchmarks {
namespace {

bool writes_all(operation what)
{
    return what != operation::log_sum_exp && what != operation::cross_entropy &&
           what != operation::cross_entropy_losses && what != operation::cross_entropy_targets &&
           what != operation::exp_map;
}

template <class T>
call plain_copy(const problem<T>& p)
{
    if (!writes_all(p.operation)) return {};
    return make_call([p, bytes = p.of.elements() * sizeof(T)] { std::memcpy(p.output, p.first, bytes); });
}

#if defined(__SSE2__)
/// A cache line at a time past the caches.
void streaming_copy_of_lines(const float* from, float* to, std::size_t lines)
{
    for (std::size_t i = 0; i < lines; ++i, from += 16, to += 16) {
        _mm_prefetch(reinterpret_cast<const char*>(from + 512), _MM_HINT_T0);
        for (std::size_t k = 0; k < 16; k += 4) _mm_stream_ps(to + k, _mm_load_ps(from + k));
    }
    _mm_sfence();
}

template <class T>
call streaming_copy(const problem<T>& p)
{
    const std::size_t bytes = p.of.elements() * sizeof(T);
    // Within the caches it is slow, and nobody is to be held against it.
    if (!writes_all(p.operation) || bytes % 64 != 0 || bytes < (std::size_t{8} << 20)) return {};
    return make_call([p, bytes] {
        streaming_copy_of_lines(reinterpret_cast<const float*>(p.first), reinterpret_cast<float*>(p.output),
                                bytes / 64);
    });
}

/// What a backward pass moves: two arrays in, one out.
void streaming_sum_of_lines(const float* a, const float* b, float* to, std::size_t lines)
{
    for (std::size_t i = 0; i < lines; ++i, a += 16, b += 16, to += 16) {
        _mm_prefetch(reinterpret_cast<const char*>(a + 512), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(b + 512), _MM_HINT_T0);
        for (std::size_t k = 0; k < 16; k += 4)
            _mm_stream_ps(to + k, _mm_add_ps(_mm_load_ps(a + k), _mm_load_ps(b + k)));
    }
    _mm_sfence();
}

template <class T>
call streaming_sum(const problem<T>& p)
{
    if (!has_second_operand(p.operation) || !streaming_copy(p)) return {};
    return make_call([p, bytes = p.of.elements() * sizeof(T)] {
        // Of doubles too: what is added takes no time beside the memory.
        streaming_sum_of_lines(reinterpret_cast<const float*>(p.first), reinterpret_cast<const float*>(p.second),
                               reinterpret_cast<float*>(p.output), bytes / 64);
    });
}
#else
template <class T>
call streaming_copy(const problem<T>&)
{
    return {};
}

template <class T>
call streaming_sum(const problem<T>&)
{
    return {};
}
#endif

/// The exponentials alone of what is to be a softmax.
template <class T>
call exponentials(const problem<T>& p)
{
    if (!writes_all(p.operation)) return {};
    static const contender library = xsoftmax_itself();
    problem<T> alone = p;
    alone.operation = operation::exp_map;
    alone.of = {1, p.of.elements()};
    return library.prepare(alone);
}

template <class FloatCall, class DoubleCall>
contender limit(const std::string& label, const std::string& description, FloatCall of_float, DoubleCall of_double)
{
    contender c{label, kind::limit, "", description};
    c.prepare_float = of_float;
    c.prepare_double = of_double;
    return c;
}

}  // namespace

std::vector<contender> limits()
{
    return {limit("bare exp", "the kernels' exponentials alone, in to out", exponentials<float>, exponentials<double>),
            limit("memcpy", "input to output", plain_copy<float>, plain_copy<double>),
            limit("streaming copy", "past the caches", streaming_copy<float>, streaming_copy<double>),
            limit("streaming sum", "of two inputs, past the caches", streaming_sum<float>, streaming_sum<double>)};
}

}  // namespace benchmarks
