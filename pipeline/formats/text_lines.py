"""Lines of text to events and back: the kernels of text.py, which knows what the columns are.

Plain lines, which nearly all are, have a kernel of their own (read_plain), longer than a screen: in parts that call
each other it was five times slower. read_line reads all others, one at a time.
"""

import numpy as np

from ..kernel_cache import kernel

T, X, Y, P, LEFT_OUT = range(5)  # what a column is
SHORTEST = 8  # bytes of a line with four columns and its end
LONGEST = 64  # bytes of a line that `write_lines` writes
LARGEST_SIDE = 65_535
_MOST = np.int64(9 * 10**17)  # a mantissa beyond takes no further digit
_FARTHEST_US = np.int64(1) << 60
_U_ZERO, _U_ONE, _U_NINE, _U_TEN = np.uint64(48), np.uint64(1), np.uint64(9), np.uint64(10)
_U_FARTHEST, _U_LARGEST = np.uint64(_FARTHEST_US), np.uint64(LARGEST_SIDE)
_POWERS = np.array([10**n for n in range(19)], np.int64)
_U_POWERS = _POWERS.astype(np.uint64)
_TAB, _END, _RETURN, _BLANK, _HASH, _PERCENT, _PLUS, _COMMA, _MINUS = 9, 10, 13, 32, 35, 37, 43, 44, 45
_POINT, _ZERO, _SEMICOLON, _BIG_E, _BIG_F, _BIG_T, _SMALL_A, _SMALL_E = 46, 48, 59, 69, 70, 84, 97, 101
_SMALL_F, _SMALL_T, _SMALL_Z, _QUOTE = 102, 116, 122, 34


@kernel
def read_number(data, i):
    """A number from data[i] on, as (mantissa, exponent of ten, the place after it; -1: no number)."""
    negative = data[i] == _MINUS
    if negative or data[i] == _PLUS:
        i += 1
    mantissa, exponent, digits = np.int64(0), np.int64(0), 0
    digit = np.int64(data[i]) - _ZERO
    while 0 <= digit <= 9:
        if mantissa < _MOST:
            mantissa = mantissa * 10 + digit
        else:
            exponent += 1
        digits += 1
        i += 1
        digit = np.int64(data[i]) - _ZERO
    if data[i] == _POINT:
        i += 1
        digit = np.int64(data[i]) - _ZERO
        while 0 <= digit <= 9:
            if mantissa < _MOST:
                mantissa = mantissa * 10 + digit
                exponent -= 1
            digits += 1
            i += 1
            digit = np.int64(data[i]) - _ZERO
    if digits and (data[i] == _SMALL_E or data[i] == _BIG_E):
        i += 1
        down = data[i] == _MINUS
        if down or data[i] == _PLUS:
            i += 1
        power, digits = np.int64(0), 0
        digit = np.int64(data[i]) - _ZERO
        while 0 <= digit <= 9:
            power = min(power * 10 + digit, np.int64(9999))
            digits += 1
            i += 1
            digit = np.int64(data[i]) - _ZERO
        exponent += -power if down else power
    if not digits:
        return mantissa, exponent, -1
    return -mantissa if negative else mantissa, exponent, i


