"""The few statistics that comparing needs: is a rate different, is a distribution shifted. Pure, no library."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def rate_change(count: int, expected: float, dispersion: float = 1.0) -> float:
    """How many standard deviations a count is from what the baseline's rate leads to expect.

    `dispersion`: variance over mean of the baseline's counts (1 for a Poisson process). Uses the variance-stabilised
    difference of square roots, which holds for small counts too.
    """
    return 2.0 * (math.sqrt(count + 0.375) - math.sqrt(expected + 0.375)) / math.sqrt(max(1.0, dispersion))


def dispersion(bins: Sequence[int]) -> float:
    """Variance over mean of counts in equal stretches of time; at least 1."""
    if len(bins) < 4:
        return 1.0
    mean = sum(bins) / len(bins)
    if mean <= 0:
        return 1.0
    return max(1.0, sum((x - mean) ** 2 for x in bins) / (len(bins) - 1) / mean)


def rank_shift(a: Sequence[float], b: Sequence[float]) -> float:
    """Mann-Whitney: how surely values of `a` are larger (positive) or smaller than those of `b`, in deviations."""
    n, m = len(a), len(b)
    if n < 8 or m < 8:
        return 0.0
    pairs = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
    ranks_a = ties = 0.0
    at = 0
    while at < len(pairs):
        end = at
        while end < len(pairs) and pairs[end][0] == pairs[at][0]:
            end += 1
        rank = (at + end + 1) / 2
        ranks_a += rank * sum(1 for _, which in pairs[at:end] if which == 0)
        ties += (end - at) ** 3 - (end - at)
        at = end
    total = n + m
    variance = n * m / 12 * ((total + 1) - ties / (total * (total - 1)))
    if variance <= 0:
        return 0.0
    return (ranks_a - n * (n + 1) / 2 - n * m / 2) / math.sqrt(variance)


def is_counter(values: Sequence[float]) -> bool:
    """Do values mostly grow (or fall) along their order, as sequence numbers and clocks do?"""
    steps = [b - a for a, b in itertools.pairwise(values) if b != a]
    if len(steps) < 6:
        return False
    up = sum(1 for step in steps if step > 0)
    return up >= 0.85 * len(steps) or up <= 0.15 * len(steps)


def quantile(values: Sequence[float], share: float) -> float:
    """By linear interpolation; `values` need no order."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
