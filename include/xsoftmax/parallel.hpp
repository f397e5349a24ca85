#pragma once

/// Executors, which the functions of batches take as first argument: xsoftmax::softmax(xsoftmax::openmp{}, logits,
/// probabilities).
///
/// Anything callable as executor(count, task) is one. It is to call task(0) … task(count − 1), each once, from any threads,
/// and to return when all have returned; if a task throws, that has to reach the caller. A thread pool takes a few lines.
/// Results are bit for bit those of one thread, whatever the executor. Small batches stay on the caller's thread.
///
///     xsoftmax::serial_executor    the caller's thread
///     xsoftmax::openmp             where the program is compiled with OpenMP
///     xsoftmax::onetbb             where oneTBB's headers are found; a program that calls it links TBB::tbb

#include "executor.hpp"

#include <atomic>
#include <cstddef>

#if defined(_OPENMP)
#include <exception>
#endif

// Not parallel_for.h: unoptimised, g++ compiles a function of it that needs oneTBB's library in every program that includes it,
// also in one which never calls it and does not link it.
#if __has_include(<oneapi/tbb/task_group.h>)
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#endif

namespace xsoftmax {

inline namespace XSOFTMAX_TARGET {

#if defined(_OPENMP)
/// OpenMP's threads.
struct openmp {
    template <class Task>
    void operator()(std::size_t count, Task&& task) const
    {
#if defined(__cpp_exceptions)
        // An exception may not leave the loop.
        std::exception_ptr thrown;
        std::atomic<bool> stop{false};
#pragma omp parallel for schedule(dynamic, 1)
        for (std::ptrdiff_t k = 0; k < static_cast<std::ptrdiff_t>(count); ++k) {
            if (stop.load(std::memory_order_relaxed)) continue;
            try {
                task(static_cast<std::size_t>(k));
            }
            catch (...) {
                if (!stop.exchange(true)) thrown = std::current_exception();
            }
        }
        if (thrown) std::rethrow_exception(thrown);
#else
#pragma omp parallel for schedule(dynamic, 1)
        for (std::ptrdiff_t k = 0; k < static_cast<std::ptrdiff_t>(count); ++k) task(static_cast<std::size_t>(k));
#endif
    }
};
#endif

#if __has_include(<oneapi/tbb/task_group.h>)
/// oneTBB's threads: those of the caller's arena. Only a program that calls it links TBB::tbb.
struct onetbb {
    template <class Task>
    void operator()(std::size_t count, Task&& task) const
    {
        namespace tbb = oneapi::tbb;
        std::atomic<std::size_t> next{0};
        const auto work = [&] {
            // The exception of a task cancels the group.
            for (std::size_t k = next++; k < count && !tbb::is_current_task_group_canceling(); k = next++) task(k);
        };
        tbb::task_group threads;
        const auto most = static_cast<std::size_t>(tbb::this_task_arena::max_concurrency());
        for (std::size_t k = 1; k < count && k < most; ++k) threads.run(work);
        threads.run_and_wait(work);
    }
};
#endif

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax
