// Includes all executors and links no library for those that it does not call, unoptimised, which takes the most from headers.
#include <xsoftmax/parallel.hpp>

#include <atomic>
#include <cstdio>

namespace {

template <class Executor>
bool runs_each_once(Executor&& executor)
{
    std::atomic<unsigned> once{0}, again{0};
    executor(20, [&](std::size_t k) { again |= once.fetch_or(1u << k) & 1u << k; });
    return once == (1u << 20) - 1 && again == 0;
}

}  // namespace

int main()
{
    bool right = runs_each_once(xsoftmax::serial_executor{});
    const char* names = "serial";
#if defined(_OPENMP)
    right &= runs_each_once(xsoftmax::openmp{});
    names = "serial, openmp";
#endif
    std::printf("executors: %s: %s\n", names, right ? "ok" : "WRONG");
    return !right;
}
