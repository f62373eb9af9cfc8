"""The context prior in exact integer arithmetic, and its integer tables.

For every frame and group of dimensions a small network looks at the symbols of the last frames, the
groups already coded in this frame and the step index, and answers with a mean (in eighths of a
step) and a scale index per dimension; these choose the table that codes the symbol:

    context ── W1 ── >> ── clamp ── W2 ── >> ── clamp ── W3 ── >> ── (mean, scale) ── table, shift

All operands are whole numbers and every partial sum stays under 2^53, so the float64 products are
exact on every machine, with any number of threads, in any order. Specification: formats/hzc-1.md,
section 6.
Source: Ballé, Johnston, Minnen, "Integer Networks for Data Compression with Latent-Variable
Models", ICLR 2019.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hzc.coding import entropy
from hzc.coding.entropy import CountArray, PayloadDecoder, PayloadEncoder
from hzc.errors import WeightsError

IntArray = npt.NDArray[np.int32]
ExactArray = npt.NDArray[np.float64]
"""Whole numbers held in float64."""

MEAN_FRACTIONS = 8
"""Means are in eighths of a step; one table per scale and eighth."""
ACTIVATION_MAX = 4095
CONTEXT_CLIP = 127
"""Symbols enter the network clamped to ±127."""
MEAN_CLIP = 8 * 127
TABLE_SUM = 2**16
MAX_ENTRIES = 2**12
"""Entries of a table row: more would have no frequency to spare."""
MAX_WIDTH = 2**20
"""Inputs of a layer: partial sums then stay under 2^47."""
ESCAPE_BITS = 16
CHUNKS_AT_ONCE = 16
"""Chunks that the network sees together while encoding, which bounds the memory."""

ARRAYS = ("w1", "b1", "w2", "b2", "w3", "b3")
DTYPES = {"w1": np.int16, "b1": np.int32, "w2": np.int16, "b2": np.int32, "w3": np.int16,
          "b3": np.int32, "tables": np.uint16}  # fmt: skip


@dataclass(frozen=True)
class Prior:
    """Integer network and tables of one model."""

    w1: npt.NDArray[np.int16]
    """[G, 1 + K * D + D, H]: step index, K frames oldest first, this frame."""
    b1: IntArray
    """[G, H]."""
    w2: npt.NDArray[np.int16]
    """[G, H, H]."""
    b2: IntArray
    """[G, H]."""
    w3: npt.NDArray[np.int16]
    """[G, H, 2 * D / G]: means, then scale indexes."""
    b3: IntArray
    """[G, 2 * D / G]."""
    shifts: tuple[int, int, int, int]
    """Right shifts after layer 1, layer 2, the means and the scale indexes."""
    tables: npt.NDArray[np.uint16]
    """[n_scales, MEAN_FRACTIONS, n_entries]: frequencies; the last entry is the escape."""

    def __post_init__(self) -> None:
        """Refuse shapes that do not belong together and tables that are not probabilities."""
        if any(getattr(self, name).dtype != dtype for name, dtype in DTYPES.items()):
            raise WeightsError("an array of the prior has the wrong type of numbers")
        if not (self.w1.ndim == self.w3.ndim == self.tables.ndim == 3 and self.tables.size):
            raise WeightsError("the prior's arrays do not fit together")
        if len(self.shifts) != 4 or any(
            not isinstance(shift, int) or shift not in range(64) for shift in self.shifts
        ):
            raise WeightsError(f"the prior's shifts {self.shifts} are not four of 0 to 63")
        groups, n_inputs, hidden = self.w1.shape
        per_group = self.w3.shape[2] // 2
        n_latent = groups * per_group
        shapes_fit = (
            self.w2.shape == (groups, hidden, hidden)
            and self.w3.shape == (groups, hidden, 2 * per_group)
            and self.b1.shape == self.b2.shape == (groups, hidden)
            and self.b3.shape == (groups, 2 * per_group)
            and n_latent > 0
            and n_inputs > n_latent
            and (n_inputs - 1) % n_latent == 0
            and self.tables.shape[1] == MEAN_FRACTIONS
            and self.tables.shape[2] % 2 == 0
            and self.tables.shape[2] <= MAX_ENTRIES
            and max(n_inputs, hidden) <= MAX_WIDTH
        )
        if not shapes_fit:
            raise WeightsError("the prior's arrays do not fit together")
        sums = self.tables.astype(np.int64).sum(axis=2)
        if self.tables.min() < 1 or (sums != TABLE_SUM).any():
            raise WeightsError("a table of the prior is not a probability distribution")

    @property
    def n_groups(self) -> int:
        """Groups of dimensions, coded one after the other in every frame."""
        return int(self.w1.shape[0])

    @property
    def group_size(self) -> int:
        """Dimensions per group."""
        return int(self.w3.shape[2]) // 2

    @property
    def n_latent(self) -> int:
        """Dimensions of the latent."""
        return self.n_groups * self.group_size

    @property
    def context_frames(self) -> int:
        """How many past frames the network sees."""
        return (int(self.w1.shape[1]) - 1) // self.n_latent - 1

    @property
    def max_residual(self) -> int:
        """Largest |symbol - mean| that the tables can code without an escape."""
        return int(self.tables.shape[2]) // 2 - 1

    @cached_property
    def fingerprint(self) -> int:
        """CRC-16 of everything that decides a probability; written into every file."""
        crc = 0xFFFF
        for name in ARRAYS:
            array = getattr(self, name)
            crc = crc_hqx(array.astype(array.dtype.newbyteorder(">")).tobytes(), crc)
        crc = crc_hqx(bytes(self.shifts), crc)
        return crc_hqx(self.tables.astype(">u2").tobytes(), crc)

    @cached_property
    def _layers(self) -> tuple[ExactArray, ...]:
        return tuple(getattr(self, name).astype(np.float64) for name in ARRAYS)

    @cached_property
    def _counts(self) -> CountArray:
        """float64 [n_tables, n_entries] for the coder, one row per scale and fraction."""
        return entropy.coder_counts(self.tables).reshape(-1, self.tables.shape[2])

    @cached_property
    def bits(self) -> ExactArray:
        """Cost of every table entry in bits, float64 [n_tables, n_entries]; escapes in full."""
        bits = np.log2(TABLE_SUM) - np.log2(self.tables.astype(np.float64))
        bits[:, :, -1] += ESCAPE_BITS
        flat: ExactArray = bits.reshape(-1, self.tables.shape[2])
        return flat

    def predict(self, group: int, context: ExactArray) -> tuple[IntArray, IntArray]:
        """Return the integer means and the table indexes of one group.

        Args:
            group: 0 … G - 1.
            context: float64 [n, 1 + K * D + D], whole numbers: step index, past frames, this frame
                (only the groups before this one are looked at).

        Returns:
            mean: int32 [n, D / G], nearest whole step.
            index: int32 [n, D / G], row of the tables.
        """
        w1, b1, w2, b2, w3, b3 = (layer[group] for layer in self._layers)
        known = 1 + self.context_frames * self.n_latent + group * self.group_size
        h = _shift_clamp(context[:, :known] @ w1[:known] + b1, self.shifts[0])
        h = _shift_clamp(h @ w2 + b2, self.shifts[1])
        out = (h @ w3 + b3).astype(np.int64)  # [n, 2 * D / G]
        mean = np.clip(out[:, : self.group_size] >> self.shifts[2], -MEAN_CLIP, MEAN_CLIP)
        scale = np.clip(out[:, self.group_size :] >> self.shifts[3], 0, len(self.tables) - 1)
        half = MEAN_FRACTIONS // 2
        whole = (mean + half) >> 3
        index = scale * MEAN_FRACTIONS + (mean - whole * MEAN_FRACTIONS + half)
        return whole.astype(np.int32), index.astype(np.int32)

    def encode(self, symbols: IntArray, step_index: int) -> bytes:
        """Return the payload of one chunk.

        Args:
            symbols: int32 [D, F], each in -32768 … 32767.
            step_index: The header's, -64 … 64.
        """
        (payload,) = self.encode_all([symbols], step_index)
        return payload

    def encode_all(self, chunks: Sequence[IntArray], step_index: int) -> list[bytes]:
        """Return the payloads of chunks, the same as one by one: the network sees them together.

        Args:
            chunks: Each as `encode`.
            step_index: The header's, -64 … 64.
        """
        payloads: list[bytes] = []
        for start in range(0, len(chunks), CHUNKS_AT_ONCE):
            batch = [chunk.T for chunk in chunks[start : start + CHUNKS_AT_ONCE]]  # [F, D] each
            whole, index = self._predict_all(batch, step_index)
            ends = np.cumsum([len(frames) for frames in batch])[:-1]
            for parts in zip(batch, np.split(whole, ends), np.split(index, ends), strict=True):
                payloads.append(self._payload(*parts))
        return payloads

    def _payload(self, frames: IntArray, whole: IntArray, index: IntArray) -> bytes:
        entries, escaped = self._to_entries(frames, whole)
        coder = PayloadEncoder()
        start = 0
        flat_entries, flat_index = entries.reshape(-1), index.reshape(-1)
        # An escaped value follows the group it belongs to, so runs end at groups with an escape.
        for group in np.flatnonzero(escaped.reshape(-1, self.group_size).any(axis=1)):
            end = (int(group) + 1) * self.group_size
            coder.put(flat_entries[start:end], self._counts[flat_index[start:end]])
            for position in range(end - self.group_size, end):
                if escaped.reshape(-1)[position]:
                    coder.put_value(int(frames.reshape(-1)[position]))
            start = end
        coder.put(flat_entries[start:], self._counts[flat_index[start:]])
        return coder.finish()

    def decode(self, payloads: list[bytes], n_frames: list[int], step_index: int) -> list[IntArray]:
        """Return int32 [D, F] for every chunk; chunks are independent and decoded side by side.

        Raises:
            CorruptError: a payload cannot be a coded stream.
        """
        order = sorted(range(len(payloads)), key=lambda i: -n_frames[i])
        coders = [PayloadDecoder(payloads[i]) for i in order]
        longest = n_frames[order[0]] if order else 0
        k, d, escape = self.context_frames, self.n_latent, self.tables.shape[2] - 1
        symbols = np.zeros((len(order), k + longest, d), dtype=np.int32)
        context = np.zeros((len(order), 1 + (k + 1) * d))
        context[:, 0] = step_index
        for t in range(longest):
            live = sum(n_frames[i] > t for i in order)
            past = symbols[:live, t : t + k].reshape(live, k * d)
            context[:live, 1 : 1 + k * d] = np.clip(past, -CONTEXT_CLIP, CONTEXT_CLIP)
            for group in range(self.n_groups):
                columns = slice(group * self.group_size, (group + 1) * self.group_size)
                decoded = symbols[:live, k + t, columns]
                whole, index = self.predict(group, context[:live])
                counts = self._counts[index]
                taken = [coder.take(rows) for coder, rows in zip(coders, counts, strict=False)]
                entries = np.concatenate(taken).reshape(live, -1)
                decoded[:] = entries - self.max_residual + whole
                # A coder's escaped values follow its entries, in the order of the dimensions.
                for row, column in np.argwhere(entries == escape):
                    decoded[row, column] = coders[row].take_value()
                clipped = np.clip(decoded, -CONTEXT_CLIP, CONTEXT_CLIP)
                context[:live, 1 + k * d :][:, columns] = clipped
        result: list[IntArray] = [np.empty(0, dtype=np.int32)] * len(order)
        for row, i in enumerate(order):
            result[i] = np.ascontiguousarray(symbols[row, k : k + n_frames[i]].T)
        return result

    def ideal_bits(self, symbols: IntArray, step_index: int) -> float:
        """Return the code length of int32 [D, F] under the tables, in bits.

        It is what a perfect coder would need for this chunk, to within the fraction of a byte by
        which a payload's length can carry information of its own.
        """
        frames = symbols.T
        whole, index = self._predict_all([frames], step_index)
        entries, _ = self._to_entries(frames, whole)
        return float(self.bits[index, entries].sum())

    def towards_means(
        self, symbols: IntArray, step_index: int, n_moves: int
    ) -> tuple[IntArray, npt.NDArray[np.float64]]:
        """Return int32 [D, F] moved towards its means, and what every symbol then costs.

        Args:
            symbols: int32 [D, F].
            step_index: The header's.
            n_moves: By how many whole numbers to move at most.

        Returns:
            moved: int32 [1 + n_moves, D, F]: moved by 0, 1, 2 …; none goes beyond its mean.
            bits: float64 of this shape, in the context of the symbols as they are.
        """
        frames = symbols.T
        whole, index = self._predict_all([frames], step_index)
        distance = frames - whole
        moves = np.minimum(np.abs(distance), np.arange(n_moves + 1)[:, None, None])
        moved = frames - np.sign(distance) * moves
        bits = self.bits[index, self._to_entries(moved, whole)[0]]
        return moved.astype(np.int32).transpose(0, 2, 1), bits.transpose(0, 2, 1)

    def gaussians(
        self, symbols: IntArray, step_index: int
    ) -> tuple[npt.NDArray[np.float32], IntArray]:
        """Return mean and scale of the tables chosen for int32 [D, F].

        Returns:
            mean: float32 [D, F], in steps.
            scale_index: int32 [D, F].
        """
        whole, index = self._predict_all([symbols.T], step_index)
        scale_index, fraction = np.divmod(index, MEAN_FRACTIONS)
        mean = whole + (fraction - MEAN_FRACTIONS // 2) / np.float32(MEAN_FRACTIONS)
        return mean.T.astype(np.float32), scale_index.T

    def _predict_all(
        self, chunks: Sequence[IntArray], step_index: int
    ) -> tuple[IntArray, IntArray]:
        """Means and table indexes of all frames, int32 [F, D] each, of chunks that are known."""
        context = np.concatenate([self._context(frames, step_index) for frames in chunks])
        parts = [self.predict(group, context) for group in range(self.n_groups)]
        whole = np.concatenate([p[0] for p in parts], axis=1)
        return whole, np.concatenate([p[1] for p in parts], axis=1)

    def _context(self, frames: IntArray, step_index: int) -> ExactArray:
        """Return what the network sees of a chunk, float64 [F, 1 + K * D + D]."""
        n_frames, d = frames.shape
        k = self.context_frames
        clipped = np.clip(frames, -CONTEXT_CLIP, CONTEXT_CLIP).astype(np.float64)
        padded = np.concatenate([np.zeros((k, d)), clipped])
        windows = np.lib.stride_tricks.sliding_window_view(padded, k + 1, axis=0)  # [F, D, K + 1]
        context = np.empty((n_frames, 1 + (k + 1) * d))
        context[:, 0] = step_index
        context[:, 1:] = windows.transpose(0, 2, 1).reshape(n_frames, -1)
        return context

    def _to_entries(
        self, symbols: IntArray, whole: IntArray
    ) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Table entries for symbols and integer means, and which of them are escapes."""
        residual = symbols - whole
        escaped = np.abs(residual) > self.max_residual
        entries = np.where(escaped, self.tables.shape[2] - 1, residual + self.max_residual)
        return entries.astype(np.int32), escaped


def _shift_clamp(accumulator: ExactArray, shift: int) -> ExactArray:
    """Shift right arithmetically, clamp to 0 … 4095, in place: whole numbers held as float64."""
    accumulator *= 2.0**-shift
    np.floor(accumulator, out=accumulator)
    return np.clip(accumulator, 0, ACTIVATION_MAX, out=accumulator)
