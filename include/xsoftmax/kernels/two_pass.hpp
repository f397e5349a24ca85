#pragma once

/// Rows relative to a guess at their maximum: the exponentials, their sum and the maximum in one sweep, the results in
/// another. For operations that take any reference near the maximum (any_reference).
///
/// The guess is the largest of the first elements. References are powers of two, so it changes no bit of the results; where
/// it was too far off, which is known when the sweep has seen all, the row is done again relative to its maximum. So the
/// logits must still be there: not in place.

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

/// A row between its sweeps.
template <class B, class Operation>
class guessed_row {
    using T = value_of<B>;
    using sweep_type = exponential_sweep<B, true, true, Operation, T, near_maximum<B>>;

public:
    XSOFTMAX_ALWAYS_INLINE guessed_row(const Operation& operation, const T* logits, T* to, T guess,
                                       const scale_for<B>& scale, largest_trees<B>& trees)
        : operation_(operation),
          guess_(guess),
          trees_(trees),
          sweep_(operation, logits, to, near_maximum<B>(guess, scale), &trees)
    {
    }

    XSOFTMAX_ALWAYS_INLINE auto& sweep() { return sweep_; }

    /// Adds up what has been swept.
    XSOFTMAX_ALWAYS_INLINE void add_up()
    {
        totals_ = sweep_.totals();
        top_ = sweep_.top();
    }

    XSOFTMAX_ALWAYS_INLINE bool is_good() const { return reference().scale().is_good_guess(guess_, top_); }

    /// The sum's reciprocal. `Asks` is as for mend().
    template <bool Asks = true>
    XSOFTMAX_ALWAYS_INLINE coefficients<T, 2> finish()
    {
        exceeds_one_ = mend<B, Asks>(totals_, top_, reference(), trees_, sweep_.exponentials());
        return operation_.template finish<T>(totals_, reference());
    }

    /// After finish(): may a result be above 1?
    XSOFTMAX_ALWAYS_INLINE bool exceeds_one() const { return exceeds_one_; }

    template <class Window>
    XSOFTMAX_ALWAYS_INLINE B kept(Window window) const
    {
        return sweep_.kept(window);
    }

    XSOFTMAX_ALWAYS_INLINE B end() const { return sweep_.end(); }
    XSOFTMAX_ALWAYS_INLINE const near_maximum<B>& reference() const { return sweep_.reference(); }

private:
    const Operation& operation_;
    T guess_;
    T top_ = 0;
    const largest_trees<B>& trees_;
    sweep_type sweep_;
    row_totals<T, 1> totals_;
    bool exceeds_one_ = false;
};

/// A row of at least guess_elements, not in place, at an ordinary temperature.
template <class Arch, class Operation, class T>
XSOFTMAX_NEVER_INLINE void two_pass(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const auto scale = scale_for<B>::make(temperature, 1);
    const T guess = guess_at_maximum<B>(logits);
    if (!scale.is_near(guess)) [[unlikely]]
        return three_pass<Arch>(operation, logits, n, temperature);
    largest_trees<B> trees(n);
    guessed_row<B, Operation> row(operation, logits, operation.output, guess, scale, trees);
    row.sweep().row(n);
    row.add_up();
    if (!row.is_good()) [[unlikely]]
        return three_pass<Arch>(operation, logits, n, temperature);
    const auto row_coefficients = row.finish();
    write_results<B>(
        operation.output, n, [&](auto window) XSOFTMAX_INLINE_LAMBDA { return row.kept(window); },
        operation.template writer<B>(in_all_lanes<B>(row_coefficients), row.reference()));
    if (row.exceeds_one()) [[unlikely]]
        bound_by_one<B>(operation.output, n);
    operation.complete();
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
