"""How sure a measured accuracy is. Used by whoever states one, so that all mean the same."""

import math
from collections.abc import Callable


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of a proportion, right of n (Wilson 1927); z of 1.96 makes it 95 %; (0, 1) where nothing was counted."""
    if n == 0:
        return (0.0, 1.0)
    share, spread = right / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return (max(0.0, middle - half), min(1.0, middle + half))


def paired(lost: int, won: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Interval of (lost - won) / n, a difference of two proportions measured on the same n samples (Tango 1998).

    `lost` samples only the first got right, `won` only the second; z of 1.96 makes it 95 %. It is the set of
    differences that the score test of matched pairs does not reject, so it has a width where lost and won are both 0;
    (-1, 1) where nothing was counted.
    """
    if n == 0:
        return (-1.0, 1.0)

    def score(difference: float) -> float:
        """(lost - won - n d) / sqrt(n (2 q + d (1 - d))), with q the likeliest share of `won` at that difference."""
        linear = -lost - won + (2 * n - lost + won) * difference
        root = math.sqrt(max(linear * linear + 8 * n * won * difference * (1 - difference), 0.0))
        variance = n * ((root - linear) / (2 * n) + difference * (1 - difference))
        excess = lost - won - n * difference
        return excess / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, excess) if excess else 0.0

    found = (lost - won) / n
    return (_crossing(score, -1.0, found, z), _crossing(score, found, 1.0, -z))


def _crossing(falling: Callable[[float], float], low: float, high: float, level: float) -> float:
    """Where a falling function crosses a level, by halving the range until doubles cannot."""
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2
