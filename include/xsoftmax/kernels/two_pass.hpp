#pragma once

/// Rows relative to a guess at their maximum: the exponentials, their sum and the maximum in one sweep, the results in
/// another, if there are any. For operations that take any reference near the maximum (any_reference).
///
/// The guess is the largest of the first elements. References are powers of two, so it changes no bit of the results; where
/// it was too far off, which is known when the sweep has seen all, the row is done again relative to its maximum. So the
/// logits must still be there: exponentials must not be stored over them.

#include "compiler.hpp"
#include "exp.hpp"
#include "long_row.hpp"
#include "operations.hpp"
#include "simd.hpp"
#include "windows.hpp"

#include <cstddef>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// How many elements a guess is made from; rows are at least as long.
inline constexpr std::size_t guess_elements = 64;

template <class B>
XSOFTMAX_ALWAYS_INLINE value_of<B> guess_at_maximum(const value_of<B>* logits)
{
    B best = load_whole<B>(logits);
    XSOFTMAX_UNROLL
    for (std::size_t i = B::size; i < guess_elements; i += B::size) best = maximum(best, load_whole<B>(logits + i));
    return horizontal_maximum(best);
}

/// A row between its sweeps. Its exponentials are stored, if they are wanted again, or computed again.
template <class B, class Operation, bool Stores = Operation::uses_exponentials>
class guessed_row {
    using T = value_of<B>;
    using sweep_type = exponential_sweep<B, Stores, true, Operation, T, near_guess<B>>;

public:
    XSOFTMAX_ALWAYS_INLINE guessed_row(Operation& operation, const T* logits, T* to, T guess, const scale_for<B>& scale,
                                       largest_trees<B>& trees, bool prefetches)
        : operation_(operation),
          guess_(guess),
          trees_(trees),
          sweep_(operation, logits, to, near_guess<B>(guess, scale), &trees, prefetches)
    {
    }

    XSOFTMAX_ALWAYS_INLINE auto& sweep() { return sweep_; }

    /// Adds up what has been swept.
    XSOFTMAX_ALWAYS_INLINE void add_up()
    {
        totals_ = sweep_.totals();
        top_ = sweep_.top();
    }

    /// Not where other sweeps would do the row in another way.
    XSOFTMAX_ALWAYS_INLINE bool is_good() const
    {
        const auto& scale = reference().scale();
        return scale.is_good_guess(guess_, top_) && scale.is_near(top_);
    }

    /// After finish(): does what is written of exponentials round and end where it would relative to the maximum? The low part
    /// of their factor must be normal, and what is beyond the cutoff of the maximum must round to 0.
    template <std::size_t Count>
    XSOFTMAX_ALWAYS_INLINE bool keeps_digits(const coefficients<T, Count>& of_row) const
    {
        if constexpr (!Operation::uses_exponentials) return true;
        constexpr T most = sizeof(T) == 4 ? T(0x1p35) : T(0x1p190);
        const T factor = of_row.part[0];
        if constexpr (has_lift<Operation>)
            if (of_row.part[Operation::lift_coefficient] != T(1)) return false;
        return is_normal_split<T>(static_cast<double>(factor)) && factor * own_ <= most && factor * own_ >= -most;
    }

    /// The operation's coefficients; a result beside its output is left to finish_beside(). The row has n elements; `Asks` is
    /// as for mend().
    template <bool Asks = true>
    XSOFTMAX_ALWAYS_INLINE auto finish(std::size_t n)
    {
        if constexpr (Operation::counts_winners) {
            own_ = split_off_winner<B, Operation::uses_exponentials>(totals_, n, top_, reference(), trees_,
                                                                     sweep_.exponentials(), end());
            if constexpr (has_result_beside<Operation>) {
                if (operation_.output_needs_logarithm()) [[unlikely]]
                    totals_.template take_logarithm<arch_of<B>>();
                return operation_.template finish_output<T>(totals_, maximum());
            }
            else {
                totals_.template take_logarithm<arch_of<B>>();
                return operation_.template finish<T>(totals_, maximum());
            }
        }
        else {
            winner_is_one_ = mend<B, Asks>(totals_, top_, reference(), trees_, sweep_.exponentials());
            return operation_.template finish<T>(totals_, reference());
        }
    }

    /// After finish(): what finish_beside() wants.
    XSOFTMAX_ALWAYS_INLINE const row_totals<T, 1>& totals() const { return totals_; }

    /// After finish(): is a result to be 1?
    XSOFTMAX_ALWAYS_INLINE bool winner_is_one() const { return winner_is_one_; }

    template <class Window>
    XSOFTMAX_ALWAYS_INLINE B kept(Window window) const
    {
        return sweep_.kept(window);
    }

