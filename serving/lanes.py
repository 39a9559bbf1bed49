"""Numbers that a processor computes with at once, as a type for numba: some float32 in one of its registers.

Numba turns a loop over single numbers into such instructions where it can prove that it may, and not as well as one
that is written with them. Each is LLVM's own, which has one for every processor: where a register is narrower than what
is asked for, it takes two. Places are those of elements in an array's memory, in one row; nothing is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

LINE = 64
"""Bytes that a processor reads at once."""
_BYTE, _HALF, _WORD, _FLOAT = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.FloatType()

Generated = tuple[Any, Callable[..., Any]]


class Lanes(types.Type):  # type: ignore[misc]
    """`count` float32 numbers."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"Lanes({count})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, _vector(lanes.count))


def lanes_here() -> int:
    """How many this processor has in one register; half of them on one that has but four."""
    return 16 if get_host_cpu_features().get("avx512f") else 8


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def zeros(context: Any, count: Any) -> Generated:
    """As many Lanes of zeros as each has numbers, as a tuple."""
    made = types.UniTuple(Lanes(count.literal_value), count.literal_value)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        lanes = [ir.Constant(_vector(len(made)), [0.0] * len(made))] * len(made)
        return context.make_tuple(builder, made, lanes)

    return made(count), generate


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def load(context: Any, array: Any, place: Any, count: Any) -> Generated:
    """Lanes from `place` of a float32 array on."""
    made = Lanes(count.literal_value)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        start = _pointer(context, builder, signature.args[0], given[0], given[1])
        return builder.load(builder.bitcast(start, _vector(made.count).as_pointer()), align=4)

    return made(array, place, count), generate


@intrinsic  # type: ignore[untyped-decorator]
def add(context: Any, array: Any, place: Any, lanes: Any) -> Generated:
    """Add `lanes` to what a float32 array has from `place` on."""

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        start = _pointer(context, builder, signature.args[0], given[0], given[1])
        start = builder.bitcast(start, _vector(lanes.count).as_pointer())
        builder.store(builder.fadd(builder.load(start, align=4), given[2]), start, align=4)
        return context.get_dummy_value()

    return types.void(array, place, lanes), generate


@intrinsic  # type: ignore[untyped-decorator]
def add_products(context: Any, sums: Any, lanes: Any, rows: Any, place: Any, apart: Any) -> Generated:
    """`sums`, a tuple of Lanes, and to the k-th of them added `lanes` times what the array `rows` has from `place + k *
    apart` on. `rows`: the bits of bfloat16 numbers, as uint16: the upper half of the same float32 number's."""
    count = lanes.count

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        vector, wide, narrow = _vector(count), ir.VectorType(_WORD, count), ir.VectorType(_HALF, count)
        kind = ir.FunctionType(vector, [vector, vector, vector])
        multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{count}f32")
        row = _pointer(context, builder, signature.args[2], given[2], given[3])
        made = []
        for number in range(count):
            bits = builder.zext(builder.load(builder.bitcast(row, narrow.as_pointer()), align=2), wide)
            numbers = builder.bitcast(builder.shl(bits, ir.Constant(wide, [16] * count)), vector)
            sum_ = builder.extract_value(given[0], number)
            made.append(builder.call(multiply_add, [given[1], numbers, sum_]))
            row = builder.gep(row, [given[4]])
        return context.make_tuple(builder, signature.return_type, made)

    return sums(sums, lanes, rows, place, apart), generate


@intrinsic  # type: ignore[untyped-decorator]
def totals(context: Any, sums: Any) -> Generated:
    """Lanes, of which the k-th number is the total of the k-th Lanes of the tuple `sums`."""
    count = len(sums)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        left = [builder.extract_value(given[0], number) for number in range(count)]
        order = ir.VectorType(_WORD, count)
        width = 1
        while len(left) > 1:  # of each two, blocks of `width` numbers in turns: every other block of both added
            even = [start + of + i for start in range(0, count, 2 * width) for of in (0, count) for i in range(width)]
            odd = [number + width for number in even]
            left = [
                builder.fadd(*(builder.shuffle_vector(a, b, ir.Constant(order, which)) for which in (even, odd)))
                for a, b in zip(left[::2], left[1::2], strict=True)
            ]
            width *= 2
        return left[0]

    return sums.dtype(sums), generate


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def fetch(context: Any, array: Any, place: Any, count: Any) -> Generated:
    """Have the processor begin to read the `count` elements of an array from `place` on, a whole number of lines."""
    size = count.literal_value * array.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), _WORD, _WORD, _WORD])
        begin = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        start = _pointer(context, builder, signature.args[0], given[0], given[1])
        start = builder.bitcast(start, _BYTE.as_pointer())
        for line in range(0, size, LINE):
            # data, to be read, into the second cache: the first is not large enough for it
            builder.call(begin, [builder.gep(start, [_WORD(line)]), _WORD(0), _WORD(2), _WORD(1)])
        return context.get_dummy_value()

    return types.void(array, place, count), generate


def _vector(count: int) -> Any:
    return ir.VectorType(_FLOAT, count)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """Of the element at `place` in the memory of a numba array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])
