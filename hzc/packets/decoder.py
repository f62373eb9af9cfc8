"""From packets to samples, on a clock that no lost packet stops.

    packets ── symbols ── order ── player ── resample ── samples

Nothing that a link brings is trusted: what is no packet of this model and this time is counted and
dropped.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hzc.audio.sources import Resampler
from hzc.blocks import FloatArray, empty
from hzc.coding.entropy import IntArray
from hzc.container import FRAME_RATE_HZ, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from hzc.errors import ArgumentError, CorruptError, HzcError
from hzc.model.backend import Networks
from hzc.model.file import Model
from hzc.packets.order import Counts, Due, Order, Received
from hzc.packets.packet import Key, Packet, unpack
from hzc.packets.player import Player

DEFAULT_PATIENCE = 1
LUCKY_BITS = 40
"""A payload is shorter than the code length of its symbols by k bits once in 2^k times."""


class PacketDecoder:
    """Packets go in as they come, samples come out in order.

    What cannot be played is dropped and counted, not raised: a link may bring anything.
    """

    def __init__(
        self,
        model: Model,
        networks: Networks,
        sample_rate_hz: int | None = None,
        *,
        patience: int = DEFAULT_PATIENCE,
    ) -> None:
        """Start a stream.

        Args:
            model: An open weight file.
            networks: Its networks.
            sample_rate_hz: Of the samples, 1000 … 768000; None for the model's.
            patience: Packets after a missing one that are waited for before it is taken for lost.

        Raises:
            ArgumentError: a number is out of range.
        """
        low, high = MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ
        model_rate_hz = model.config.sample_rate_hz
        rate_hz = model_rate_hz if sample_rate_hz is None else sample_rate_hz
        if not (low <= rate_hz <= high and rate_hz % 1 == 0):
            raise ArgumentError(f"sample rate {rate_hz!r} Hz ({low} to {high} expected)")
        if patience < 0:
            raise ArgumentError(f"patience {patience!r} (0 or more expected)")
        self.sample_rate_hz = int(rate_hz)
        self.is_ended = False
        """Whether the end has come: no more packets are taken."""
        self._model, self._key = model, Key.of(model)
        self._order, self._player = Order(patience), Player(model, networks)
        self._resampler = Resampler(1, model_rate_hz, self.sample_rate_hz)
        self._n_in = self._n_out = 0  # samples into and out of the resampler
        self._ready = empty(1)

    @property
    def counts(self) -> Counts:
        """What became of packets so far."""
        return self._order.counts

    def push(self, data: bytes) -> bool:
        """Take a packet; return whether it will be played."""
        if self.is_ended:
            self.counts.n_late += 1
            return False
        try:
            packet = unpack(data, self._key)
            if not self._order.is_wanted(packet):
                return False
            received = Received(packet, symbols_of(packet, self._model))
        except HzcError:
            self.counts.n_refused += 1
            return False
        if not self._order.put(received):
            return False
        self._play(self._order.due(is_patient=True))
        return True

    def read(self, n_samples: int | None = None) -> FloatArray:
        """Return the samples that come next, float32 [sample], not clipped.

        Args:
            n_samples: How many, for a player with a clock of its own: what has not come by now is
                made up. None for all that are ready; it leaves time for what is missing.

        Returns:
            That many; fewer only where the stream ends.
        """
        if n_samples is None:
            n_samples = self._ready.shape[1]
        while self._ready.shape[1] < n_samples and not self.is_ended:
            self._hurry()
        x, self._ready = np.split(self._ready, [n_samples], axis=1)
        return np.ascontiguousarray(x[0])

    def finish(self) -> FloatArray:
        """Return the rest, float32 [sample]: no more packets come."""
        self._play(self._order.due(is_patient=False))
        if not self.is_ended:
            self._end(trim=0)
        return self.read()

    def _hurry(self) -> None:
        """Play what waits, or else make up a frame."""
        due = list(self._order.due(is_patient=False))
        self._play(due)
        if not due and self._order.is_started:
            self._order.skip(1)
            self._give(self._player.lose(1))
        elif not due:  # no packet has ever come
            n_samples = -(-self.sample_rate_hz // FRAME_RATE_HZ)
            self._ready = np.pad(self._ready, ((0, 0), (0, n_samples)))

    def _play(self, due: Iterable[Due]) -> None:
        for one in due:
            packet, symbols = one.received.packet, one.received.symbols
            if one.n_missing:
                self._give(self._player.lose(one.n_missing))
            if packet.is_end:
                self._end(0 if one.n_skipped else packet.trim or 0)
                return
            if packet.is_mark:
                self._give(self._player.pause())
            else:
                self._give(self._player.play(packet, symbols[:, one.n_skipped :]))

    def _end(self, trim: int) -> None:
        self._give(self._player.end(trim))
        n_wanted = -(-self._n_in * self.sample_rate_hz // self._model.config.sample_rate_hz)
        rest = self._resampler.finish()[:, : max(0, n_wanted - self._n_out)]
        n_missing = max(0, n_wanted - self._n_out - rest.shape[1])
        rest = np.pad(rest, ((0, 0), (0, n_missing)))
        self._ready = np.concatenate([self._ready, rest], axis=1)
        self.is_ended = True

    def _give(self, blocks: Iterable[FloatArray]) -> None:
        """Make samples at the model's rate ready to be read."""
        for block in blocks:
            self._n_in += block.shape[1]
            resampled = self._resampler.push(block)
            self._n_out += resampled.shape[1]
            self._ready = np.concatenate([self._ready, resampled], axis=1)


def symbols_of(packet: Packet, model: Model) -> IntArray:
    """Return the symbols of a packet, int32 [D, n_frames].

    Raises:
        CorruptError: the payload is not what an encoder makes of its symbols.
    """
    prior, step_index = model.prior, packet.step_index
    if packet.is_mark:
        return np.zeros((prior.n_latent, 0), np.int32)
    (symbols,) = prior.decode([packet.payload], [packet.n_frames], step_index)
    is_coded = prior.encode(symbols, step_index) == packet.payload
    n_bits = prior.ideal_bits(symbols, step_index)
    if not is_coded or n_bits > 8 * len(packet.payload) + LUCKY_BITS:
        raise CorruptError("the payload is not a coded stream")
    return symbols
