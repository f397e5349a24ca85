#pragma once

/// The error, in units in the last place, that the tests' rows are held to. The functions state one more, since rows can be made
/// up in which all roundings of a sum add up.

#include <xsoftmax/xsoftmax.hpp>

#include <string_view>

/// Of the architecture that runs, which is not that of a test's flags where the library looks for the processor's.
template <class T>
double error_bound(std::string_view function)
{
    const std::string_view architecture = xsoftmax::architecture();
    const bool is_best = architecture == "avx512" || architecture == "avx2";
    if (function == "cross_entropy, targets, grad.") return is_best ? 3 : 4;
    if (function == "softmax" || function == "cross_entropy gradient") return 3;
    return is_best && sizeof(T) == 4 ? 2 : 3;
}
