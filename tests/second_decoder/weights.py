"""The weight file: the prior's arrays and numbers (sections 6.1 to 6.3)."""

import json
from dataclasses import dataclass

from . import crc
from .byteorder import EXPLICIT, Memory, Order
from .errors import ModelError

CODES = {"I16": "h", "I32": "i", "U16": "H"}
BYTES = {"h": 2, "i": 4, "H": 2}
DTYPES = {
    "prior.w1": "I16",
    "prior.b1": "I32",
    "prior.w2": "I16",
    "prior.b2": "I32",
    "prior.w3": "I16",
    "prior.b3": "I32",
    "prior.tables": "U16",
}


@dataclass(frozen=True)
class Array:
    """An array of integers; the last index runs fastest."""

    dtype: str
    shape: tuple[int, ...]
    numbers: list[int]


@dataclass(frozen=True)
class Sizes:
    """D, G, K, H, S and E of section 6.1."""

    n_latent: int
    n_groups: int
    n_past: int
    n_hidden: int
    n_scales: int
    n_entries: int

    @property
    def group(self) -> int:
        """Dimensions of one group, D / G."""
        return self.n_latent // self.n_groups


@dataclass(frozen=True)
class Weights:
    """What one weight file says about symbols."""

    model_id: int
    sizes: Sizes
    shifts: tuple[int, ...]
    arrays: dict[str, Array]

    def fingerprint(self, memory: Memory = EXPLICIT) -> int:
        """Return the model's fingerprint (section 6.3)."""
        register = crc.START
        for name, array in self.arrays.items():
            if name == "prior.tables":
                register = crc.crc16(bytes(self.shifts), register)
            stored = memory.store(array.numbers, CODES[array.dtype], "big")
            register = crc.crc16(stored, register)
        return register


def read_weights(data: bytes, memory: Memory = EXPLICIT, order: Order = "little") -> Weights:
    """Read a weight file (section 6.1).

    The specification's files are little-endian. A test may have swapped the arrays' bytes, and
    then gives another `order`.
    """
    length = int.from_bytes(data[:8], "little")
    description = json.loads(data[8 : 8 + length].decode("utf-8"))
    metadata = json.loads(description["__metadata__"]["hzc"])
    arrays = {
        name: _read_array(description, name, data[8 + length :], memory, order) for name in DTYPES
    }
    sizes = _sizes(arrays, metadata["config"]["n_latent"])
    shifts = tuple(metadata["prior_shifts"])
    _check(arrays, sizes, shifts)
    return Weights(metadata["model_id"], sizes, shifts, arrays)


def _read_array(description: dict, name: str, data: bytes, memory: Memory, order: Order) -> Array:
    entry = description[name]
    begin, end = entry["data_offsets"]
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    _rule(dtype == DTYPES[name], f"{name} has dtype {dtype}")
    numbers = memory.load(data[begin:end], CODES[dtype], order)
    count = 1
    for size in shape:
        count *= size
    _rule(len(numbers) == count, f"{name} does not fill its shape")
    _rule(end - begin == count * BYTES[CODES[dtype]], f"{name} has odd bytes")
    return Array(dtype, shape, numbers)


def _sizes(arrays: dict[str, Array], n_latent: int) -> Sizes:
    """Return the sizes that the shapes tell."""
    n_groups, n_rows, n_hidden = arrays["prior.w1"].shape
    n_scales, _, n_entries = arrays["prior.tables"].shape
    _rule(1 <= n_latent <= 255, f"D is {n_latent}")
    n_past = (n_rows - 1) // n_latent - 1
    return Sizes(n_latent, n_groups, n_past, n_hidden, n_scales, n_entries)


def _check(arrays: dict[str, Array], sizes: Sizes, shifts: tuple[int, ...]) -> None:
    """Check the rules of section 6.1."""
    d, g, k = sizes.n_latent, sizes.n_groups, sizes.n_past
    h, s, e = sizes.n_hidden, sizes.n_scales, sizes.n_entries
    _rule(g >= 1 and d % g == 0, "G does not divide D")
    _rule(k >= 0, "K is negative")
    _rule(1 <= h <= 2**20 and 1 + (k + 1) * d <= 2**20, "a layer is too wide")
    _rule(s >= 1, "no scales")
    _rule(2 <= e <= 4096 and e % 2 == 0, f"E is {e}")
    _rule(len(shifts) == 4 and all(0 <= shift <= 63 for shift in shifts), f"shifts {shifts}")
    shapes = {
        "prior.w1": (g, 1 + k * d + d, h),
        "prior.b1": (g, h),
        "prior.w2": (g, h, h),
        "prior.b2": (g, h),
        "prior.w3": (g, h, 2 * d // g),
        "prior.b3": (g, 2 * d // g),
        "prior.tables": (s, 8, e),
    }
    for name, shape in shapes.items():
        _rule(arrays[name].shape == shape, f"{name} has shape {arrays[name].shape}")
    _check_tables(arrays["prior.tables"].numbers, e)


def _check_tables(numbers: list[int], n_entries: int) -> None:
    _rule(min(numbers) >= 1, "a frequency of 0")
    for begin in range(0, len(numbers), n_entries):
        _rule(sum(numbers[begin : begin + n_entries]) == 65536, "a row does not sum to 65536")


def _rule(holds: bool, message: str) -> None:
    if not holds:
        raise ModelError(message)
