#pragma once

/// What runs the rows of a batch in parts: the concept, and the caller's own thread. Those of several threads are in
/// parallel.hpp.

#include "kernels/compiler.hpp"
#include "version.hpp"

#include <cstddef>

namespace xsoftmax {

/// Runs task(0) … task(count − 1), each once, in any order and on any threads, and returns when all have returned. If one
/// throws, it throws one of the exceptions; tasks that have not begun by then may be left out.
template <class E>
concept executor = requires(E& run, std::size_t count, void (*task)(std::size_t))
{
    run(count, task);
};

/// The caller's own thread: one task after the other.
struct serial_executor {
    /// task(0) … task(count − 1).
    template <class Task>
    XSOFTMAX_SHARED_INLINE void operator()(std::size_t count, Task&& task) const
    {
        for (std::size_t k = 0; k < count; ++k) task(k);
    }
};

}  // namespace xsoftmax
