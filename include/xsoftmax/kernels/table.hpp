#pragma once

/// The entry points of one architecture as a table of pointers, for xsoftmax::dispatch.

#include "compiler.hpp"
#include "entry_points.hpp"

namespace xsoftmax::kernels {

template <class Entry>
struct table_slot {
    typename Entry::function function;
};

template <class List>
struct table_part;

template <class... Entries>
struct table_part<entry_list<Entries...>> : table_slot<Entries>... {
    template <class Arch>
    XSOFTMAX_SHARED_INLINE static constexpr table_part of()
    {
        return {table_slot<Entries>{Entries::template of<Arch>()}...};
    }
};

/// Its layout, and that of what the entry points take, is part of the library's binary interface: see detail/dispatch.hpp.
struct kernel_table {
    const char* name;
    table_part<entry_points<float>> floats;
    table_part<entry_points<double>> doubles;

    template <class Arch>
    XSOFTMAX_SHARED_INLINE static constexpr kernel_table of(const char* name)
    {
        return {name, table_part<entry_points<float>>::of<Arch>(), table_part<entry_points<double>>::of<Arch>()};
    }

    template <class Entry>
    XSOFTMAX_SHARED_INLINE auto function() const
    {
        if constexpr (std::is_base_of_v<table_slot<Entry>, table_part<entry_points<float>>>)
            return static_cast<const table_slot<Entry>&>(floats).function;
        else
            return static_cast<const table_slot<Entry>&>(doubles).function;
    }
};

}  // namespace xsoftmax::kernels
