"""Recomputes the polynomial coefficients, the tables and the constants of the exponential function.

    2^(r/steps) ~= 1 + c0 + r*(c1 + r*(c2 + r*(c3 + ...)))   for |r| <= 1.002/2

The coefficients are minimax in the relative error. With 1 step they stand alone; those called natural are by powers of
r*ln(2), of which the first is 1, so that without fused multiply-add an argument is reduced by a product less. With 4, 8 or
16, they go with a table of 2^(j/steps), rounded, and of what rounding took from each, as a part of it. To the latter c0 can
be added, so that it costs nothing; it is 0 but with 8 steps, where it takes a quarter of the error. Further constants are
log2(e) and ln(2), each as an unevaluated sum of two doubles.

Method: Remez's exchange algorithm (1934) in decimal arithmetic of 60 digits. Rounding every coefficient of the result
by itself would multiply the error, so they are rounded by successive refits: the first is rounded, the others are fitted
again with it, then the second is rounded, and so on (the idea of Brisebarre & Chevillard, "Efficient polynomial L-infinity
approximations", ARITH 2007). Last, c1, c2 and c3 may be moved by a unit in the last place, if that helps: for floats with 1
step, judged by the largest error of a simulated evaluation by Horner's rule with fused multiply-add; elsewhere, by the largest
relative error of the polynomial itself. These moves are recorded in FORMATS; --search finds them again.

    exp2_coefficients.py                 prints coefficients, constants and errors
    exp2_coefficients.py --check HEADER  exits 1 unless the header has each of them as a hexadecimal literal
    exp2_coefficients.py --search        tries all moves; exits 1 unless the recorded ones are the best
"""

import argparse
import itertools
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, getcontext
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

getcontext().prec = 60

LN2 = Decimal(2).ln()
HALF_WIDTH = Decimal("0.501")  # 1/2 with slack, as the reduction need not choose the nearest integer
GRID_POINTS = 400  # even, so that 0 is not among them
SIMULATED_STEPS = 20000


@dataclass(frozen=True)
class Format:
    name: str
    bits: int  # of the significand
    suffix: str  # of C++ literals
    steps: int  # of the table to an octave
    degree: int
    is_natural: bool  # are the coefficients by powers of r*ln2, of which e is the base?
    has_constant: bool  # c0, or is it 0?
    moves: tuple[int, ...]  # of c1, c2, c3, in units in the last place, as --search finds them


FORMATS = (
    Format("float", 24, "f", 1, 6, False, False, (0, 0, 0)),
    Format("float", 24, "f", 1, 6, True, False, (0, 0, 0)),
    Format("float", 24, "f", 8, 3, False, True, (0, 1, -1)),
    Format("float", 24, "f", 16, 3, False, False, (0, 0, 0)),
    Format("double", 53, "", 1, 11, False, False, (0, 0, 0)),
    Format("double", 53, "", 1, 11, True, False, (0, 0, 0)),
    Format("double", 53, "", 4, 8, False, False, (0, 0, 0)),
    Format("double", 53, "", 16, 7, False, False, (0, 0, -1)),
)
TABLE_STEPS = 16  # a table of fewer steps is a part of it

Coefficients = tuple[Decimal, ...]  # c0, c1, c2, ...


# Rounding


def exponent_of(x: Fraction) -> int:
    """floor(log2 |x|)."""
    e = abs(x.numerator).bit_length() - x.denominator.bit_length()
    return e if abs(x) >= Fraction(2) ** e else e - 1


def round_to_bits(x: Fraction, bits: int) -> Fraction:
    """x rounded to nearest even. No result here comes near overflow or underflow."""
    if x == 0:
        return x
    scale = Fraction(2) ** (bits - 1 - exponent_of(x))
    return round(x * scale) / scale


def round_coefficient(c: Decimal, bits: int, move: int) -> Decimal:
    rounded = round_to_bits(Fraction(c), bits)
    ulp = Fraction(2) ** (exponent_of(rounded) + 1 - bits)
    return Decimal(float(rounded + move * ulp))  # exact: no format here is wider than double


# Minimax approximation


@lru_cache(maxsize=None)
def exp2(x: Decimal) -> Decimal:
    return (x * LN2).exp()


def horner(coefficients: Sequence[Decimal], x: Decimal) -> Decimal:
    y = Decimal(0)
    for c in reversed(coefficients):
        y = y * x + c
    return y


