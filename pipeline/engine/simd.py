"""Explicit vectors for the innermost loops: a Numba type that LLVM keeps in registers, and what can be done with it.

Numba vectorizes plain loops over arrays, but cannot keep a running sum of rows in registers: an array is memory. Here
`Lanes` is a value of so many numbers side by side. The code is LLVM's portable vector IR, no processor's own
instructions: LLVM splits a vector that is wider than the target's registers (64-bit Arm: 128 bits), so the same source
serves all. Where it is not wanted (DVS_RUN_SIMD=0) or cannot be (NUMBA_DISABLE_JIT=1), rows.py uses plain loops.
"""

import os

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numba.np.arrayobj import populate_array

ON = os.environ.get("DVS_RUN_SIMD", "1") != "0" and not config.DISABLE_JIT

# What rows of a type are summed in. int8 in int16: exact for up to 257 rows, and twice as many lanes as int32.
SUMMED_IN = {types.int8: types.int16, types.int16: types.int32, types.float32: types.float32}


class Lanes(types.Type):
    """`count` numbers of `dtype` in vector registers."""

    def __init__(self, dtype: types.Type, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Lanes({dtype}, {count})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(element, fe_type.count))


def _vector_at(context, builder, pointer_type, pointer, index, count):
    """The address of pointer[index] as one of a vector of `count` elements."""
    element = context.get_data_type(pointer_type.dtype)
    return builder.bitcast(builder.gep(pointer, [index]), ir.VectorType(element, count).as_pointer())


def _load(context, builder, pointer_type, pointer, index, count):
    loaded = builder.load(_vector_at(context, builder, pointer_type, pointer, index, count))
    loaded.align = context.get_abi_sizeof(context.get_data_type(pointer_type.dtype))  # an element's: rows lie anyhow
    return loaded


def _widen(context, builder, value, source, target, count):
    """Numbers of type `source` as `target`: no change, or the sign extended."""
    if source == target:
        return value
    return builder.sext(value, ir.VectorType(context.get_value_type(target), count))


