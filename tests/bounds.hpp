#pragma once

/// The error, in units in the last place, that every function but the backward passes promises, and that every row is held to.

inline constexpr double error_bound = 4;