@kernel
def scaled(mantissa, exponent):
    """(mantissa * 10^exponent to the nearest whole number, halves up; whether it fits, how much is lost)."""
    if mantissa == 0 or exponent == 0:
        return mantissa, True, np.int64(0)
    if exponent > 0:
        if exponent > 18 or abs(mantissa) > _FARTHEST_US // _POWERS[exponent]:
            return mantissa, False, np.int64(0)
        return mantissa * _POWERS[exponent], True, np.int64(0)
    if exponent < -18:
        return np.int64(0), True, mantissa
    power = _POWERS[-exponent]
    return (mantissa + power // 2) // power, True, mantissa % power


@kernel
def read_column(data, i, kind, shift, events, at):
    """One column from data[i] on into events[at]; the place after it, or -1: it is none."""
    if kind == LEFT_OUT:
        while data[i] not in (_COMMA, _SEMICOLON, _BLANK, _TAB, _RETURN, _END):
            i += 1
        return i
    if kind == P and data[i] in (_BIG_T, _SMALL_T, _BIG_F, _SMALL_F):  # a word: true or false
        events[at]["p"] = data[i] in (_BIG_T, _SMALL_T)
        i += 1
        while _SMALL_A <= data[i] <= _SMALL_Z:
            i += 1
        return i
    mantissa, exponent, i = read_number(data, i)
    if i < 0:
        return -1
    value, fits, lost = scaled(mantissa, exponent + (shift if kind == T else 0))
    if kind == T:
        fits = fits and abs(value) <= _FARTHEST_US
        events[at]["t"] = value
    elif kind == P:
        fits = fits and lost == 0 and -1 <= value <= 1
        events[at]["p"] = value > 0
    else:
        fits = fits and lost == 0 and 0 <= value < LARGEST_SIDE
        if kind == X:
            events[at]["x"] = value
        else:
            events[at]["y"] = value
    return i if fits else -1


@kernel
def read_quoted(data, i, kind, shift, events, at):
    """As read_column; the column may stand between quotes."""
    if data[i] != _QUOTE:
        return read_column(data, i, kind, shift, events, at)
    i += 1
    if kind == LEFT_OUT:
        while data[i] != _QUOTE and data[i] != _END:
            i += 1
    else:
        i = read_column(data, i, kind, shift, events, at)
    return i + 1 if i >= 0 and data[i] == _QUOTE else -1


@kernel
def skip_blanks(data, i):
    """The place of the first byte from data[i] on that is no blank."""
    while data[i] == _BLANK or data[i] == _TAB:
        i += 1
    return i


@kernel
def read_line(data, i, columns, shift, events, at):
    """Any line of an event from data[i] on into events[at]; the place after its end, or -1: it is none."""
    i = skip_blanks(data, i)
    for column in range(columns.shape[0]):
        after = read_quoted(data, i, columns[column], shift, events, at)
        if after < 0:
            return -1
        i = skip_blanks(data, after)
        if data[i] == _COMMA or data[i] == _SEMICOLON:
            i = skip_blanks(data, i + 1)
        if i == after and column + 1 < columns.shape[0]:  # nothing between this column and the next
            return -1
    if data[i] == _RETURN:
        i += 1
    return i + 1 if data[i] == _END else -1


@kernel(inline="always")
def digits(data, i, value):
    """`value` followed by the digits from data[i] on, and the place after them."""
    digit = np.uint64(data[i]) - _U_ZERO  # below zero: a large number
    while digit <= _U_NINE:
        value = value * _U_TEN + digit
        i += _U_ONE
        digit = np.uint64(data[i]) - _U_ZERO
    return value, i


@kernel
def read_plain(data, start, places, shift, events, kept):
    """Lines of four columns of digits, of which t may have a fraction and p a minus, from data[start] on.

    `places`: at which column t, x, y and p stand. Returns (start of the first other line, events filled). Fast for
    want of a sign of the index, of calls, and of branches that depend on what a column is.
    """
    at_t, at_x, at_y, at_p = places[0], places[1], places[2], places[3]
    values = np.zeros(4, np.uint64)
    i, size = np.uint64(start), np.uint64(data.shape[0])
    while i < size and kept < events.shape[0]:
        line, minus = i, False
        for column in range(4):
            if data[i] == _MINUS:
                minus = True
                i += _U_ONE
            first = i
            value, i = digits(data, i, np.uint64(0))
            exponent, length = shift, np.int64(i - first)
            if data[i] == _POINT:
                point = i + _U_ONE
                value, i = digits(data, point, value)
                exponent -= np.int64(i - point)
                length += np.int64(i - point)
            if length == 0:
                return np.int64(line), kept
            if length + max(exponent, 0) > 19:  # beyond 64 bits
                return np.int64(line), kept
            if column == at_t:
                if exponent == -3:  # nanoseconds, the usual; a division by a constant
                    value = (value + np.uint64(500)) // np.uint64(1000)
                elif exponent < 0:
                    power = _U_POWERS[min(-exponent, 18)]
                    value = (value + power // np.uint64(2)) // power
                elif exponent > 0:
                    value *= _U_POWERS[exponent]
                if value > _U_FARTHEST or minus:
                    return np.int64(line), kept
            elif exponent != shift or (minus and column != at_p):
                return np.int64(line), kept
            values[column] = value
            end = data[i]
            i += _U_ONE
            if column < 3:
                if end != _BLANK and end != _COMMA and end != _TAB and end != _SEMICOLON:
                    return np.int64(line), kept
                if data[i] == _BLANK:
                    i += _U_ONE
            elif end != _END:
                if end != _RETURN or data[i] != _END:
                    return np.int64(line), kept
                i += _U_ONE
        x, y, p = values[at_x], values[at_y], values[at_p]
        if x >= _U_LARGEST or y >= _U_LARGEST or p > _U_ONE:
            return np.int64(line), kept
        events[kept]["t"] = values[at_t]
        events[kept]["x"] = x
        events[kept]["y"] = y
        events[kept]["p"] = p != 0 and not minus
        kept += 1
    return np.int64(i), kept


@kernel
def read_lines(data, columns, places, shift, events):
    """Events of whole lines, in `data` uint8[n] which ends with the end of a line.

    `columns`: what each column is; `places` the reverse where there are four, else empty. t = column * 10^shift.
    Returns (bytes used, events filled, lines used); stops before a line that is no event. Blank lines and those that
    begin with # or % are passed over.
    """
    i, kept, lines = 0, 0, 0
    while i < data.shape[0] and kept < events.shape[0]:
        if places.shape[0] == 4:
            before = kept
            i, kept = read_plain(data, i, places, shift, events, kept)
            lines += kept - before
            if i >= data.shape[0] or kept >= events.shape[0]:
                break
        mark = data[skip_blanks(data, i)]
        if mark in (_END, _RETURN, _HASH, _PERCENT):
            while data[i] != _END:
                i += 1
            i += 1
        else:
            after = read_line(data, i, columns, shift, events, kept)
            if after < 0:
                break
            i = after
            kept += 1
        lines += 1
    return i, kept, lines


@kernel
def write_lines(events, data):
    """Events as lines `t,x,y,p` in `data` uint8[n]; returns how many bytes. At most LONGEST a line."""
    n = 0
    digits = np.empty(20, np.uint8)
    for i in range(events.shape[0]):
        for column in range(3):
            value = events[i]["t"] if column == 0 else np.int64(events[i]["x"] if column == 1 else events[i]["y"])
            if value < 0:
                data[n] = _MINUS
                n += 1
                value = -value
            count = 0
            while count == 0 or value:
                digits[count] = _ZERO + value % 10
                value //= 10
                count += 1
            while count:
                count -= 1
                data[n] = digits[count]
                n += 1
            data[n] = _COMMA
            n += 1
        data[n] = _ZERO + np.uint8(events[i]["p"])
        data[n + 1] = _END
        n += 2
    return n