def relative_error(coefficients: Coefficients, x: Decimal) -> Decimal:
    return (1 + horner(coefficients, x)) / exp2(x) - 1


def alternating_error(coefficients: Coefficients, x: Decimal, odd: bool) -> Decimal:
    """The relative error with the sign that alternates in a best approximation: see fit."""
    error = relative_error(coefficients, x)
    return -error if odd and x < 0 else error


def derivative(polynomial: Sequence[Decimal]) -> list[Decimal]:
    return [k * c for k, c in enumerate(polynomial)][1:]


def nearby_extremum(coefficients: Coefficients, x: Decimal, low: Decimal, high: Decimal) -> Decimal:
    """A point of [low, high] where the relative error p(x)/2^x - 1 is stationary, or else an end of the interval.

    There p' - ln2*p is 0: Newton's method needs polynomials only.
    """
    p = [1 + coefficients[0], *coefficients[1:]]
    slope = [d - LN2 * c for d, c in zip([*derivative(p), Decimal(0)], p)]
    curvature = derivative(slope)
    for _ in range(8):
        bend = horner(curvature, x)
        if bend == 0:
            break
        x = min(max(x - horner(slope, x) / bend, low), high)
    return x


def grid(steps: int) -> list[Decimal]:
    return [HALF_WIDTH / steps * (2 * i + 1 - GRID_POINTS) / (GRID_POINTS - 1) for i in range(GRID_POINTS)]


def extrema(coefficients: Coefficients, points: Sequence[Decimal], odd: bool) -> list[Decimal]:
    """For each run of points where the alternating error has one sign, the place of its largest absolute value."""
    errors = [alternating_error(coefficients, x, odd) for x in points]
    result = []
    for positive, run in itertools.groupby(range(len(points)), key=lambda i: errors[i] > 0):
        best = max(run, key=lambda i: abs(errors[i]))
        low, high = points[max(best - 1, 0)], points[min(best + 1, len(points) - 1)]
        # Newton's method may have gone elsewhere, even to the other sign.
        candidates = (points[best], nearby_extremum(coefficients, points[best], low, high))
        sign = 1 if positive else -1
        result.append(max(candidates, key=lambda x: sign * alternating_error(coefficients, x, odd)))
    return result


def choose_reference(coefficients: Coefficients, points: Sequence[Decimal], count: int) -> list[Decimal]:
    """Drops the points with the smallest errors until `count` are left, so that signs still alternate."""
    kept = [(abs(relative_error(coefficients, x)), x) for x in points]
    while len(kept) > count:
        smallest = kept.index(min(kept))
        if smallest in (0, len(kept) - 1):
            del kept[smallest]
        elif len(kept) == count + 1:
            kept.remove(min(kept[0], kept[-1]))
        else:  # its neighbours have the same sign: one of them goes, too
            kept.remove(min(kept[smallest - 1], kept[smallest + 1]))
            kept.remove(min(kept))
    return [x for _, x in kept]


def solve(rows: list[list[Decimal]]) -> list[Decimal]:
    """Gaussian elimination; each row ends with its right-hand side."""
    n = len(rows)
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k])]
    x = [Decimal(0)] * n
    for k in reversed(range(n)):
        x[k] = (rows[k][n] - sum(rows[k][j] * x[j] for j in range(k + 1, n))) / rows[k][k]
    return x


@lru_cache(maxsize=None)
def fit(degree: int, steps: int, fixed: Coefficients) -> Coefficients:
    """The coefficients of the smallest maximal relative error among those that begin with `fixed`, by powers of r/steps.

    The free part of the polynomial is x^first * q(x). Divided by x^first, this is the approximation by q with the
    weight |x|^first / 2^x, so the error divided by x^first is what alternates: for odd `first`, the sign of x enters.
    """
    first = len(fixed)
    odd = first % 2 == 1
    count = degree - len(fixed) + 2  # of reference points: one more than of free coefficients
    # Chebyshev nodes, but shifted, as a reference must not contain 0, where all polynomials of the same c0 agree.
    nodes = sorted(math.cos(math.pi * (i + 0.25) / count) for i in range(count))
    reference = [HALF_WIDTH / steps * Decimal(node) for node in nodes]
    for _ in range(50):
        rows = []
        for i, x in enumerate(reference):
            sign = -1 if (i % 2 == 1) != (odd and x < 0) else 1
            powers = [x**k for k in range(first, degree + 1)]
            known = 1 + horner(fixed, x)
            rows.append([*powers, sign * exp2(x), exp2(x) - known])
        *free, level = solve(rows)
        coefficients = (*fixed, *free)
        # With the reference among the points, there are never too few alternations.
        points = sorted({*grid(steps), *reference})
        reference = choose_reference(coefficients, extrema(coefficients, points, odd), count)
        largest = max(abs(relative_error(coefficients, x)) for x in reference)
        if largest <= abs(level) * (1 + Decimal("1e-15")):
            return coefficients
    raise ArithmeticError(f"Remez's algorithm does not converge: degree {degree}, {len(fixed)} coefficients fixed")


