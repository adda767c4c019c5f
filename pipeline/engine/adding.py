"""What a step adds: for every group of spikes the sum of their rows of weights, to every pixel that it reaches.

What was tried beside it: the addresses of all rows of a stage computed in one go beforehand (no gain), computed inside
the sums (slower: every sum then waits for its own addresses), and treating a single spike like a group (slower).
"""

from ..kernel_cache import kernel
from .layout import AXIS, COUNT, FIRST, GROUP, LAST, ROWS_EXACT, WEIGHT, X, Y
from .rows import add_lanes, add_patch, sum_rows


@kernel
def add(edge, source, stage, n_groups, pointers):
    """v[q, out] += times * weight[in, tap, out] for each spike and each (pixel q, tap) it reaches. Returns how many."""
    axes, groups, spikes, channel_of = pointers.axes, pointers.groups, pointers.spikes, pointers.channel_of
    # What the loops need is taken out of the records first: a store to v could, for all LLVM knows, change them.
    base, out, lanes = stage["first_neuron"] + edge["first_out"], edge["out_per_group"], edge["lanes"]
    first_weight, channel_step, in_per_group = edge["first_weight"], edge["channel_step"], edge["in_per_group"]
    rows, columns, grouped = edge["rows"], edge["columns"], edge["groups"] > 1
    first, first_constant = source["first_group"], source["first_constant"]
    added = 0
    for g in range(first, first + n_groups):
        row, column = AXIS * (rows + groups[GROUP * g + Y]), AXIS * (columns + groups[GROUP * g + X])
        a0, a1, b0, b1 = axes[row], axes[row + LAST], axes[column], axes[column + LAST]
        taps = (a1 - a0) * (b1 - b0)
        if taps == 0:
            continue
        start, n, weight = groups[GROUP * g + FIRST], groups[GROUP * g + COUNT], groups[GROUP * g + WEIGHT]
        if n > 1 and not grouped:
            if weight == 0:
                _add_group(edge, first_constant, start, n, base, a0, a1, b0, b1, pointers)
            else:
                _add_counts(edge, first_constant, start, n, weight, base, a0, a1, b0, b1, pointers)
            added += (n if weight == 0 else weight) * taps * out
            continue
        for i in range(start, start + n):
            channel, times = channel_of[first_constant + spikes[2 * i]], spikes[2 * i + 1]
            from_row = first_weight + channel * channel_step
            to = base + (channel // in_per_group * out if grouped else 0)
            if times == 1:
                add_patch(pointers.v, to, pointers.weights, from_row, pointers.reach, a0, a1, b0, b1, lanes)
            else:
                _add_often(times, to, from_row, a0, a1, b0, b1, lanes, pointers)
            added += abs(times) * taps * out
    return added


@kernel
def _add_often(times, to, from_row, a0, a1, b0, b1, lanes, pointers):
    """The same for one spike that counts several times, or less than nothing."""
    v, weights, reach = pointers.v, pointers.weights, pointers.reach
    for a in range(a0, a1):
        for b in range(b0, b1):
            q, tap = to + reach[2 * a] + reach[2 * b], from_row + reach[2 * a + 1] + reach[2 * b + 1]
            for c in range(lanes):
                v[q + c] += times * weights[tap + c]


@kernel(forceinline=True)
def _add_group(edge, first_constant, start, n, base, a0, a1, b0, b1, pointers):
    """The same for several spikes of one cell: their rows are summed first, then added once."""
    rows, channel_of, spikes = pointers.rows, pointers.channel_of, pointers.spikes
    first_weight, channel_step = edge["first_weight"], edge["channel_step"]
    for i in range(n):
        rows[i] = first_weight + channel_of[first_constant + spikes[2 * (start + i)]] * channel_step
    for i in range(0, n, ROWS_EXACT):
        _add_rows(i, min(n - i, ROWS_EXACT), None, edge, base, a0, a1, b0, b1, pointers)


@kernel
def _add_counts(edge, first_constant, start, n, weight, base, a0, a1, b0, b1, pointers):
    """The same for spikes that count several times, or less than nothing; weight: the sum of their sizes."""
    rows, times, channel_of, spikes = pointers.rows, pointers.times, pointers.channel_of, pointers.spikes
    first_weight, channel_step = edge["first_weight"], edge["channel_step"]
    m, room = 0, ROWS_EXACT
    for i in range(start, start + n):
        row, count = first_weight + channel_of[first_constant + spikes[2 * i]] * channel_step, spikes[2 * i + 1]
        if weight <= ROWS_EXACT:
            rows[m], times[m] = row, count
            m += 1
            continue
        while count != 0:  # as often as the sum of rows has room for it
            part = min(max(count, -ROWS_EXACT), ROWS_EXACT)
            if abs(part) > room:
                _add_rows(0, m, times, edge, base, a0, a1, b0, b1, pointers)
                m, room = 0, ROWS_EXACT
            rows[m], times[m] = row, part
            m += 1
            room -= abs(part)
            count -= part
    if m > 0:
        _add_rows(0, m, times, edge, base, a0, a1, b0, b1, pointers)


@kernel(forceinline=True)
def _add_rows(first, n, times, edge, base, a0, a1, b0, b1, pointers):
    """v += the sum of n rows, each once (times: None) or so many times."""
    v, weights, reach, total, rows = pointers.v, pointers.weights, pointers.reach, pointers.total, pointers.rows
    lanes, patch = edge["lanes"], edge["patch"]
    if 2 * (a1 - a0) * (b1 - b0) * lanes >= patch and patch > 0:  # else most of a patch would be summed for nothing
        sum_rows(total, weights, rows, times, first, n, 0, patch)
        add_patch(v, base, total, 0, reach, a0, a1, b0, b1, lanes)
        return
    for a in range(a0, a1):
        for b in range(b0, b1):
            sum_rows(total, weights, rows, times, first, n, reach[2 * a + 1] + reach[2 * b + 1], lanes)
            add_lanes(v, base + reach[2 * a] + reach[2 * b], total, 0, lanes)
