"""Numbers that a processor works on at once, as a type of numba's with its arithmetic.

A loop in terms of lanes says itself what is done side by side, so that nothing rests on whether a
compiler finds it out, nor on flags that would let it reorder sums. Lanes are 64 bytes on processors
with AVX-512 and 32 on others, where the compiler makes them of what there is.

Arrays are flat and contiguous; lanes are read and written at any place of theirs.
"""

from __future__ import annotations

import operator
import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

# Without fused sums, or where nothing is compiled, torch is faster.
SERVES = not config.DISABLE_JIT and (
    platform.machine() not in ("x86_64", "AMD64") or bool(get_host_cpu_features().get("fma"))
)
BITS = 512 if get_host_cpu_features().get("avx512f") else 256
FRACTION = {64: 52, 32: 23}  # bits of a number's fraction
BIAS = {64: 1023, 32: 127}  # of its exponent

Value = Any  # llvmlite's values, builders and contexts have no types


class Lanes(types.Type):
    """As many numbers of a type as are worked on at once."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        self.count = BITS // dtype.bitwidth
        super().__init__(f"Lanes({dtype})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """They are kept as a vector."""

    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, vector(lanes.dtype))


def vector(dtype: types.Float) -> ir.VectorType:
    """LLVM's type of lanes."""
    number = ir.DoubleType() if dtype.bitwidth == 64 else ir.FloatType()
    return ir.VectorType(number, BITS // dtype.bitwidth)


def integers(dtype: types.Float) -> ir.VectorType:
    """LLVM's type of the integers with the bits of lanes."""
    return ir.VectorType(ir.IntType(dtype.bitwidth), BITS // dtype.bitwidth)


def constant(kind: ir.VectorType, number: float) -> ir.Constant:
    """The same number in all lanes."""
    return ir.Constant(kind, [number] * kind.count)


def spread(builder: Value, number: Value, count: int) -> Value:
    """A number in all lanes."""
    first, kind = ir.IntType(32), ir.VectorType(number.type, count)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(first, 0))
    return builder.shuffle_vector(one, one, constant(ir.VectorType(first, count), 0))


def multiply_add(builder: Value, a: Value, b: Value, c: Value) -> Value:
    """a b + c, rounded once."""
    kind = a.type
    bits = 64 if kind.element == ir.DoubleType() else 32
    name = f"llvm.fma.v{kind.count}f{bits}"
    signature = ir.FunctionType(kind, [kind, kind, kind])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [a, b, c])


def place(context: Value, builder: Value, array: types.Array, value: Value, index: Value) -> Value:
    """Where in memory a number of a flat array is."""
    return builder.gep(context.make_array(array)(context, builder, value).data, [index])


