"""Numbers in memory and in files: machines of either byte order.

The specification gives the byte order of every number, so no result may depend on the machine's
own. `Explicit` asks nothing of the machine. `Machine` does what a program does that moves bytes
into memory as they are: it holds them in the machine's own order and swaps where the file's order
is the other one. A `Machine("big")` does on a little-endian computer just what a big-endian one
does, and the other way round.
"""

import struct
from array import array
from typing import Literal, Protocol

Order = Literal["little", "big"]

_PREFIXES = {"little": "<", "big": ">"}
_SIZES = {"h": 2, "i": 4, "H": 2}


class Memory(Protocol):
    """A way of taking numbers from bytes and of making bytes of numbers."""

    def load(self, data: bytes, code: str, order: Order) -> list[int]:
        """Return the numbers of type `code` that `data` holds in byte order `order`."""

    def store(self, numbers: list[int], code: str, order: Order) -> bytes:
        """Return the bytes of `numbers` as type `code` in byte order `order`."""


class Explicit:
    """Names the byte order to `struct` each time."""

    def load(self, data: bytes, code: str, order: Order) -> list[int]:
        """Return the numbers that `data` holds."""
        count = len(data) // _SIZES[code]
        return list(struct.unpack(f"{_PREFIXES[order]}{count}{code}", data))

    def store(self, numbers: list[int], code: str, order: Order) -> bytes:
        """Return the bytes of `numbers`."""
        return struct.pack(f"{_PREFIXES[order]}{len(numbers)}{code}", *numbers)


class Machine:
    """A machine of the byte order `native`: what it reads unswapped is in that order."""

    def __init__(self, native: Order) -> None:
        self.native = native

    def load(self, data: bytes, code: str, order: Order) -> list[int]:
        """Return the numbers that `data` holds: read as they lie, then swapped if need be."""
        count = len(data) // _SIZES[code]
        held = array(code, struct.unpack(f"{_PREFIXES[self.native]}{count}{code}", data))
        if order != self.native:
            held.byteswap()
        return held.tolist()

    def store(self, numbers: list[int], code: str, order: Order) -> bytes:
        """Return the bytes of `numbers`: swapped if need be, then written as they lie."""
        held = array(code, numbers)
        if order != self.native:
            held.byteswap()
        return struct.pack(f"{_PREFIXES[self.native]}{len(held)}{code}", *held)


EXPLICIT = Explicit()
