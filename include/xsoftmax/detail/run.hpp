#pragma once

/// softmax, log_softmax and log_sum_exp of rows of any layout: what is made of their sums.

#include "../options.hpp"
#include "arguments.hpp"
#include "chunk.hpp"

#include <cmath>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

/// f(r) for each bit of a set.
template <class F>
void for_each_bit(std::uint64_t bits, const F& f)
{
    for (std::size_t r = 0; bits != 0; ++r, bits >>= 1)
        if ((bits & 1) != 0) f(r);
}

/// A number of a wide_numbers.
template <class T>
[[nodiscard]] auto number_of(const kernels::wide_numbers<T>& from, std::size_t r)
{
    if constexpr (sizeof(T) == 4)
        return from.part[0][r];
    else
        return kernels::double_double{from.part[0][r], from.part[1][r]};
}

/// Fully masked rows get `nothing`.
template <class T, bool IsRow>
void fill_masked(const chunk<T, IsRow>& part, T nothing)
{
    for_each_bit(part.masked,
                 [&](std::size_t r) { call<kernels::fill_entry<T>>(part.output.at(r), part.length, nothing); });
}

/// Softmax, or its logarithm.
template <bool Logarithms, class T, bool IsRow>
void run_softmax(chunk<T, IsRow>& part, T nothing)
{
    part.template sum<Logarithms>(!Logarithms);
    for_each_bit(part.sums.rare, [&](std::size_t r) {
        if (r < part.count)
            kernels::rare_softmax<T>(part.logits.at(r), part.logits.step, part.length, part.temperature,
                                     part.output.at(r), part.output.step, Logarithms);
    });
    if constexpr (Logarithms) {
        const kernels::split<T> inverse =
            kernels::split_into<T>(kernels::reciprocal(kernels::double_double{part.temperature, 0}));
        alignas(64) T minus_logarithm[kernels::rows_at_once];
        // A rare row among columns is NaN, and written with the others.
        for (std::size_t r = 0; r < part.count; ++r)
            minus_logarithm[r] = part.is_rare(r)
                                     ? kernels::not_a_number<T>
                                     : static_cast<T>(-kernels::to_double(number_of(part.sums.logarithm, r)));
        part.write(kernels::shifted_logits<T>{part.sums.maximum, minus_logarithm, inverse.high, inverse.low});
    }
    else
        part.write(kernels::scaled_exponentials<T>{part.sums.inverse_high, part.sums.inverse_low});
    if constexpr (!IsRow) fill_masked(part, nothing);
}

/// A contiguous row under no mask.
template <class T>
void set_row(chunk<T, true>& part, const operand<const T>& logits, T* output, double temperature)
{
    part.logits.first = logits.data;
    part.output.first = output;
    part.length = logits.extents[0];
    part.temperature = temperature;
    part.is_out_of_cache = part.length >= kernels::cache_regime::prefetched_row_bytes / sizeof(T);
}

template <bool Logarithms, class T>
void run_softmax_row(const char* function, const char* output_name, const operand<const T>& logits,
                     const operand<T>& output, const softmax_options& options)
{
    check_temperature(function, options.temperature);
    static_cast<void>(check_axis(function, options.axis, 1));
    check_extents(function, output_name, output, "logits", logits);
    const std::size_t n = logits.extents[0];
    check_row_same_or_apart(function, output_name, output, "logits", logits);
    if (n == 0) return;
    if (!kernels::is_ordinary<T>(options.temperature)) [[unlikely]]
        return kernels::rare_softmax<T>(logits.data, 1, n, options.temperature, output.data, 1, Logarithms);
    chunk<T, true> part;
    set_row(part, logits, output.data, options.temperature);
    run_softmax<Logarithms>(part, T(0));
}

/// Of each row at temperature 0, or an extreme one.
template <bool Logarithms, class T>
void run_rare_softmax(const operand<const T>& logits, const operand<T>& output, std::size_t axis, double temperature,
                      const row_masks<T>* masks, T nothing)
{
    const std::size_t n = logits.extents[axis];
    const elements<T> composed(masks != nullptr ? n : 0);
    for_each_row<T>(true, rows_along(axis, {&logits, &output}), data_of<T>(logits, output),
                    [&](const pointers<T>& row, std::size_t r) {
                        const T* x = row[0];
                        if (masks != nullptr) {
                            x = composed.data();
                            if (!masks->compose(r, row[0], composed.data()))
                                return call<kernels::fill_entry<T>>(row[1], n, nothing);
                        }
                        kernels::rare_softmax<T>(x, 1, n, temperature, row[1], 1, Logarithms);
                    });
}

/// The mask over the rows, if there is one.
template <class T>
[[nodiscard]] std::optional<row_masks<T>> masks_of(const char* function, const mask<T>* given,
                                                   const operand<const T>& logits, std::size_t axis)
{
    std::optional<row_masks<T>> masks;
    if (given != nullptr) masks.emplace(function, *given, logits, axis);
    return masks;
}

