#!/usr/bin/env python3
"""The polynomials of kernels/gelu.hpp: (1 + c a) R(a) = p(t), t = (a - k) / (a + k), where

    R(a) = exp(a^2 / 2) Q(a),  Q(a) = 1 - Phi(a), the upper tail of the standard normal distribution

for a from 0 to infinity, so t from -1 to 1. Prints the coefficients of p, lowest power first, and
the largest relative error of R. They interpolate at Chebyshev's points, in 60 digits. Source of the
form: Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x <
infinity", Mathematics of Computation 36 (1981). Needs python3-mpmath.
"""
import mpmath as mp

mp.mp.dps = 60
C = mp.mpf("0.8")
K = mp.mpf(4)


def scaled_tail(a):
    if a > 80:  # its asymptotic series
        terms, term = mp.mpf(0), mp.mpf(1)
        for n in range(1, 40):
            terms += term
            term *= -(2 * n - 1) / a**2
        return terms / a / mp.sqrt(2 * mp.pi)
    return mp.exp(a**2 / 2) * mp.erfc(a / mp.sqrt(2)) / 2


def p(t):
    if abs(t - 1) < mp.mpf("1e-30"):
        return C / mp.sqrt(2 * mp.pi)
    a = K * (1 + t) / (1 - t)
    return (1 + C * a) * scaled_tail(a)


def coefficients(degree):
    points = [mp.cos(mp.pi * (2 * k + 1) / (2 * degree + 2)) for k in range(degree + 1)]
    matrix = mp.matrix([[q**j for j in range(degree + 1)] for q in points])
    return list(mp.lu_solve(matrix, mp.matrix([p(q) for q in points])))


def largest_error(c, steps=600):
    worst = mp.mpf(0)
    for i in range(steps + 1):
        t = 2 * mp.mpf(i) / steps - 1
        worst = max(worst, abs(mp.polyval(c[::-1], t) / p(t) - 1))
    return worst


if __name__ == "__main__":
    for name, degree in (("float", 11), ("double", 23)):
        c = coefficients(degree)
        print(f"{name}: relative error {mp.nstr(largest_error(c), 3)}")
        for value in c:
            print("   ", mp.nstr(value, 20 if name == "double" else 9))