def _splat(builder, vector, value):
    """The same value in all lanes."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    )


@intrinsic
def address(typingctx, array):
    """Where the data of a contiguous array lies. Read and written like the array, but without its bounds."""
    pointer = types.CPointer(array.dtype)

    def codegen(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return pointer(array), codegen


@intrinsic
def array_at(typingctx, packed, i, dtype):
    """The array number i of those that advance.pack packed. It owns nothing: the arrays must stay alive elsewhere."""
    result = types.Array(dtype.dtype, 1, "C", aligned=not isinstance(dtype.dtype, types.Record))

    def codegen(context, builder, signature, args):
        numbers = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.shl(args[1], ir.Constant(args[1].type, 1))
        address = builder.load(builder.gep(numbers, [place]))
        length = builder.load(builder.gep(numbers, [builder.add(place, ir.Constant(place.type, 1))]))
        array = context.make_array(result)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(result.dtype)))
        data = builder.inttoptr(address, context.get_data_type(result.dtype).as_pointer())
        populate_array(array, data=data, shape=[length], strides=[size], itemsize=size, meminfo=None)
        return array._getvalue()

    return result(packed, types.int64, dtype), codegen


@intrinsic(prefer_literal=True)
def zeros(typingctx, weights, count):
    """Lanes of 0, of the type that rows of `weights` are summed in."""
    result = Lanes(SUMMED_IN[weights.dtype], count.literal_value)

    def codegen(context, builder, signature, args):
        return cgutils.get_null_value(context.get_value_type(result))

    return result(weights, count), codegen


@intrinsic
def plus_row(typingctx, total, weights, index):
    """total + weights[index : index + count], widened."""
    if not isinstance(total, Lanes):
        return None

    def codegen(context, builder, signature, args):
        _, pointer_type, _ = signature.args
        row = _load(context, builder, pointer_type, args[1], args[2], total.count)
        row = _widen(context, builder, row, pointer_type.dtype, total.dtype, total.count)
        add = builder.fadd if isinstance(total.dtype, types.Float) else builder.add
        return add(args[0], row)

    return total(total, weights, types.int64), codegen


@intrinsic
def plus_row_times(typingctx, total, weights, index, times):
    """total + times * weights[index : index + count], widened first."""
    if not isinstance(total, Lanes):
        return None

    def codegen(context, builder, signature, args):
        _, pointer_type, _, _ = signature.args
        row = _load(context, builder, pointer_type, args[1], args[2], total.count)
        row = _widen(context, builder, row, pointer_type.dtype, total.dtype, total.count)
        vector = ir.VectorType(context.get_value_type(total.dtype), total.count)
        factor = _splat(builder, vector, args[3])
        if isinstance(total.dtype, types.Float):
            return builder.fadd(args[0], builder.fmul(factor, row))
        return builder.add(args[0], builder.mul(factor, row))

    return total(total, weights, types.int64, total.dtype), codegen


@intrinsic
def add_to(typingctx, v, index, total):
    """v[index : index + count] += total, widened."""
    if not isinstance(total, Lanes):
        return None

    def codegen(context, builder, signature, args):
        pointer_type = signature.args[0]
        old = _load(context, builder, pointer_type, args[0], args[1], total.count)
        more = _widen(context, builder, args[2], total.dtype, pointer_type.dtype, total.count)
        add = builder.fadd if isinstance(total.dtype, types.Float) else builder.add
        pointer = _vector_at(context, builder, pointer_type, args[0], args[1], total.count)
        store = builder.store(add(old, more), pointer)
        store.align = context.get_abi_sizeof(context.get_data_type(pointer_type.dtype))
        return context.get_dummy_value()

    return types.void(v, types.int64, total), codegen


@intrinsic(prefer_literal=True)
def load(typingctx, array, index, count):
    """array[index : index + count] in registers, not widened."""
    result = Lanes(array.dtype, count.literal_value)

    def codegen(context, builder, signature, args):
        return _load(context, builder, signature.args[0], args[0], args[1], result.count)

    return result(array, types.int64, count), codegen


@intrinsic
def mask_at_least(typingctx, a, b):
    """Bit i is set where a[i] >= b[i]."""
    if not isinstance(a, Lanes) or a != b:
        return None

    def codegen(context, builder, signature, args):
        compare = builder.fcmp_ordered if isinstance(a.dtype, types.Float) else builder.icmp_signed
        bits = builder.bitcast(compare(">=", *args), ir.IntType(a.count))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(a, b), codegen


@intrinsic
def any_beyond(typingctx, lanes, limit):
    """Whether any lane is above limit or below -limit."""
    if not isinstance(lanes, Lanes):
        return None

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(context.get_value_type(lanes.dtype), lanes.count)
        real = isinstance(lanes.dtype, types.Float)
        compare = builder.fcmp_ordered if real else builder.icmp_signed
        bound = _splat(builder, vector, args[1])
        negative = _splat(builder, vector, builder.fneg(args[1]) if real else builder.neg(args[1]))
        outside = builder.or_(compare(">", args[0], bound), compare("<", args[0], negative))
        bits = builder.bitcast(outside, ir.IntType(lanes.count))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(lanes, lanes.dtype), codegen


@intrinsic
def scaled_gap(typingctx, low, high, factor):
    """(high - low) * factor, as float32."""
    if not isinstance(low, Lanes) or low != high:
        return None
    result = Lanes(types.float32, low.count)

    def codegen(context, builder, signature, args):
        if isinstance(low.dtype, types.Float):
            gap = builder.fsub(args[1], args[0])
        else:
            gap = builder.sitofp(builder.sub(args[1], args[0]), context.get_value_type(result))
        return builder.fmul(gap, args[2])

    return result(low, high, result), codegen


@intrinsic
def minus(typingctx, a, b):
    """a - b, lane by lane."""
    if not isinstance(a, Lanes) or a != b:
        return None

    def codegen(context, builder, signature, args):
        return (builder.fsub if isinstance(a.dtype, types.Float) else builder.sub)(*args)

    return a(a, b), codegen


@intrinsic
def plus(typingctx, a, b):
    """a + b, lane by lane."""
    if not isinstance(a, Lanes) or a != b:
        return None

    def codegen(context, builder, signature, args):
        return (builder.fadd if isinstance(a.dtype, types.Float) else builder.add)(*args)

    return a(a, b), codegen


@intrinsic
def filled(typingctx, like, value):
    """Lanes like `like`, all of them `value`."""
    if not isinstance(like, Lanes):
        return None

    def codegen(context, builder, signature, args):
        return _splat(builder, context.get_value_type(like), args[1])

    return like(like, like.dtype), codegen


@intrinsic
def where_at_least(typingctx, a, b, then, otherwise):
    """`then` where a >= b, else `otherwise`, lane by lane."""
    if not isinstance(a, Lanes) or not a == b == then == otherwise:
        return None

    def codegen(context, builder, signature, args):
        compare = builder.fcmp_ordered if isinstance(a.dtype, types.Float) else builder.icmp_signed
        return builder.select(compare(">=", args[0], args[1]), args[2], args[3])

    return a(a, b, then, otherwise), codegen


@intrinsic
def population(typingctx, bits):
    """How many bits are set."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


@intrinsic
def smaller(typingctx, a, b):
    """min(a, b), lane by lane."""
    if not isinstance(a, Lanes) or a != b:
        return None

    def codegen(context, builder, signature, args):
        real = isinstance(a.dtype, types.Float)
        less = (builder.fcmp_ordered if real else builder.icmp_signed)("<", *args)
        return builder.select(less, *args)

    return a(a, b), codegen


@intrinsic
def smallest(typingctx, lanes):
    """The smallest of the lanes."""
    if not isinstance(lanes, Lanes):
        return None

    def codegen(context, builder, signature, args):
        value, count = args[0], lanes.count
        real = isinstance(lanes.dtype, types.Float)
        while count > 1:  # fold the upper half onto the lower one
            count //= 2
            halves = []
            for first in (0, count):
                mask = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(first, first + count)))
                halves.append(builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask))
            less = (builder.fcmp_ordered if real else builder.icmp_signed)("<", *halves)
            value = builder.select(less, *halves)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return lanes.dtype(lanes), codegen


@intrinsic
def trailing_zeros(typingctx, bits):
    """Index of the lowest bit that is set, for bits != 0."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


@intrinsic
def put(typingctx, array, index, value):
    """array[index : index + count] = value."""
    if not isinstance(value, Lanes):
        return None

    def codegen(context, builder, signature, args):
        pointer_type = signature.args[0]
        pointer = _vector_at(context, builder, pointer_type, args[0], args[1], value.count)
        store = builder.store(args[2], pointer)
        store.align = context.get_abi_sizeof(context.get_data_type(pointer_type.dtype))
        return context.get_dummy_value()

    return types.void(array, types.int64, value), codegen
