#pragma once

/// Which sweep runs for which row: the one place where that is decided.
///
///     temperature        row                                 sweep                 computed in
///     2^-30 … 2^30 (1)   up to 8 (2) vectors                 short_row             the row's type
///     2^-30 … 2^30 (1)   from recomputed_row_bytes on, of    recomputed_row        the row's type
///                        softmax, log_softmax and gradients
///                        of classes, not in place (3)
///     2^-30 … 2^30 (1)   of two_pass_elements and more, of   two_pass              the row's type
///                        all but target probabilities; not
///                        where exponentials are stored over
///                        the logits
///     2^-30 … 2^30 (1)   any other                           three_pass            the row's type
///     0                  any                                 zero_temperature      the row's type
///     any other          any                                 three_pass_in_double  double
///
/// (1) double: 2^-400 … 2^400
/// (2) 16 of doubles, 12 of softmax of floats, 4 where an operation keeps more than one sum
/// (3) where exponentials are quick, or not wanted again (is_recomputed)
///
/// Many rows, at a temperature of the first lines:
///
///     elements of a row   rows                                        sweep
///     contiguous          as many as fill vectors, of up to           short_rows: groups
///                         short_rows_vectors vectors, of softmax,
///                         log_softmax, log_sum_exp and losses of
///                         classes
///     contiguous          longer than short_row takes, from           overlapped_rows
///                         guess_elements on, of softmax,
///                         log_softmax and gradients of classes, as
///                         for two_pass
///     contiguous          such, up to scratch_row_bytes, where        rows_by_scratch
///                         results exceed out_of_cache_bytes
///     contiguous          longer such, of floats and what         recomputed_row (3)
///                         writes exponentials
///     apart               neighbours are contiguous                   inner_axis: a row in each lane
///     any other                                                       one at a time, as above; through a tile where apart
///
/// A row gets the same bits from short_row and short_rows, and from two_pass, recomputed_row, three_pass,
/// overlapped_rows and rows_by_scratch.

#include "compiler.hpp"
#include "exp.hpp"
#include "long_row.hpp"
#include "out_of_cache.hpp"
#include "overlapped_rows.hpp"
#include "plain_data.hpp"
#include "short_row.hpp"
#include "short_rows.hpp"
#include "two_pass.hpp"
#include "zero_temperature.hpp"

#include <cstddef>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Temperature 0 or, for rows of float, an extreme one: rare enough to be kept out of the caller's code.
template <class Arch, class Operation, class T>
XSOFTMAX_COLD void run_unusual_row(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    if constexpr (requires { operation.at_zero(0.0, 1.0); })
        if (temperature == 0) return zero_temperature<Arch>(operation, logits, n);
    three_pass_in_double<Arch>(operation, logits, n, temperature);
}

/// From here on a guess at the maximum pays: 9 % at 512 elements, 5 % at 1000 in the first cache, 12 % in the second, 20 %
/// beyond; rows of 128 to 384 are as fast, or 5 % slower, with it.
inline constexpr std::size_t two_pass_elements = 400;

/// Results of this size do not stay in a cache: at 16 MB rows_by_scratch takes 0.7 of overlapped_rows' time, at 8 MB the same.
inline constexpr std::size_t out_of_cache_bytes = std::size_t{12} << 20;

/// Are this many rows of n ≥ 1 elements so large?
template <class T>
XSOFTMAX_ALWAYS_INLINE bool are_out_of_cache(std::size_t rows, std::size_t n)
{
    return rows >= out_of_cache_bytes / sizeof(T) / n;
}

/// Results of a row of this size are not written, read and written again: then recomputed_row takes 0.8 of two_pass' time (of
/// doubles 0.95, at twice the size 0.85), at 16 MB the same.
inline constexpr std::size_t recomputed_row_bytes = std::size_t{24} << 20;

/// Are rows of n elements, whose logits are kept, written while the next is read? A row is to get the same bits as alone.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE bool are_overlapped(std::size_t n, double temperature)
{
    return n > short_row_vectors<Operation, T> * xsimd::batch<T, Arch>::size && n >= guess_elements &&
           is_ordinary<T>(temperature);
}

/// Does an operation write results, and may they be relative to a guess at the maximum?
template <class Operation>
inline constexpr bool writes_from_guesses = (Operation::any_reference && Operation::writes);

