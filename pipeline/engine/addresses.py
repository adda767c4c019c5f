"""Arrays as plain addresses: what a kernel needs to be handed forty of them quickly, and to loop over them tightly.

Read and written like arrays, but without bounds; where bounds are wanted, rows.py and advance.py use the arrays.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


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
