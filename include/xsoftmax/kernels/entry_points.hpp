#pragma once

/// The ways into the kernels: everything whose code depends on the instruction set is behind one of these.
///
/// Each is a type with the signature `function`, which no architecture shows in, and `run<Arch>`, which has that signature.
/// Arguments are plain data of types that the library itself lists, so that all of them can be compiled once for each
/// architecture, in a translation unit of its own, and be called through a pointer. `entry_points` lists them.

#include "backward.hpp"
#include "backward_inner_axis.hpp"
#include "backward_rows.hpp"
#include "compiler.hpp"
#include "inner_axis.hpp"
#include "masked_row.hpp"
#include "operations.hpp"
#include "regime.hpp"
#include "search.hpp"

#include <cstddef>

namespace xsoftmax::kernels {

/// Operation on a row of n ≥ 1 contiguous elements. What the operation keeps for itself, such as a loss, is in it afterwards.
template <class Operation, class T>
struct row_entry {
    using function = void(Operation& operation, const T* logits, std::size_t n, double temperature);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(Operation& operation, const T* logits, std::size_t n, double temperature)
    {
        run_row<Arch>(operation, logits, n, temperature);
    }
};

/// Operation{output} on many rows of n ≥ 1 contiguous elements. Logits and outputs may be the same rows. `all_rows` is how
/// many the caller has in all, of which these are a share.
template <class Operation, class T>
struct rows_entry {
    using function = void(rows_apart<const T> logits, rows_apart<T> outputs, std::size_t rows, std::size_t n,
                          double temperature, std::size_t all_rows);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(rows_apart<const T> logits, rows_apart<T> outputs, std::size_t rows,
                                           std::size_t n, double temperature, std::size_t all_rows)
    {
        run_rows<Arch, Operation, T>(logits, outputs, rows, n, temperature, all_rows);
    }
};

/// operations[r] on row r of rows of n ≥ 1 contiguous elements, a share of `all_rows`.
template <class Operation, class T>
struct operations_entry {
    using function = void(Operation* operations, rows_apart<const T> logits, std::size_t rows, std::size_t n,
                          double temperature, std::size_t all_rows);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(Operation* operations, rows_apart<const T> logits, std::size_t rows,
                                           std::size_t n, double temperature, std::size_t all_rows)
    {
        run_operations<Arch>(operations, logits, rows, n, temperature, all_rows);
    }
};

/// operations[r] on each of `rows` rows side by side: row r begins r elements after `logits`, and after operations[0]'s
/// output, and its elements are `step`, or `output_step`, apart. n ≥ 1, and the temperature is ordinary.
template <class Operation, class T>
struct inner_axis_entry {
    using function = taken_rows(Operation* operations, const T* logits, std::ptrdiff_t step, std::ptrdiff_t output_step,
                                std::size_t n, std::size_t rows, double temperature);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static taken_rows run(Operation* operations, const T* logits, std::ptrdiff_t step,
                                                 std::ptrdiff_t output_step, std::size_t n, std::size_t rows,
                                                 double temperature)
    {
        return inner_axis<Arch>(operations, logits, step, output_step, n, rows, temperature);
    }
};

/// Where the only element of a row is that is not 0; n if there is none, or more than one.
template <class T>
struct only_nonzero_entry {
    using function = std::size_t(const T* row, std::size_t n);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static std::size_t run(const T* row, std::size_t n)
    {
        return only_nonzero<Arch>(row, n);
    }
};

/// All n elements become `value`.
template <class T>
struct fill_entry {
    using function = void(T* to, std::size_t n, T value);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(T* to, std::size_t n, T value)
    {
        fill_row<Arch>(to, n, value);
    }
};

/// A row of n elements with −inf for all that the mask leaves out, written to `to`, which may be the logits. Is anything kept?
template <class T>
struct compose_entry {
    using function = bool(const row_mask<T>& mask, const T* logits, T* to, std::size_t n);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static bool run(const row_mask<T>& mask, const T* logits, T* to, std::size_t n)
    {
        return compose_row<Arch>(mask, logits, to, n);
    }
};

/// The backward passes, of a row of n ≥ 1 contiguous elements, of many such rows, and of rows side by side. The temperature is
/// ordinary, but of contiguous rows, where any will do for softmax, and for log_softmax any whose reciprocal T can hold.
template <class T>
struct softmax_backward_entry {
    using function = void(const T* probabilities, const T* upstream, T* gradient, std::size_t n, double temperature);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(const T* probabilities, const T* upstream, T* gradient, std::size_t n,
                                           double temperature)
    {
        softmax_backward<Arch>(probabilities, upstream, gradient, n, temperature);
    }
};

template <class T>
struct log_softmax_backward_entry {
    using function = void(const T* log_probabilities, const T* upstream, T* gradient, std::size_t n,
                          double temperature);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(const T* log_probabilities, const T* upstream, T* gradient, std::size_t n,
                                           double temperature)
    {
        log_softmax_backward<Arch>(log_probabilities, upstream, gradient, n, temperature);
    }
};

template <class T>
struct softmax_backward_rows_entry {
    using function = void(const backward_rows<T>& at, std::size_t rows, std::size_t n, double temperature);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(const backward_rows<T>& at, std::size_t rows, std::size_t n,
                                           double temperature)
    {
        softmax_backward_rows<Arch>(at, rows, n, temperature);
    }
};

template <class T>
struct log_softmax_backward_rows_entry {
    using function = void(const backward_rows<T>& at, std::size_t rows, std::size_t n, double temperature);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(const backward_rows<T>& at, std::size_t rows, std::size_t n,
                                           double temperature)
    {
        log_softmax_backward_rows<Arch>(at, rows, n, temperature);
    }
};

template <class T>
struct softmax_backward_inner_axis_entry {
    using function = void(const backward_operands<T>& at, std::size_t n, std::size_t rows, double temperature);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(const backward_operands<T>& at, std::size_t n, std::size_t rows,
                                           double temperature)
    {
        softmax_backward_inner_axis<Arch>(at, n, rows, temperature);
    }
};

template <class T>
struct log_softmax_backward_inner_axis_entry {
    using function = void(const backward_operands<T>& at, std::size_t n, std::size_t rows, double temperature);