def given(f: Format) -> Coefficients:
    """The coefficients that are not fitted."""
    return () if f.has_constant else (Decimal(0),)


def unit_of_argument(f: Format) -> Decimal:
    return LN2 if f.is_natural else Decimal(1)


def rounded_fit(f: Format, moves: tuple[int, ...]) -> Coefficients:
    fixed = given(f)
    while len(fixed) <= f.degree:
        k = len(fixed)
        move = moves[k - 1] if 1 <= k <= len(moves) else 0
        unit = unit_of_argument(f) ** k
        fixed = (*fixed, round_coefficient(fit(f.degree, f.steps, fixed)[k] / unit, f.bits, move) * unit)
    return fixed


# Errors


def largest_relative_error(coefficients: Coefficients, steps: int) -> Decimal:
    return max(abs(relative_error(coefficients, x)) for x in extrema(coefficients, grid(steps), odd=False))


def arguments(f: Format) -> list[Fraction]:
    """Evenly spaced in [-1/2, 1/2]/steps, rounded to the format: most have a full significand.

    A sample: the largest error over all arguments is somewhat larger than over these.
    """
    evenly = (Fraction(i, SIMULATED_STEPS) - Fraction(1, 2) for i in range(SIMULATED_STEPS + 1))
    return [round_to_bits(x / f.steps, f.bits) for x in evenly]


def simulated_error(coefficients: Sequence[Fraction], r: Fraction, bits: int) -> float:
    """|error| of Horner's rule with fused multiply-add, in units in the last place of the exact 2^r."""
    y = coefficients[-1]
    for c in (*reversed(coefficients[1:-1]), 1 + coefficients[0]):
        y = round_to_bits(y * r + c, bits)
    ulps_per_unit = 2**bits if r < 0 else 2 ** (bits - 1)  # 2^r is in [1/2, 1) or in [1, 2)
    exact = exp2(Decimal(r.numerator) / r.denominator)
    return float(abs(Decimal(y.numerator) / y.denominator - exact) * ulps_per_unit)


def largest_simulated_error(f: Format, coefficients: Coefficients, points: list[Fraction], bound: float) -> float:
    """Stops at the first error above `bound`, and moves its argument to the front: the next candidate is likely to fail
    there, too."""
    exact = [Fraction(c) for c in coefficients]
    largest = 0.0
    for i, r in enumerate(points):
        largest = max(largest, simulated_error(exact, r, f.bits))
        if largest > bound:
            points.insert(0, points.pop(i))
            break
    return largest


# What to do


def objective(f: Format) -> Callable[[Coefficients, float], float]:
    """What the search minimises, as a function of coefficients and of a bound above which it need not be exact."""
    if f.name == "float" and f.steps == 1 and not f.is_natural:
        points = arguments(f)
        return lambda coefficients, bound: largest_simulated_error(f, coefficients, points, bound)
    # A double's rounding errors outweigh its polynomial's: samples would only fit the noise.
    return lambda coefficients, _: float(largest_relative_error(coefficients, f.steps))


def search(f: Format) -> tuple[int, ...]:
    cost = objective(f)
    best_moves, best = (0, 0, 0), cost(rounded_fit(f, (0, 0, 0)), math.inf)
    for moves in itertools.product((-1, 0, 1), repeat=3):
        found = cost(rounded_fit(f, moves), best)
        if found < best:
            best_moves, best = moves, found
    return best_moves


def two_doubles(x: Decimal) -> tuple[Decimal, Decimal]:
    high = round_coefficient(x, 53, 0)
    return high, round_coefficient(x - high, 53, 0)


def constants() -> dict[str, Decimal]:
    result = {}
    for name, value in (("log2(e)", 1 / LN2), ("ln(2)", LN2)):
        result[f"{name} high"], result[f"{name} low"] = two_doubles(value)
    return result


