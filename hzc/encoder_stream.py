"""The encoder of a live pipe: chunk by chunk, each with the gain that it needs."""

from __future__ import annotations

import numpy as np

from hzc import container
from hzc.audio.levelled import n_frames_of
from hzc.audio.stream_level import StreamLevel
from hzc.bitrate import Rate
from hzc.blocks import FloatArray
from hzc.chunk_coder import ChunkCoder
from hzc.container import CHUNK_FRAMES, StreamHeader
from hzc.model.backend import Networks
from hzc.model.windows import LatentWindows
from hzc.rate_control import Setting
from hzc.search.stage import Stage
from hzc.steering import Steering

LIVE_CORE_FRAMES = CHUNK_FRAMES
"""Frames that one window of the network gives."""


class EncoderStream:
    """A file in the making: blocks of samples go in, bytes come out."""

    def __init__(
        self,
        coder: ChunkCoder,
        networks: Networks,
        header: StreamHeader,
        search: Stage,
        steering: Steering | None,
        verify: bool,
    ) -> None:
        """Start a file of unknown length."""
        self._coder, self._header, self._verify = coder, header, verify
        self._search, self._steering = search, steering
        model_rate_hz = networks.config.sample_rate_hz
        self._level = StreamLevel(header.sample_rate_hz, header.n_channels, model_rate_hz)
        self._analysis = LatentWindows(networks, LIVE_CORE_FRAMES, header.n_channels)
        self._y = np.zeros((header.n_channels, header.n_latent, 0), dtype=np.float32)
        self._packed_header = container.pack_header(header)
        self._n_bytes = self._payload_bytes = self._n_frames = self._n_chunks = 0

    def push(self, block: FloatArray) -> bytes:
        """Take samples, float32 [channel, sample] at the header's rate; return what is done."""
        return self._written(self._latent(self._level.push(block)))

    def finish(self) -> bytes:
        """Return the rest of the file."""
        header, n_samples = self._header, self._level.n_samples
        n_frames = n_frames_of(n_samples, header.sample_rate_hz)
        first = self._latent(self._level.finish())
        rest = self._search.finish(self._analysis.finish(n_frames))
        data = self._written(np.concatenate([first, rest], axis=-1), is_last=True)
        end = container.pack_end(
            header, self._packed_header, self._n_chunks, self._n_frames, n_samples
        )
        self._n_bytes += len(end)
        return data + end

    def _latent(self, x: FloatArray) -> FloatArray:
        return self._search.push(x, self._analysis.push(x))

    @property
    def rate(self) -> Rate:
        """Rate of what was written."""
        duration_s = self._level.n_samples / self._header.sample_rate_hz
        return Rate(self._n_bytes, duration_s, self._payload_bytes)

    def _written(self, y: FloatArray, is_last: bool = False) -> bytes:
        """Return the records of the chunks that are complete, the header before the first."""
        self._y = np.concatenate([self._y, y], axis=-1)
        out = b"" if self._n_bytes else self._packed_header
        while self._y.shape[-1] >= (CHUNK_FRAMES if not is_last else 1):
            out += self._record(self._y[..., :CHUNK_FRAMES])
            self._y = self._y[..., CHUNK_FRAMES:]
        self._n_bytes += len(out)
        return out

    def _record(self, y: FloatArray) -> bytes:
        setting, gain = Setting(self._header.step_index), self._level.gains_half_db[self._n_chunks]
        if self._steering:
            setting = self._steering.setting(y)
        chunk = self._coder.chunk(y, setting, gain, verify=self._verify)
        record = container.pack_chunk(self._header, self._packed_header, self._n_chunks, chunk)
        if self._steering:
            self._steering.spend(len(record), chunk.n_frames)
        self._payload_bytes += sum(map(len, chunk.payloads))
        self._n_frames += chunk.n_frames
        self._n_chunks += 1
        return record
