"""A Numba type that LLVM keeps in vector registers, and the pieces of code that simd.py builds its operations of.

Numba vectorizes plain loops over arrays, but cannot keep a running sum of rows in registers: an array is memory.
`Lanes` is a value of so many numbers side by side. The code is LLVM's portable vector IR, no processor's own
instructions: LLVM splits a vector that is wider than the target's registers (64-bit Arm: 128 bits), so the same source
serves all.
"""

from llvmlite import ir
from numba import types
from numba.extending import models, register_model


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


def vector_at(context, builder, pointer_type, pointer, index, count):
    """The address of pointer[index] as one of a vector of `count` elements."""
    element = context.get_data_type(pointer_type.dtype)
    return builder.bitcast(builder.gep(pointer, [index]), ir.VectorType(element, count).as_pointer())


def load_at(context, builder, pointer_type, pointer, index, count):
    loaded = builder.load(vector_at(context, builder, pointer_type, pointer, index, count))
    loaded.align = context.get_abi_sizeof(context.get_data_type(pointer_type.dtype))  # an element's: rows lie anyhow
    return loaded


def widen(context, builder, value, source, target, count):
    """Numbers of type `source` as `target`: no change, or the sign extended."""
    if source == target:
        return value
    return builder.sext(value, ir.VectorType(context.get_value_type(target), count))


def splat(builder, vector, value):
    """The same value in all lanes."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    )


def store_at(context, builder, pointer_type, pointer, index, value, count):
    stored = builder.store(value, vector_at(context, builder, pointer_type, pointer, index, count))
    stored.align = context.get_abi_sizeof(context.get_data_type(pointer_type.dtype))
    return context.get_dummy_value()


def is_real(lanes):
    return isinstance(lanes.dtype, types.Float)


def compare(builder, lanes, operator, a, b):
    return (builder.fcmp_ordered if is_real(lanes) else builder.icmp_signed)(operator, a, b)


def add(builder, lanes, a, b):
    return (builder.fadd if is_real(lanes) else builder.add)(a, b)


def subtract(builder, lanes, a, b):
    return (builder.fsub if is_real(lanes) else builder.sub)(a, b)


def alike(*lanes):
    """Whether all are vectors of the same type: else Numba looks for another function, and says there is none."""
    return isinstance(lanes[0], Lanes) and all(other == lanes[0] for other in lanes)


def mask_of(builder, bits, count):
    """The lowest bits of a number as a vector of truth values."""
    return builder.bitcast(builder.trunc(bits, ir.IntType(count)), ir.VectorType(ir.IntType(1), count))


def folded(builder, value, join):
    """The lanes joined two by two until the result of all is in the first."""
    count = value.type.count
    while count > 1:
        count //= 2
        halves = []
        for first in (0, count):
            places = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(first, first + count)))
            halves.append(builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), places))
        value = join(*halves)
    return value
