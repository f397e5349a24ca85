#pragma once

/// What is measured: an operation on operands of one shape, in memory that all contenders share.

#include "data.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace benchmarks {

/// To add one: a name here, a function in contenders/kernels.cpp, and whatever contenders have it.
enum class operation : std::size_t {
    softmax,
    log_softmax,
    log_sum_exp,
    cross_entropy,                   ///< with class indices
    cross_entropy_gradient,          ///< and its gradient
    cross_entropy_losses,            ///< a loss for each row
    cross_entropy_targets,           ///< with target probabilities
    cross_entropy_targets_gradient,  ///< and its gradient
    smoothed_gradient,               ///< cross_entropy_gradient with label smoothing
    weighted_smoothed_gradient,      ///< with label smoothing and class weights
    z_loss_gradient,                 ///< with z_loss
    softmax_backward,
    log_softmax_backward,
    causal_softmax,  ///< masked
    padded_softmax,  ///< masked by a length for each row
    kept_softmax,    ///< masked by a byte for each element
    biased_softmax,
    kept_log_softmax,
    kept_cross_entropy_gradient,  ///< over the kept classes
    exp_map                       ///< exponentials alone, the least that softmax has to do
};

inline constexpr std::array operation_names = {"softmax",
                                               "log_softmax",
                                               "log_sum_exp",
                                               "cross_entropy",
                                               "cross_entropy_gradient",
                                               "cross_entropy_losses",
                                               "cross_entropy_targets",
                                               "cross_entropy_targets_gradient",
                                               "smoothed_gradient",
                                               "weighted_smoothed_gradient",
                                               "z_loss_gradient",
                                               "softmax_backward",
                                               "log_softmax_backward",
                                               "causal_softmax",
                                               "padded_softmax",
                                               "kept_softmax",
                                               "biased_softmax",
                                               "kept_log_softmax",
                                               "kept_cross_entropy_gradient",
                                               "exp_map"};
inline constexpr std::size_t operation_count = operation_names.size();

constexpr bool is_backward(operation o)
{
    return o == operation::softmax_backward || o == operation::log_softmax_backward;
}

/// Does it read two arrays?
constexpr bool has_second_operand(operation o)
{
    return is_backward(o) || o == operation::cross_entropy_targets || o == operation::cross_entropy_targets_gradient ||
           o == operation::biased_softmax;
}

/// Does it leave elements out by a byte for each?
constexpr bool has_keep(operation o)
{
    return o == operation::kept_softmax || o == operation::kept_log_softmax ||
           o == operation::kept_cross_entropy_gradient;
}

inline const char* name_of(operation o) { return operation_names[static_cast<std::size_t>(o)]; }

/// An array of rows × columns × inner; the operation runs along the columns. One row is {1, n}.
struct shape {
    std::size_t rows = 1, columns = 1, inner = 1;

    std::size_t elements() const { return rows * columns * inner; }
    std::size_t row_count() const { return rows * inner; }
};

/// 1000 for a row of it, 64x1000 for 64 rows.
inline std::string name_of(const shape& s)
{
    const std::string columns = std::to_string(s.columns);
    if (s.inner != 1) return std::to_string(s.rows) + 'x' + columns + 'x' + std::to_string(s.inner);
    return s.rows == 1 ? columns : std::to_string(s.rows) + 'x' + columns;
}

template <class T>
constexpr const char* type_name = std::is_same_v<T, float> ? "float" : "double";

template <class T>
struct problem {
    benchmarks::operation operation;
    shape of;
    const T* first;               ///< logits, or the forward pass's result
    const T* second;              ///< target probabilities, the gradient by the forward pass's result, or a bias
    const std::int64_t* classes;  ///< one for each row; or the rows' lengths
    const T* weights;             ///< one for each class
    const unsigned char* keep;    ///< where bytes mask: seven of eight elements, and the rows' classes
    T* output;
    T* values;  ///< one for each row
};

/// The memory of a problem.
template <class T>
class operands {
public:
    operands(operation what, const shape& of) : what_(what), of_(of), first_(normal_logits<T>(of.elements()))
    {
        if (has_second_operand(what)) second_ = random_probabilities<T>(of.elements(), of.columns);
        if (is_backward(what)) replace_by_forward_pass(first_, of.columns, what == operation::log_softmax_backward);
        output_.resize(of.elements());
        values_.resize(of.row_count());
        for (std::size_t r = 0; r < of.row_count(); ++r)
            classes_.push_back(static_cast<std::int64_t>((of.columns / 2 + r * 37) % of.columns));
        if (what == operation::weighted_smoothed_gradient) weights_ = random_weights<T>(of.columns);
        if (has_keep(what)) {
            for (std::size_t i = 0; i < of.elements(); ++i) keep_.push_back(i % 8 != 5);
            // A target that is left out has an infinite loss.
            for (std::size_t r = 0; r < of.rows; ++r) keep_[r * of.columns + static_cast<std::size_t>(classes_[r])] = 1;
        }
    }

    problem<T> view()
    {
        return {what_,           of_,          first_.data(),  second_.data(), classes_.data(),
                weights_.data(), keep_.data(), output_.data(), values_.data()};
    }

    /// For other numbers than the made ones.
    aligned_vector<T>& first() { return first_; }
    const aligned_vector<T>& output() const { return output_; }
    const aligned_vector<T>& values() const { return values_; }
    const aligned_vector<T>& second() const { return second_; }
    const std::vector<std::int64_t>& classes() const { return classes_; }

private:
    operation what_;
    shape of_;
    aligned_vector<T> first_, second_, weights_, output_, values_;
    std::vector<std::int64_t> classes_;
    std::vector<unsigned char> keep_;
};

}  // namespace benchmarks
