#!/usr/bin/env python3
"""The polynomials of kernels/activation.hpp: expm1(r) = r + r^2 q(r) for |r| <= ln(2) / 2.

Prints the coefficients of q, lowest power first, and the largest relative error of 1 + r + r^2 q(r)
against exp(r). They interpolate at Chebyshev's points, in 60 digits; those of "accurate exp, float",
where one term fewer must do, make that error as small as it can be (by Lawson's iteration: least
squares whose weights grow where the error is large). Needs python3-mpmath and python3-numpy.
"""
import mpmath as mp
import numpy as np

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


def least_error(degree, rounds=3000):
    r = float(EDGE) * np.cos(np.pi * (np.arange(4001) + 0.5) / 4001)
    r = r[np.abs(r) > 1e-4]
    powers = np.stack([r**j for j in range(degree + 1)], 1)
    values = np.array([float(q(mp.mpf(p))) for p in r])
    scale, weight = r**2 / np.exp(r), np.ones_like(r)
    best = None
    for _ in range(rounds):
        w = np.sqrt(weight) * scale
        c = np.linalg.lstsq(powers * w[:, None], values * w, rcond=None)[0]
        error = np.abs((powers @ c - values) * scale)
        if best is None or error.max() < best[0]:
            best = error.max(), c
        weight *= error + 1e-12
        weight /= weight.sum()
    return [mp.mpf(float(value)) for value in best[1]]


for name, c in (("fast, float", coefficients(2)), ("accurate exp, float", least_error(3)),
                ("accurate expm1, float", coefficients(4)), ("accurate, double", coefficients(9))):
    print(f"{name}: relative error {mp.nstr(largest_error(c), 3)}")
    for value in c:
        print("   ", mp.nstr(value, 20))
