#pragma once

/// A callable that is passed on and not kept, as C++26's std::function_ref. What walks over rows takes one, so that it is
/// compiled once for a type of elements, and not once for each function that it calls.

#include "../executor.hpp"
#include "../kernels/target.hpp"

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

template <class Signature>
class function_ref;

template <class Result, class... Arguments>
class function_ref<Result(Arguments...)> {
public:
    template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, function_ref>)
        function_ref(F&& f)  // NOLINT: a callable is what this is
        : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, Arguments... arguments) {
              return static_cast<Result>((*static_cast<std::remove_reference_t<F>*>(object))(arguments...));
          })
    {
    }

    Result operator()(Arguments... arguments) const { return call_(object_, arguments...); }

private:
    void* object_;
    Result (*call_)(void*, Arguments...);
};

/// Any executor.
struct executor_ref {
    function_ref<void(std::size_t, function_ref<void(std::size_t)>)> run;
    bool is_serial;  ///< the caller's own thread

    template <class Executor>
    requires(!std::same_as<std::remove_cv_t<Executor>, executor_ref>) executor_ref(Executor& of)  // NOLINT: likewise
        : run(of), is_serial(std::same_as<std::remove_cv_t<Executor>, serial_executor>)
    {
    }
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
