#pragma once

/// xsoftmax: softmax, log_softmax, log_sum_exp, cross-entropy and their backward passes, of rows and along any axis,
/// vectorised, with a bound on the error.

#include "architecture.hpp"
#include "backward.hpp"
#include "cross_entropy.hpp"
#include "error.hpp"
#include "executor.hpp"
#include "log_sum_exp.hpp"
#include "mask.hpp"
#include "masked.hpp"
#include "options.hpp"
#include "softmax.hpp"
#include "version.hpp"
#include "views.hpp"
