"""How sure a measured accuracy is. Used by whoever states one, so that all mean the same."""

import math


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a proportion, right of n (Wilson 1927); z of 1.96 makes it 95 %; (0, 1) where nothing was counted."""
    if n == 0:
        return (0.0, 1.0)
    share, spread = right / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return (max(0.0, middle - half), min(1.0, middle + half))
