"""What can be done with `Lanes` (lanes.py), numbers side by side in vector registers: the words of the innermost loops.

Where this is not wanted (DVS_RUN_SIMD=0) or cannot be (NUMBA_DISABLE_JIT=1), rows.py uses plain loops.
"""

import os

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from .lanes import (
    Lanes,
    add,
    alike,
    compare,
    folded,
    is_real,
    load_at,
    mask_of,
    splat,
    store_at,
    subtract,
    widen,
)

ON = os.environ.get("DVS_RUN_SIMD", "1") != "0" and not config.DISABLE_JIT

# Whether the processor can move chosen lanes to the front by one instruction; what LLVM does elsewhere is slow.
_FEATURES = config.CPU_FEATURES if config.CPU_NAME or config.CPU_FEATURES else binding.get_host_cpu_features().flatten()
COMPRESSES = ON and "+avx512f" in (_FEATURES or "")

# What rows of a type are summed in. int8 in int16: exact for up to 257 rows, and twice as many lanes as int32.
SUMMED_IN = {types.int8: types.int16, types.int16: types.int32, types.float32: types.float32}


@intrinsic(prefer_literal=True)
def zeros(typingctx, weights, count):
    """Lanes of 0, of the type that rows of `weights` are summed in."""
    result = Lanes(SUMMED_IN[weights.dtype], count.literal_value)

    def codegen(context, builder, signature, args):
        return cgutils.get_null_value(context.get_value_type(result))

    return result(weights, count), codegen


@intrinsic
def plus_row(typingctx, total, weights, index, times, i):
    """total + weights[index : index + count], widened; if times is not None, so often: times[i]."""
    if not isinstance(total, Lanes):
        return None

    def codegen(context, builder, signature, args):
        _, pointer_type, _, times_type, _ = signature.args
        row = load_at(context, builder, pointer_type, args[1], args[2], total.count)
        row = widen(context, builder, row, pointer_type.dtype, total.dtype, total.count)
        if not isinstance(times_type, types.NoneType):
            factor = splat(builder, row.type, builder.load(builder.gep(args[3], [args[4]])))
            row = (builder.fmul if is_real(total) else builder.mul)(factor, row)
        return add(builder, total, args[0], row)

    return total(total, weights, types.int64, times, types.int64), codegen


@intrinsic
def add_to(typingctx, v, index, total):
    """v[index : index + count] += total, widened."""
    if not isinstance(total, Lanes):
        return None

    def codegen(context, builder, signature, args):
        pointer_type = signature.args[0]
        old = load_at(context, builder, pointer_type, args[0], args[1], total.count)
        more = widen(context, builder, args[2], total.dtype, pointer_type.dtype, total.count)
        new = add(builder, total, old, more)
        return store_at(context, builder, pointer_type, args[0], args[1], new, total.count)

    return types.void(v, types.int64, total), codegen


@intrinsic(prefer_literal=True)
def load(typingctx, array, index, count):
    """array[index : index + count] in registers, not widened."""
    result = Lanes(array.dtype, count.literal_value)

    def codegen(context, builder, signature, args):
        return load_at(context, builder, signature.args[0], args[0], args[1], result.count)

    return result(array, types.int64, count), codegen


@intrinsic
def put(typingctx, array, index, value):
    """array[index : index + count] = value."""
    if not isinstance(value, Lanes):
        return None

    def codegen(context, builder, signature, args):
        return store_at(context, builder, signature.args[0], args[0], args[1], args[2], value.count)

    return types.void(array, types.int64, value), codegen


@intrinsic
def filled(typingctx, like, value):
    """Lanes like `like`, all of them `value`."""
    if not isinstance(like, Lanes):
        return None

    def codegen(context, builder, signature, args):
        return splat(builder, context.get_value_type(like), args[1])

    return like(like, like.dtype), codegen


@intrinsic
def minus(typingctx, a, b):
    """a - b, lane by lane."""
    if not alike(a, b):
        return None

    def codegen(context, builder, signature, args):
        return subtract(builder, a, *args)

    return a(a, b), codegen


@intrinsic
def smaller(typingctx, a, b):
    """min(a, b), lane by lane."""
    if not alike(a, b):
        return None

    def codegen(context, builder, signature, args):
        return builder.select(compare(builder, a, "<", *args), *args)

    return a(a, b), codegen