    XSOFTMAX_ALWAYS_INLINE B end() const { return sweep_.end(); }
    XSOFTMAX_ALWAYS_INLINE const near_guess<B>& reference() const { return sweep_.reference(); }

    /// After add_up(): the same, and the maximum.
    XSOFTMAX_ALWAYS_INLINE near_guess<B> maximum() const { return {top_, reference()}; }

private:
    Operation& operation_;
    T guess_;
    T top_ = 0;
    T own_ = 0;  ///< the maximum's exponential, of an operation that takes a logarithm
    const largest_trees<B>& trees_;
    sweep_type sweep_;
    row_totals<T, 1> totals_;
    bool winner_is_one_ = false;
};

/// The operation's result beside its output, after guessed_row's finish(): its logarithm is a chain of 100 cycles that the
/// output need not wait for, behind which other work would.
template <class Arch, class Operation, class T, class Maximum>
XSOFTMAX_ALWAYS_INLINE void finish_beside(Operation& operation, row_totals<T, 1> totals, const Maximum& maximum)
{
    totals.template take_logarithm<Arch>();
    operation.template finish_beside<T>(totals, maximum);
}

/// Are the logits still there after the exponentials?
template <class Operation, class T>
XSOFTMAX_ALWAYS_INLINE bool keeps_logits(const Operation& operation, const T* logits)
{
    if constexpr (Operation::uses_exponentials)
        return operation.output != logits;
    else
        return true;
}

/// The coefficients of a row that keeps_digits(), in all lanes. Compilers leave out multiplications by 1.
template <class B, class Operation, class T, std::size_t Count>
XSOFTMAX_ALWAYS_INLINE auto guessed_coefficients(const coefficients<T, Count>& of_row)
{
    auto result = in_all_lanes<B>(of_row);
    if constexpr (has_lift<Operation>) result.part[Operation::lift_coefficient] = B(T(1));
    return result;
}

/// The row's results, of what it kept.
template <class B, class Operation, class T, class Coefficients>
XSOFTMAX_ALWAYS_INLINE void write_guessed_row(const Operation& operation, const guessed_row<B, Operation>& row,
                                              const T* logits, std::size_t n, const Coefficients& row_coefficients)
{
    const auto kept = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        if constexpr (Operation::uses_exponentials)
            return row.kept(window);
        else
            return window.load_from(logits, -infinity<T>);
    };
    write_results<B>(operation.output, n, kept,
                     operation.template writer<B>(guessed_coefficients<B, Operation>(row_coefficients), row.maximum()));
}

/// A row of at least guess_elements whose logits are kept, at an ordinary temperature. write(row, coefficients) is for a row
/// whose results are known.
template <class Arch, bool Stores, class Operation, class T, class Write>
XSOFTMAX_ALWAYS_INLINE void two_sweeps(Operation& operation, const T* logits, std::size_t n, double temperature,
                                       bool prefetches, const Write& write)
{
    using B = xsimd::batch<T, Arch>;
    const auto scale = scale_for<B>::make(temperature, 1);
    const T guess = guess_at_maximum<B>(logits);
    if (!scale.is_near(guess)) [[unlikely]]
        return three_pass<Arch>(operation, logits, n, temperature);
    largest_trees<B> trees(n);
    T* to = nullptr;
    if constexpr (Stores) to = operation.output;
    guessed_row<B, Operation, Stores> row(operation, logits, to, guess, scale, trees, prefetches);
    row.sweep().row(n);
    row.add_up();
    if (!row.is_good()) [[unlikely]]
        return three_pass<Arch>(operation, logits, n, temperature);
    if constexpr (!Operation::writes)
        row.finish(n);
    else {
        const auto row_coefficients = row.finish(n);
        if (!row.keeps_digits(row_coefficients)) [[unlikely]]
            return three_pass<Arch>(operation, logits, n, temperature);
        write(row, row_coefficients);
        if (row.winner_is_one()) [[unlikely]]
            give_winner_one<B>(operation.output, n);
    }
    if constexpr (has_result_beside<Operation>) finish_beside<Arch>(operation, row.totals(), row.maximum());
    operation.complete();
}

template <class Arch, class Operation, class T>
XSOFTMAX_NEVER_INLINE void two_pass(Operation& operation, const T* logits, std::size_t n, double temperature,
                                    bool prefetches = false)
{
    two_sweeps<Arch, Operation::uses_exponentials>(
        operation, logits, n, temperature, prefetches,
        [&](const auto& row, const auto& row_coefficients) XSOFTMAX_INLINE_LAMBDA {
            write_guessed_row<xsimd::batch<T, Arch>>(operation, row, logits, n, row_coefficients);
        });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
