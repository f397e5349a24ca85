#pragma once

/// Who is measured.

#include "problem.hpp"

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace benchmarks {

/// A prepared computation: a plain function and its state, so that making the call costs one jump for everybody.
struct call {
    void (*run)(const void*) = nullptr;
    std::shared_ptr<const void> state;

    void operator()() const { run(state.get()); }
    explicit operator bool() const { return run != nullptr; }
};

template <class F>
call make_call(F f)
{
    return {[](const void* state) { (*static_cast<const F*>(state))(); }, std::make_shared<const F>(std::move(f))};
}

enum class kind {
    xsoftmax,  ///< one of this library's kernels
    peer,      ///< what else computes the same
    limit      ///< what must be done at least: nobody computes a softmax in less
};

struct contender {
    std::string label;  ///< unique; what plots and tables call it
    enum kind kind = kind::peer;
    std::string version;
    std::string description;  ///< what is called, in a few words

    std::string architecture = "";  ///< the instruction set, of what is compiled for each

    /// Allocates and plans what a user would once; gives an empty call for what it does not have.
    std::function<call(const problem<float>&)> prepare_float = {};
    std::function<call(const problem<double>&)> prepare_double = {};

    template <class T>
    call prepare(const problem<T>& p) const
    {
        if constexpr (std::is_same_v<T, float>)
            return prepare_float ? prepare_float(p) : call{};
        else
            return prepare_double ? prepare_double(p) : call{};
    }
};

/// A file of peers/ registers what it has; CMake compiles those whose libraries are there.
class peer_registration {
public:
    using maker = contender (*)();
    explicit peer_registration(maker make) { makers().push_back(make); }

    static std::vector<maker>& makers()
    {
        static std::vector<maker> all;
        return all;
    }
};

}  // namespace benchmarks