def literal(x: Decimal, suffix: str) -> str:
    if x == 0:
        return "0x0p+0" + suffix
    significand, exponent = float(x).hex().split("p")
    return significand.rstrip("0").rstrip(".") + "p" + exponent + suffix


def by_powers_of_r(f: Format) -> list[Decimal]:
    """The coefficients as the header has them: by powers of r rather than of r/steps, or of r*ln2 if they are natural."""
    # Of 60 digits, the last are rounded away.
    return [
        Decimal(float(c / (f.steps * unit_of_argument(f)) ** k)) for k, c in enumerate(rounded_fit(f, f.moves))
    ]


def table(f: Format) -> list[tuple[Decimal, Decimal]]:
    """2^(j/TABLE_STEPS), rounded, and what rounding took from it, relative to the rounded."""
    result = []
    for j in range(TABLE_STEPS):
        exact = exp2(Decimal(j) / TABLE_STEPS)
        rounded = round_coefficient(exact, f.bits, 0)
        result.append((rounded, round_coefficient(exact / rounded - 1, f.bits, 0) if j else Decimal(0)))
    return result


def label(f: Format) -> str:
    return f"{f.name}, {f.steps} steps" + (", natural" if f.is_natural else "")


def print_table() -> None:
    for f in FORMATS:
        coefficients = rounded_fit(f, f.moves)
        print(f"{label(f)}, degree {f.degree}:")
        for k, c in enumerate(by_powers_of_r(f)):
            print(f"  c{k:<2} {literal(c, f.suffix)}")
        unit = Decimal(2) ** f.bits
        unrounded = largest_relative_error(fit(f.degree, f.steps, given(f)), f.steps)
        print(f"  relative error {largest_relative_error(coefficients, f.steps) * unit:.5f} * 2^-{f.bits}", end="")
        print(f" ({unrounded * unit:.5f} before rounding)")
        if f.steps == 1 and not f.is_natural:
            simulated = largest_simulated_error(f, coefficients, arguments(f), math.inf)
            print(f"  evaluated with fused multiply-add: {simulated:.5f} ULP at {SIMULATED_STEPS + 1} points")
        if f.steps == TABLE_STEPS:
            for rounded, residual in table(f):
                print(f"  {literal(rounded, f.suffix):<24} {literal(residual, f.suffix)}")
    print("constants:")
    for name, value in constants().items():
        print(f"  {name:<12} {literal(value, '')}")


def hexadecimal_literals(source: str) -> set[float]:
    code = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)  # a literal in a comment computes nothing
    pattern = r"(?<![\w.])(-?0[xX][0-9a-fA-F'.]+[pP][+-]?[0-9]+)[fFlL]?(?![\w.])"
    return {float.fromhex(found.replace("'", "")) for found in re.findall(pattern, code)}


def check(header: Path) -> int:
    try:
        present = hexadecimal_literals(header.read_text(encoding="utf-8"))
    except (OSError, ValueError, OverflowError) as error:
        print(f"{header}: {error}", file=sys.stderr)
        return 1
    expected = {name: literal(value, "") for name, value in constants().items()}
    for f in FORMATS:
        for k, c in enumerate(by_powers_of_r(f)):
            if c == 0:
                continue
            expected[f"{label(f)}, c{k}"] = literal(c, f.suffix)
        if f.steps == TABLE_STEPS:
            for j, (rounded, residual) in enumerate(table(f)):
                expected[f"{f.name}, table[{j}]"] = literal(rounded, f.suffix)
                expected[f"{f.name}, residual[{j}]"] = literal(residual, f.suffix)
    missing = {name: text for name, text in expected.items() if float.fromhex(text.rstrip("f")) not in present}
    for name, text in missing.items():
        print(f"{header}: {name} is missing: {text}", file=sys.stderr)
    if not missing:
        print(f"{header}: all {len(expected)} coefficients and constants are as computed")
    return 1 if missing else 0


def confirm_moves() -> int:
    status = 0
    for f in FORMATS:
        best = search(f)
        print(f"{label(f)}: best moves of c1, c2, c3: {best}, recorded: {f.moves}")
        if best != f.moves:
            status = 1
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description="Coefficients and constants of the exponential function.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", metavar="HEADER", type=Path, help="compare with the literals of a header")
    mode.add_argument("--search", action="store_true", help="confirm the recorded moves of coefficients")
    options = parser.parse_args()
    if options.check:
        return check(options.check)
    if options.search:
        return confirm_moves()
    print_table()
    return 0


if __name__ == "__main__":
    sys.exit(main())
