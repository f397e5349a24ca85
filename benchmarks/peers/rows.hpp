#pragma once

/// For peers that compute a row at a time.

#include "../suite/contender.hpp"

#include <cstddef>
#include <span>

namespace benchmarks {

template <class T>
struct row_operands {
    std::span<const T> first, second;
    std::span<T> output;
    T& value;
    std::size_t target;
};

template <class T>
row_operands<T> row_of(const problem<T>& p, std::size_t r)
{
    const std::size_t n = p.of.columns, begin = r * n;
    return {{p.first + begin, n},
            p.second == nullptr ? std::span<const T>() : std::span(p.second + begin, n),
            {p.output + begin, n},
            p.values[r],
            static_cast<std::size_t>(p.classes[r])};
}

/// A call that does this with each row of the problem; none where its rows are not contiguous.
template <class T, class F>
call for_rows(const problem<T>& p, F f)
{
    if (p.of.inner != 1) return {};
    return make_call([p, f] {
        for (std::size_t r = 0; r < p.of.rows; ++r) f(row_of(p, r));
    });
}

}  // namespace benchmarks