/// Causal masks and lengths leave the beginning of each row, as it is: nothing is composed.
template <bool Logarithms, class T>
void run_prefixes(executor_ref executor, const row_layout& layout, const pointers<T>& data, double temperature,
                  const row_masks<T>& masks, T nothing)
{
    const T left_out = Logarithms ? -kernels::infinity<T> : T(0);
    const std::size_t n = layout.length;
    in_shares(executor, layout, [&](rows_share share) {
        chunk<T> part;
        part.temperature = temperature;
        for_each_row<T>(
            true, layout, data,
            [&](const pointers<T>& row, std::size_t r) {
                const std::size_t kept = masks.prefix(r);
                if (std::all_of(row[0], row[0] + kept, [](const T& x) { return kernels::is_minus_infinity(x); }))
                    return call<kernels::fill_entry<T>>(row[1], n, nothing);
                part.logits.first = row[0];
                part.output.first = row[1];
                part.length = kept;
                part.count = 1;
                run_softmax<Logarithms>(part, nothing);
                // A row that is NaN is so to its end, however its mask is given.
                const bool is_nan = !(row[1][0] == row[1][0]);
                call<kernels::fill_entry<T>>(row[1] + kept, n - kept, is_nan ? kernels::not_a_number<T> : left_out);
            },
            share);
    });
}

/// Of all rows along an axis.
template <bool Logarithms, class T>
void run_softmax_batch(executor_ref executor, const char* function, const char* output_name,
                       const operand<const T>& logits, const operand<T>& output, const mask<T>* given_mask,
                       const softmax_options& options)
{
    check_temperature(function, options.temperature);
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    check_countable(function, "logits", logits);
    check_output(function, output_name, output, "logits", logits);
    const auto masks = masks_of(function, given_mask, logits, axis);
    T nothing = 0;
    if (masks) {
        masks->check_apart(output_name, output);
        masks->check_kept(rows_along(axis, {&logits}), data_of<T>(logits), [](std::size_t) { return false; });
        nothing = Logarithms ? masks->masked_log_probability() : masks->masked_probability();
    }
    const row_masks<T>* const of_rows = masks ? &*masks : nullptr;
    const auto along_axis = rows_along(axis, {&logits, &output});
    if (along_axis.length == 0 || along_axis.rows() == 0) return;
    if (!kernels::is_ordinary<T>(options.temperature)) [[unlikely]]
        return run_rare_softmax<Logarithms>(logits, output, axis, options.temperature, of_rows, nothing);
    const auto data = data_of<T>(logits, output);
    if (masks && masks->is_prefix())
        return run_prefixes<Logarithms>(executor, along_axis, data, options.temperature, *masks, nothing);
    const auto layout = masks ? along_axis : arranged(along_axis);
    in_shares(executor, layout, [&](rows_share share) {
        for_each_chunk<T>(layout, data, true, !Logarithms, of_rows, options.temperature, share,
                          [&](chunk<T>& part) { run_softmax<Logarithms>(part, nothing); });
    });
}

/// The sum of a row, as it is and of a view; its logarithm.
template <class T, bool IsRow>
[[nodiscard]] double log_sum_exp_of(const chunk<T, IsRow>& part, std::size_t r)
{
    if (part.is_rare(r))
        return kernels::rare_log_sum_exp<T>(part.logits.at(r), part.logits.step, part.length, part.temperature);
    const auto top = static_cast<double>(part.sums.maximum[r]);
    if constexpr (sizeof(T) == 4)
        return top / part.temperature + part.sums.logarithm.part[0][r];
    else
        return kernels::to_double(kernels::double_double{top, 0} / kernels::double_double{part.temperature, 0} +
                                  number_of(part.sums.logarithm, r));
}

/// log_sum_exp of all rows along an axis, to values[row].
template <class T>
void run_log_sum_exp(executor_ref executor, const char* function, const operand<const T>& logits, std::span<T> values,
                     const mask<T>* given_mask, const softmax_options& options)
{
    check_temperature(function, options.temperature);
    const std::size_t axis = check_axis(function, options.axis, logits.rank);
    check_countable(function, "logits", logits);
    const auto along_axis = rows_along(axis, {&logits});
    check_count(function, "values", values.size(), along_axis.rows(), "rows");
    const operand<T> list(values);
    check_apart(function, "values", list, "logits", logits);
    const auto masks = masks_of(function, given_mask, logits, axis);
    if (masks) {
        masks->check_apart("values", list);
        masks->check_kept(along_axis, data_of<T>(logits), [](std::size_t) { return false; });
    }
    if (along_axis.length == 0)
        return call<kernels::fill_entry<T>>(values.data(), values.size(), -kernels::infinity<T>);
    const T nothing =
        !masks || masks->fully_masked() != fully_masked::nan ? -kernels::infinity<T> : kernels::not_a_number<T>;
    const auto layout = masks ? along_axis : arranged(along_axis);
    const bool is_ordinary = kernels::is_ordinary<T>(options.temperature);
    in_shares(executor, layout, [&](rows_share share) {
        for_each_chunk<T>(layout, data_of<T>(logits), false, false, masks ? &*masks : nullptr, options.temperature,
                          share, [&](chunk<T>& part) {
                              if (is_ordinary)
                                  part.template sum<true>(false);
                              else
                                  part.sums.rare = ~std::uint64_t{0};
                              for (std::size_t r = 0; r < part.count; ++r)
                                  values[part.number(r)] =
                                      (part.masked >> r & 1) != 0 ? nothing : static_cast<T>(log_sum_exp_of(part, r));
                          });
    });
}

template <class T>
[[nodiscard]] T run_log_sum_exp_of_row(const operand<const T>& logits, const softmax_options& options)
{
    check_temperature("log_sum_exp", options.temperature);
    static_cast<void>(check_axis("log_sum_exp", options.axis, 1));
    if (logits.extents[0] == 0) return -kernels::infinity<T>;
    chunk<T, true> part;
    set_row<T>(part, logits, nullptr, options.temperature);
    if (kernels::is_ordinary<T>(options.temperature))
        part.template sum<true>(false);
    else
        part.sums.rare = 1;
    return static_cast<T>(log_sum_exp_of(part, 0));
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