/// Are the exponentials of such a row, not in place, computed twice? One of a batch whose results do not stay in a cache from
/// beyond scratch_row_bytes on, if they are floats'. Not where exponentials are wanted again but have no table of sixteenths:
/// with AVX2 a row of 2^24 floats would take 1.2 times as long, of doubles 1.6.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE bool is_recomputed(std::size_t n, bool out_of_cache)
{
    if (Operation::uses_exponentials && exp2_steps<xsimd::batch<T, Arch>> != 16) return false;
    constexpr bool are_floats = Operation::uses_exponentials && sizeof(T) == 4;
    return n >= recomputed_row_bytes / sizeof(T) || (are_floats && out_of_cache && n > scratch_row_bytes / sizeof(T));
}

/// A row of n ≥ 1 contiguous elements. With `prefetches`, what lies behind it is about to be read.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void run_row(Operation& operation, const T* logits, std::size_t n, double temperature,
                                    bool prefetches = false)
{
    if (temperature != 1 && !is_ordinary<T>(temperature)) [[unlikely]]
        return run_unusual_row<Arch>(operation, logits, n, temperature);
    constexpr std::size_t vector = xsimd::batch<T, Arch>::size;
    if (n <= short_row_vectors<Operation, T> * vector) return short_row<Arch>(operation, logits, n, temperature);
    if constexpr (writes_from_guesses<Operation>)
        if (is_recomputed<Arch, Operation, T>(n, false) && operation.output != logits)
            return recomputed_row<Arch>(operation, logits, n, temperature);
    if constexpr (Operation::any_reference)
        if (n >= two_pass_elements && keeps_logits(operation, logits))
            return two_pass<Arch>(operation, logits, n, temperature, prefetches);
    three_pass<Arch>(operation, logits, n, temperature);
}

/// What to do with such rows, for operations that are where they write to and nothing else.
template <class Operation, class T>
struct operations_apart {
    rows_apart<T> outputs;

    XSOFTMAX_ALWAYS_INLINE Operation operator()(std::size_t r) const { return Operation{outputs(r)}; }
};

/// What to do with such rows where it is kept for each.
template <class Operation>
struct operations_of_rows {
    Operation* first;

    XSOFTMAX_ALWAYS_INLINE Operation& operator()(std::size_t r) const { return first[r]; }
};

/// Rows that are written while the next is read, past the caches if they exceed them; false, and nothing done, if they are not
/// such rows.
template <class Arch, class T, class Operations>
XSOFTMAX_ALWAYS_INLINE bool run_overlapped(std::size_t rows, std::size_t n, double temperature,
                                           rows_apart<const T> logits, const Operations& operations, bool out_of_cache)
{
    using operation_type = operation_of<Operations>;
    const auto& first = operations(0);
    if (!are_overlapped<Arch, operation_type, T>(n, temperature) || !keeps_logits(first, logits.first)) return false;
    // Lines past the caches that have just been read are waited for.
    const bool past_caches = out_of_cache && first.output != logits.first;
    if (past_caches && n <= scratch_row_bytes / sizeof(T))
        rows_by_scratch<Arch, T>(rows, n, temperature, logits, operations);
    else if (past_caches && is_recomputed<Arch, operation_type, T>(n, true))
        for (std::size_t r = 0; r < rows; ++r) {
            auto&& operation = operations(r);
            recomputed_row<Arch>(operation, logits(r), n, temperature);
        }
    else
        overlapped_rows<Arch, T>(rows, n, temperature, logits, operations, out_of_cache);
    return true;
}

/// Rows of n ≥ 1 contiguous elements, and what is written for them: a share of all_rows, which tell whether results stay in
/// a cache.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void run_rows(rows_apart<const T> logits, rows_apart<T> outputs, std::size_t rows, std::size_t n,
                                     double temperature, std::size_t all_rows)
{
    const operations_apart<Operation, T> operations{outputs};
    constexpr std::size_t vector = xsimd::batch<T, Arch>::size;
    const bool out_of_cache = are_out_of_cache<T>(all_rows, n);
    std::size_t r = 0;
    if (n <= short_rows_vectors<Operation> * vector && is_ordinary<T>(temperature))
        r = short_rows<Arch, T>(rows, n, temperature, logits, operations);
    else if constexpr (writes_from_guesses<Operation>)
        if (run_overlapped<Arch, T>(rows, n, temperature, logits, operations, out_of_cache)) return;
    for (; r < rows; ++r) {
        Operation operation = operations(r);
        run_row<Arch>(operation, logits(r), n, temperature);
    }
}