@intrinsic
def larger_size(typingctx, most, lanes):
    """max(most, |lanes|), lane by lane."""
    if not alike(most, lanes):
        return None

    def codegen(context, builder, signature, args):
        zero = cgutils.get_null_value(args[1].type)
        negative = compare(builder, lanes, "<", args[1], zero)
        size = builder.select(negative, subtract(builder, lanes, zero, args[1]), args[1])
        return builder.select(compare(builder, lanes, ">", size, args[0]), size, args[0])

    return lanes(most, lanes), codegen


@intrinsic
def where_at_least(typingctx, a, b, then, otherwise):
    """`then` where a >= b, else `otherwise`, lane by lane."""
    if not alike(a, b, then, otherwise):
        return None

    def codegen(context, builder, signature, args):
        return builder.select(compare(builder, a, ">=", args[0], args[1]), args[2], args[3])

    return a(a, b, then, otherwise), codegen


@intrinsic
def mask_at_least(typingctx, a, b):
    """Bit i is set where a[i] >= b[i]."""
    if not alike(a, b):
        return None

    def codegen(context, builder, signature, args):
        bits = builder.bitcast(compare(builder, a, ">=", *args), ir.IntType(a.count))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(a, b), codegen


@intrinsic
def plus_bits(typingctx, lanes, bits):
    """lanes + 1 in those lanes i for which bit i is set."""
    if not isinstance(lanes, Lanes):
        return None

    def codegen(context, builder, signature, args):
        mask = mask_of(builder, args[1], lanes.count)
        one = (builder.uitofp if is_real(lanes) else builder.zext)(mask, args[0].type)
        return add(builder, lanes, args[0], one)

    return lanes(lanes, types.int64), codegen


@intrinsic
def scaled_gap(typingctx, low, high, factor):
    """(high - low) * factor, as float32."""
    if not alike(low, high):
        return None
    result = Lanes(types.float32, low.count)

    def codegen(context, builder, signature, args):
        gap = subtract(builder, low, args[1], args[0])
        return builder.fmul(gap if is_real(low) else builder.sitofp(gap, context.get_value_type(result)), args[2])

    return result(low, high, result), codegen


@intrinsic
def smallest(typingctx, lanes):
    """The smallest of the lanes."""
    if not isinstance(lanes, Lanes):
        return None

    def codegen(context, builder, signature, args):
        def join(low, high):
            return builder.select(compare(builder, lanes, "<", low, high), low, high)

        value = folded(builder, args[0], join)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return lanes.dtype(lanes), codegen


@intrinsic
def any_above(typingctx, lanes, bound):
    """Whether any lane is above bound."""
    if not isinstance(lanes, Lanes):
        return None

    def codegen(context, builder, signature, args):
        above = compare(builder, lanes, ">", args[0], splat(builder, args[0].type, args[1]))
        bits = builder.bitcast(above, ir.IntType(lanes.count))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(lanes, lanes.dtype), codegen


@intrinsic
def population(typingctx, bits):
    """How many bits are set."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


@intrinsic
def trailing_zeros(typingctx, bits):
    """Index of the lowest bit that is set, for bits != 0."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


@intrinsic
def put_listed(typingctx, spikes, spike, first, bits):
    """spikes[2 * spike :] = (first + i, 1) for each of the lowest 8 bits i that is set; always writes 16 numbers."""

    def codegen(context, builder, signature, args):
        array, spike, first, bits = args
        pairs = ir.VectorType(ir.IntType(64), 8)  # two int32 as one number, the first one in its lower half
        mask = mask_of(builder, bits, 8)
        all_pairs = builder.add(splat(builder, pairs, first), ir.Constant(pairs, [i + (1 << 32) for i in range(8)]))
        compress = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(pairs, [pairs, mask.type, pairs]),
            "llvm.experimental.vector.compress.v8i64",
        )
        listed = builder.call(compress, [all_pairs, mask, cgutils.get_null_value(pairs)])
        place = builder.gep(array, [builder.shl(spike, ir.Constant(spike.type, 1))])
        builder.store(listed, builder.bitcast(place, pairs.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(spikes, types.int64, types.int64, types.int64), codegen