def read(builder: Value, pointer: Value, dtype: types.Float) -> Value:
    """Lanes from memory."""
    lanes = builder.bitcast(pointer, vector(dtype).as_pointer())
    return builder.load(lanes, align=dtype.bitwidth // 8)


def write(builder: Value, lanes: Value, pointer: Value, dtype: types.Float) -> None:
    """Lanes to memory."""
    target = builder.bitcast(pointer, vector(dtype).as_pointer())
    builder.store(lanes, target, align=dtype.bitwidth // 8)


# ---------------------------------------------------------------------- memory


@intrinsic
def lanes_of(typing: Any, array: Any) -> Any:
    """How many numbers of an array's type are worked on at once."""
    count = Lanes(array.dtype).count
    return types.intp(array), lambda context, builder, signature, values: ir.IntType(64)(count)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The lanes that begin at a place of an array."""

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        return read(builder, place(context, builder, array, *values), array.dtype)

    return Lanes(array.dtype)(array, types.intp), build


@intrinsic
def store(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Write lanes to where they begin in an array."""

    def build(context: Value, builder: Value, signature: Any, values: Value) -> None:
        write(builder, values[2], place(context, builder, array, *values[:2]), array.dtype)

    return types.void(array, types.intp, lanes), build


@intrinsic
def turn_square(typing: Any, array: Any, start: Any, step: Any, there: Any, width: Any) -> Any:
    """Write the columns of as many lanes as each has numbers, a step apart, as rows of a width."""
    dtype, count = array.dtype, Lanes(array.dtype).count
    low = [i // 2 + count * (i % 2) for i in range(count)]  # of two lanes, in turns
    high = [i + count // 2 for i in low]

    def build(context: Value, builder: Value, signature: Any, values: Value) -> None:
        data, start, step, there, width = values

        def pointer(first: Value, apart: Value, times: int) -> Value:
            index = builder.add(first, builder.mul(apart, apart.type(times)))
            return place(context, builder, array, data, index)

        def shuffled(a: Value, b: Value, order: list[int]) -> Value:
            kind = ir.VectorType(ir.IntType(32), count)
            return builder.shuffle_vector(a, b, ir.Constant(kind, order))

        rows = [read(builder, pointer(start, step, r), dtype) for r in range(count)]
        for _ in range(count.bit_length() - 1):
            pairs = list(zip(rows[: count // 2], rows[count // 2 :], strict=True))
            rows = [shuffled(*pair, order) for pair in pairs for order in (low, high)]
        for r in range(count):
            write(builder, rows[r], pointer(there, width, r), dtype)

    return types.void(array, types.intp, types.intp, types.intp, types.intp), build


@intrinsic
def put(typing: Any, array: Any, index: Any, number: Any) -> Any:
    """Write one number; none is counted from an array's end, which would take time to see."""

    def build(context: Value, builder: Value, signature: Any, values: Value) -> None:
        same = context.cast(builder, values[2], number, array.dtype)
        builder.store(same, place(context, builder, array, *values[:2]))

    return types.void(array, types.intp, number), build


@intrinsic
def fill(typing: Any, like: Any, number: Any) -> Any:
    """A number in all lanes, of the type of a number or of lanes."""
    dtype = getattr(like, "dtype", like)

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        same = context.cast(builder, values[1], number, dtype)
        return spread(builder, same, Lanes(dtype).count)

    return Lanes(dtype)(like, number), build


@intrinsic
def added_up(typing: Any, lanes: Any) -> Any:
    """The sum of all lanes in float64."""

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        parts = [
            builder.extract_element(values[0], ir.Constant(ir.IntType(32), i))
            for i in range(lanes.count)
        ]
        parts = [context.cast(builder, part, lanes.dtype, types.float64) for part in parts]
        while len(parts) > 1:
            parts = [builder.fadd(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    return types.float64(lanes), build


# ---------------------------------------------------------------------- arithmetic


@intrinsic
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""
    return a(a, b, c), lambda context, builder, signature, values: multiply_add(builder, *values)


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """The larger one, and b where one of them is NaN."""

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        return builder.select(builder.fcmp_ordered(">", *values), *values)

    return a(a, b), build


@intrinsic
def where_less(typing: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """The one where a < b, and the other where it is not."""

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        return builder.select(builder.fcmp_ordered("<", *values[:2]), *values[2:])

    return yes(a, b, yes, no), build


@intrinsic
def where_equal(typing: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """The one where a = b, and the other where it is not."""

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        return builder.select(builder.fcmp_ordered("==", *values[:2]), *values[2:])

    return yes(a, b, yes, no), build


def _arithmetic(symbol: Callable[[Any, Any], Any], name: str) -> None:
    """Teach numba an operator between lanes."""

    @type_callable(symbol)
    def typed(context: Any) -> Any:
        return lambda a, b: a if isinstance(a, Lanes) and a == b else None

    @lower_builtin(symbol, Lanes, Lanes)
    def built(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        return getattr(builder, name)(*values)


for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_symbol, _name)


# ---------------------------------------------------------------------- the bits of numbers


@intrinsic
def power_of_two(typing: Any, shifted: Any) -> Any:
    """2^j for lanes j + `MAGIC`, in whose lowest bits the integer j then is."""
    dtype = shifted.dtype
    fraction, bias = FRACTION[dtype.bitwidth], BIAS[dtype.bitwidth]

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        kind = integers(dtype)
        bits = builder.shl(builder.bitcast(values[0], kind), constant(kind, fraction))
        bits = builder.add(bits, constant(kind, bias << fraction))
        return builder.bitcast(bits, vector(dtype))

    return shifted(shifted), build


@intrinsic
def fraction_of(typing: Any, lanes: Any) -> Any:
    """m in [1, 2), where lanes are m 2^j."""
    dtype = lanes.dtype
    fraction, bias = FRACTION[dtype.bitwidth], BIAS[dtype.bitwidth]

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        kind = integers(dtype)
        bits = builder.and_(builder.bitcast(values[0], kind), constant(kind, (1 << fraction) - 1))
        bits = builder.or_(bits, constant(kind, bias << fraction))
        return builder.bitcast(bits, vector(dtype))

    return lanes(lanes), build


@intrinsic
def exponent_of(typing: Any, lanes: Any) -> Any:
    """The integer j, where lanes are m 2^j and positive."""
    dtype = lanes.dtype
    fraction, bias = FRACTION[dtype.bitwidth], BIAS[dtype.bitwidth]

    def build(context: Value, builder: Value, signature: Any, values: Value) -> Value:
        kind = integers(dtype)
        bits = builder.lshr(builder.bitcast(values[0], kind), constant(kind, fraction))
        bits = builder.or_(bits, constant(kind, (bias + fraction) << fraction))  # j + 2^fraction
        zero = constant(vector(dtype), float(2**fraction + bias))
        return builder.fsub(builder.bitcast(bits, vector(dtype)), zero)

    return lanes(lanes), build
