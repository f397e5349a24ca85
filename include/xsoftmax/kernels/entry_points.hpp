#pragma once

/// The ways into the kernels: everything whose code depends on the instruction set is behind one of these.
///
/// Each is a type with `function`, a pointer type in which no architecture shows, and of<Arch>(), which is one. Arguments are
/// plain data, the same for every target, so that all of them can be compiled once for each architecture, in a translation unit
/// of its own. `entry_points` lists them.

#include "backward.hpp"
#include "masked_row.hpp"
#include "sum_columns.hpp"
#include "sum_rows.hpp"
#include "targets.hpp"
#include "write.hpp"

namespace xsoftmax::kernels {

/// XSOFTMAX_ENTRY(name, template parameters, function): calls function<Arch> of the parameters.
#define XSOFTMAX_ENTRY(name, parameters, ...)                                \
    template <class T>                                                       \
    struct name {                                                            \
        using function = decltype(&__VA_ARGS__<default_arch parameters, T>); \
        template <class Arch>                                                \
        XSOFTMAX_SHARED_INLINE static constexpr function of()                \
        {                                                                    \
            return &__VA_ARGS__<Arch parameters, T>;                         \
        }                                                                    \
    }
#define XSOFTMAX_WITH(...) , __VA_ARGS__

/// Softmax of a short row in one go; false if it is to be summed and written.
XSOFTMAX_ENTRY(softmax_entry, , softmax_short_row);
XSOFTMAX_ENTRY(row_maximum_entry, , row_maximum);
XSOFTMAX_ENTRY(sum_row_entry, XSOFTMAX_WITH(false), sum_row);
XSOFTMAX_ENTRY(split_row_entry, XSOFTMAX_WITH(true), sum_row);
XSOFTMAX_ENTRY(sum_rows_entry, XSOFTMAX_WITH(false), sum_rows);
XSOFTMAX_ENTRY(split_rows_entry, XSOFTMAX_WITH(true), sum_rows);
XSOFTMAX_ENTRY(sum_columns_entry, XSOFTMAX_WITH(false), sum_columns);
XSOFTMAX_ENTRY(split_columns_entry, XSOFTMAX_WITH(true), sum_columns);
XSOFTMAX_ENTRY(write_scaled_entry, XSOFTMAX_WITH(scaled_exponentials<T>), write_rows);
XSOFTMAX_ENTRY(write_scaled_columns_entry, XSOFTMAX_WITH(scaled_exponentials<T>), write_columns);
XSOFTMAX_ENTRY(write_shifted_entry, XSOFTMAX_WITH(shifted_logits<T>), write_rows);
XSOFTMAX_ENTRY(write_shifted_columns_entry, XSOFTMAX_WITH(shifted_logits<T>), write_columns);
XSOFTMAX_ENTRY(write_less_targets_entry, XSOFTMAX_WITH(scaled_less_targets<T>), write_rows);
XSOFTMAX_ENTRY(stream_scaled_entry, XSOFTMAX_WITH(scaled_exponentials<T>), stream_rows);
XSOFTMAX_ENTRY(stream_shifted_entry, XSOFTMAX_WITH(shifted_logits<T>), stream_rows);
XSOFTMAX_ENTRY(sum_targets_entry, , sum_targets);
XSOFTMAX_ENTRY(only_nonzero_entry, , only_nonzero);
XSOFTMAX_ENTRY(fill_entry, , fill_row);
XSOFTMAX_ENTRY(compose_entry, , compose_row);
XSOFTMAX_ENTRY(softmax_backward_entry, XSOFTMAX_WITH(softmax_pass), backward_of_rows);
XSOFTMAX_ENTRY(softmax_backward_columns_entry, XSOFTMAX_WITH(softmax_pass), backward_of_columns);
XSOFTMAX_ENTRY(log_softmax_backward_entry, XSOFTMAX_WITH(log_softmax_pass), backward_of_rows);
XSOFTMAX_ENTRY(log_softmax_backward_columns_entry, XSOFTMAX_WITH(log_softmax_pass), backward_of_columns);

#undef XSOFTMAX_ENTRY
#undef XSOFTMAX_WITH

template <class... Entries>
struct entry_list {
};

/// All of them for rows of T.
template <class T>
using entry_points =
    entry_list<softmax_entry<T>, row_maximum_entry<T>, sum_row_entry<T>, split_row_entry<T>, sum_rows_entry<T>,
               split_rows_entry<T>, sum_columns_entry<T>, split_columns_entry<T>, write_scaled_entry<T>,
               write_scaled_columns_entry<T>, write_shifted_entry<T>, write_shifted_columns_entry<T>,
               write_less_targets_entry<T>, stream_scaled_entry<T>, stream_shifted_entry<T>, sum_targets_entry<T>,
               only_nonzero_entry<T>, fill_entry<T>, compose_entry<T>, softmax_backward_entry<T>,
               softmax_backward_columns_entry<T>, log_softmax_backward_entry<T>, log_softmax_backward_columns_entry<T>>;

}  // namespace xsoftmax::kernels