/// operations[r] on row r of rows of n ≥ 1 contiguous elements: a share of all_rows.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void run_operations(Operation* operations, rows_apart<const T> logits, std::size_t rows,
                                           std::size_t n, double temperature, std::size_t all_rows)
{
    constexpr std::size_t vector = xsimd::batch<T, Arch>::size;
    const bool out_of_cache = are_out_of_cache<T>(all_rows, n);
    std::size_t r = 0;
    if (n <= short_rows_vectors<Operation> * vector && is_ordinary<T>(temperature))
        r = short_rows<Arch, T>(rows, n, temperature, logits, operations_of_rows<Operation>{operations});
    else if constexpr (writes_from_guesses<Operation>)
        if (run_overlapped<Arch, T>(rows, n, temperature, logits, operations_of_rows<Operation>{operations},
                                    out_of_cache))
            return;
    for (; r < rows; ++r) run_row<Arch>(operations[r], logits(r), n, temperature, out_of_cache);
}

// ---- Each by name, for tests and benchmarks -----------------------------------------------------------------------------

/// A sweep for one row. n is within what `accepts` says, and the temperature is ordinary unless the name ends in "double".
template <class Operation, class T>
struct row_regime {
    const char* name;
    bool (*accepts)(std::size_t n, bool in_place);
    void (*run)(Operation& operation, const T* logits, std::size_t n, double temperature);
};

template <class Arch, class Operation, class T>
inline constexpr row_regime<Operation, T> row_regimes[] = {
    {"short_row",
     [](std::size_t n, bool) { return n <= short_row_vectors<Operation, T> * xsimd::batch<T, Arch>::size; },
     [](Operation& operation, const T* logits, std::size_t n, double temperature) {
         short_row<Arch>(operation, logits, n, temperature);
     }},
    {"two_pass",
     [](std::size_t n, bool in_place) {
         return Operation::any_reference && n >= guess_elements && !(Operation::uses_exponentials && in_place);
     },
     [](Operation& operation, const T* logits, std::size_t n, double temperature) {
         if constexpr (Operation::any_reference) two_pass<Arch>(operation, logits, n, temperature);
     }},
    {"recomputed_row",
     [](std::size_t n, bool in_place) { return writes_from_guesses<Operation> && n >= guess_elements && !in_place; },
     [](Operation& operation, const T* logits, std::size_t n, double temperature) {
         if constexpr (writes_from_guesses<Operation>) recomputed_row<Arch>(operation, logits, n, temperature);
     }},
    {"three_pass", [](std::size_t, bool) { return true; },
     [](Operation& operation, const T* logits, std::size_t n, double temperature) {
         three_pass<Arch>(operation, logits, n, temperature);
     }},
    // Of doubles only at the extreme temperatures that it is for: it rounds differences of near ones.
    {"three_pass_in_double", [](std::size_t, bool) { return sizeof(T) < sizeof(double); },
     [](Operation& operation, const T* logits, std::size_t n, double temperature) {
         three_pass_in_double<Arch>(operation, logits, n, temperature);
     }},
};

/// Sweeps for many rows, at an ordinary temperature and not in place. `Operations` is operations_apart, or operations_of_rows.
template <class Operations, class T>
struct rows_regime {
    const char* name;
    bool (*accepts)(std::size_t n);
    void (*run)(const Operations& operations, rows_apart<const T> logits, std::size_t rows, std::size_t n,
                double temperature);
};

template <class Arch, class Operations, class T, class Operation = operation_of<Operations>>
inline constexpr rows_regime<Operations, T> rows_regimes[] = {
    {"short_rows",  // and those that do not fill a group one at a time
     [](std::size_t n) { return n <= short_rows_vectors<Operation> * xsimd::batch<T, Arch>::size; },
     [](const Operations& operations, rows_apart<const T> logits, std::size_t rows, std::size_t n, double temperature) {
         for (std::size_t r = short_rows<Arch, T>(rows, n, temperature, logits, operations); r < rows; ++r) {
             auto&& operation = operations(r);
             short_row<Arch>(operation, logits(r), n, temperature);
         }
     }},
    {"overlapped_rows", [](std::size_t n) { return writes_from_guesses<Operation> && n >= guess_elements; },
     [](const Operations& operations, rows_apart<const T> logits, std::size_t rows, std::size_t n, double temperature) {
         if constexpr (writes_from_guesses<Operation>)
             overlapped_rows<Arch, T>(rows, n, temperature, logits, operations, false);
     }},
    {"rows_by_scratch",
     [](std::size_t n) {
         return writes_from_guesses<Operation> && n >= guess_elements && n <= scratch_row_bytes / sizeof(T);
     },
     [](const Operations& operations, rows_apart<const T> logits, std::size_t rows, std::size_t n, double temperature) {
         if constexpr (writes_from_guesses<Operation>)
             rows_by_scratch<Arch, T>(rows, n, temperature, logits, operations);
     }},
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