    template <class Arch>
    XSOFTMAX_ALWAYS_INLINE static void run(const backward_operands<T>& at, std::size_t n, std::size_t rows,
                                           double temperature)
    {
        log_softmax_backward_inner_axis<Arch>(at, n, rows, temperature);
    }
};

template <class... Entries>
struct entry_list {
};

/// All of them for rows of T.
template <class T>
using entry_points =
    entry_list<row_entry<softmax_operation<T>, T>, rows_entry<softmax_operation<T>, T>,
               inner_axis_entry<softmax_operation<T>, T>, row_entry<log_softmax_operation<T>, T>,
               rows_entry<log_softmax_operation<T>, T>, inner_axis_entry<log_softmax_operation<T>, T>,
               row_entry<log_sum_exp_operation, T>, operations_entry<log_sum_exp_operation, T>,
               inner_axis_entry<log_sum_exp_operation, T>, row_entry<index_loss_operation, T>,
               operations_entry<index_loss_operation, T>, inner_axis_entry<index_loss_operation, T>,
               row_entry<index_gradient_operation<T>, T>, operations_entry<index_gradient_operation<T>, T>,
               inner_axis_entry<index_gradient_operation<T>, T>, row_entry<probabilities_loss_operation<T>, T>,
               row_entry<probabilities_gradient_operation<T>, T>, only_nonzero_entry<T>, fill_entry<T>,
               compose_entry<T>, softmax_backward_entry<T>, softmax_backward_rows_entry<T>,
               softmax_backward_inner_axis_entry<T>, log_softmax_backward_entry<T>, log_softmax_backward_rows_entry<T>,
               log_softmax_backward_inner_axis_entry<T>>;

}  // namespace xsoftmax::kernels
