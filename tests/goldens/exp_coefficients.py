#!/usr/bin/env python3
"""The polynomials of kernels/activation.hpp: expm1(r) = r + r^2 q(r) for |r| <= ln(2) / 2.

Prints the coefficients of q, lowest power first, by interpolation at Chebyshev's points in 60 digits,
and the largest relative error of 1 + r + r^2 q(r) against exp(r). Needs python3-mpmath.
"""
import mpmath as mp

mp.mp.dps = 60
EDGE = mp.log(2) / 2 * mp.mpf("1.0001")  # the reduced argument may round past ln(2) / 2


def q(r):
    return (mp.expm1(r) - r) / r**2 if abs(r) > mp.mpf("1e-15") else mp.mpf(1) / 2 + r / 6


def coefficients(degree):
    points = [EDGE * mp.cos(mp.pi * (2 * k + 1) / (2 * degree + 2)) for k in range(degree + 1)]
    matrix = mp.matrix([[p**j for j in range(degree + 1)] for p in points])
    return list(mp.lu_solve(matrix, mp.matrix([q(p) for p in points])))


def largest_error(c, steps=4000):
    worst = mp.mpf(0)
    for i in range(steps + 1):
        r = EDGE * (2 * mp.mpf(i) / steps - 1)
        near = 1 + r + r**2 * mp.polyval(c[::-1], r)
        worst = max(worst, abs(near / mp.exp(r) - 1))
    return worst


for name, degree in (("fast, float", 2), ("accurate, float", 4), ("accurate, double", 9)):
    c = coefficients(degree)
    print(f"{name}: relative error {mp.nstr(largest_error(c), 3)}")
    for value in c:
        print("   ", mp.nstr(value, 20))
