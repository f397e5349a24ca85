#pragma once

/// xsoftmax: softmax, log_softmax, log_sum_exp and softmax_cross_entropy, vectorised, with a bound on the error.

#include "cross_entropy.hpp"
#include "log_sum_exp.hpp"
#include "options.hpp"
#include "softmax.hpp"
