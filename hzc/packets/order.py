"""Packets in the order of their time, whatever order they come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hzc.coding.entropy import IntArray
from hzc.packets.packet import POSITIONS, Packet

MAX_JUMP = 512
"""Frames, 64 s, that a packet may be ahead or late. One further off is believed if another follows
it: the sender began anew. Source: RFC 3550, appendix A.1."""
MAX_EARLY = 64
"""Frames before the first packet that came: what it has overtaken is still played before it."""


@dataclass(frozen=True)
class Received:
    """A packet and its symbols."""

    packet: Packet
    symbols: IntArray
    """int32 [D, n_frames]."""


@dataclass(frozen=True)
class Due:
    """What is to be played next."""

    n_missing: int
    """Frames that are lost, before the packet."""
    received: Received
    n_skipped: int
    """Frames of the packet whose time has passed."""


@dataclass
class Counts:
    """What became of packets so far."""

    n_played: int = 0
    """Packets that were in time."""
    n_refused: int = 0
    """Damaged, of another model or version, or no packets at all."""
    n_double: int = 0
    n_late: int = 0
    """Their time had passed."""
    n_stray: int = 0
    """Far from the others in time."""
    n_lost_frames: int = 0
    """Frames, eight to a second, that never came in time."""


class Order:
    """Holds packets that came early until those before them have come, or are given up."""

    def __init__(self, n_patience: int) -> None:
        """Start a stream; n_patience packets after a missing one are waited for."""
        self.counts = Counts()
        self.is_started = False
        """Whether anything was due yet."""
        self._n_patience = n_patience
        self._next = 0
        """Position of the frame that is due next, modulo nothing."""
        self._waiting: dict[int, Received] = {}
        self._is_pause = False
        self._stray_end: int | None = None

    def is_wanted(self, packet: Packet) -> bool:
        """Whether a packet is neither double nor late; counts it if it is."""
        if not self.is_started and not self._waiting:
            self._next = packet.position
        start = self._start(packet)
        n_behind = self._next - start
        is_double = start in self._waiting
        n_allowed = MAX_EARLY if not self.is_started or packet.is_end else packet.n_frames - 1
        is_late = max(0, n_allowed) < n_behind <= MAX_JUMP
        self.counts.n_double += is_double
        self.counts.n_late += is_late and not is_double
        return not (is_double or is_late)

    def put(self, received: Received) -> bool:
        """Take a wanted packet; return False for one that is far from the others."""
        packet = received.packet
        if abs(self._start(packet) - self._next) > MAX_JUMP:
            follows = packet.position == self._stray_end
            self._stray_end = (packet.position + packet.n_frames) % POSITIONS
            if not follows:
                self.counts.n_stray += 1
                return False
            self._waiting.clear()
            self._next, self._stray_end = packet.position, None
        start = self._start(packet)
        if not self.is_started:
            self._next = min(self._next, start)
        self._waiting[start] = received
        return True

    def due(self, *, is_patient: bool) -> Iterator[Due]:
        """Yield what can be played now; if patient, leave time for what is missing."""
        while self._waiting:
            start = min(self._waiting)
            if is_patient and not self._may_go_on(start):
                return
            self.is_started = True
            received = self._waiting.pop(start)
            n_missing, n_skipped = max(0, start - self._next), max(0, self._next - start)
            self._count_lost(n_missing)
            n_frames, is_end = received.packet.n_frames, received.packet.is_end
            if n_skipped < max(1, n_frames) or is_end:
                self._next = max(self._next, start + n_frames)
                self._is_pause = received.packet.is_mark
                self.counts.n_played += 1
                yield Due(n_missing, received, n_skipped)

    def skip(self, n_frames: int) -> None:
        """Give up the next frames: their time has come, and they have not."""
        self._count_lost(n_frames)
        self._next += n_frames

    def _count_lost(self, n_frames: int) -> None:
        self.counts.n_lost_frames += 0 if self._is_pause else n_frames

    def _start(self, packet: Packet) -> int:
        """Return the position of a packet that is nearest to what is due next."""
        half = POSITIONS // 2
        return self._next + (packet.position - self._next + half) % POSITIONS - half

    def _may_go_on(self, start: int) -> bool:
        """Whether what is due waits, or so much that comes after it that it is lost."""
        is_here = start <= self._next if self.is_started else start % POSITIONS == 0
        has_end = any(received.packet.is_end for received in self._waiting.values())
        return is_here or has_end or len(self._waiting) > self._n_patience
