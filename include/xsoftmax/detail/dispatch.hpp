#pragma once

/// What xsoftmax::dispatch is called through: the table of the architecture in use, found when it is first asked for.

#include "../kernels/compiler.hpp"
#include "../kernels/table.hpp"
#include "error.hpp"

#include <atomic>
#include <cstddef>

#if defined(_WIN32) && defined(XSOFTMAX_DISPATCH_SHARED)
#if defined(XSOFTMAX_DISPATCH_BUILDS)
#define XSOFTMAX_DISPATCH_API __declspec(dllexport)
#else
#define XSOFTMAX_DISPATCH_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define XSOFTMAX_DISPATCH_API [[gnu::visibility("default")]]
#else
#define XSOFTMAX_DISPATCH_API
#endif

/// The number counts changes to kernels::kernel_table and to what its functions take: headers of another number do not link.
namespace xsoftmax::dispatch_1 {

/// The table in use; null until it has been found.
XSOFTMAX_DISPATCH_API extern std::atomic<const kernels::kernel_table*> current;

struct found_table {
    const kernels::kernel_table* table;
    const char* error;  ///< what is wrong with XSOFTMAX_ARCH, if the table is null
};

/// Looks at the processor and at XSOFTMAX_ARCH, once, and sets `current`. May be called from several threads at once.
XSOFTMAX_DISPATCH_API found_table find_table() noexcept;

/// The names of the architectures that this processor runs, best first.
XSOFTMAX_DISPATCH_API const char* const* runnable(std::size_t* count) noexcept;

}  // namespace xsoftmax::dispatch_1

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// What is found is kept in the library, and reported here, by an exception or not as the caller is compiled.
[[nodiscard]] XSOFTMAX_COLD inline const kernels::kernel_table& first_table()
{
    const dispatch_1::found_table found = dispatch_1::find_table();
    if (found.table == nullptr) fail(error_kind::invalid_argument, "xsoftmax: %s", found.error);
    return *found.table;
}

/// Relaxed, which on every processor is a plain load: a table is constant, and so are the functions it points to.
[[nodiscard]] XSOFTMAX_INLINE const kernels::kernel_table& current_table()
{
    const kernels::kernel_table* const table = dispatch_1::current.load(std::memory_order_relaxed);
    return table != nullptr ? *table : first_table();
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
