"""From samples to a file: blocks, windows, levels, rates, memory."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hzc import container, encoder
from hzc.audio import level, sources
from hzc.blocks import Blocks
from hzc.codec import Codec
from hzc.coding.prior import Prior
from hzc.container import CHUNK_FRAMES, Chunk
from hzc.encoder import Encoded
from hzc.errors import DesyncError, UnsupportedAudioError
from hzc.model.load import run

HOP = 2_000
WHOLE = 1 << 20
"""Frames: more than any test has, so that one window holds everything."""


@pytest.fixture
def n_threads():
    """Set torch's number of threads; it is put back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def encoded(codec: Codec, samples: np.ndarray, **options: bool) -> Encoded:
    """Encode samples at 16 kHz."""
    return codec.encoder.encode(sources.array_source(samples, 16_000), **options)


def gain_half_db(data: bytes) -> int:
    """The gain of a file, which is the same in all its chunks."""
    (gain,) = {chunk.gain_half_db for chunk in container.unpack(data).chunks}
    return gain


def in_blocks(samples: np.ndarray, sizes: list[int], rate_hz: int = 16_000) -> sources.Source:
    """Return samples [channel, sample] as a source whose blocks have the sizes, in turn."""

    def blocks() -> Blocks:
        start = turn = 0
        while start < samples.shape[1]:
            size = sizes[turn % len(sizes)]
            yield samples[:, start : start + size]
            start, turn = start + size, turn + 1

    n_channels, n_samples = samples.shape
    return sources.Source(rate_hz, n_channels, n_samples / rate_hz, blocks)


# --- the same everywhere --------------------------------------------------------------------


def test_encode_with_one_and_two_threads_gives_the_same_bytes(tiny_codec, minute, n_threads):
    n_threads(1)
    one = encoded(tiny_codec, minute).data
    n_threads(2)
    assert encoded(tiny_codec, minute).data == one


def test_encode_in_small_windows_codes_the_symbols_of_the_whole(tiny_codec, minute, monkeypatch):
    monkeypatch.setattr(encoder, "CORE_FRAMES", WHOLE)
    whole = encoded(tiny_codec, minute).data
    for core_frames in (17, CHUNK_FRAMES, 3 * CHUNK_FRAMES):
        monkeypatch.setattr(encoder, "CORE_FRAMES", core_frames)
        assert encoded(tiny_codec, minute).data == whole


def test_latents_equal_one_analysis_of_all_samples(tiny_codec, minute):
    x = minute * encoder.linear_gain(gain_half_db(encoded(tiny_codec, minute).data))
    padded = np.pad(x, (0, -len(x) % HOP))[None]
    whole = run(tiny_codec.encoder._analysis, padded, "cpu")
    found = tiny_codec.encoder.latents(sources.array_source(minute, 16_000))
    assert np.abs(found - whole).max() < 1e-4


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("sizes", [[1 << 20], [131_072], [997], [1, 40_000, 3, 2_000]])
def test_encode_in_blocks_of_any_size_gives_the_same_bytes(tiny_codec, sound, sizes, rate_hz):
    pair = np.stack([sound(90_001, rate_hz, 1), sound(90_001, rate_hz, 2)])
    source = in_blocks(pair, sizes, rate_hz)
    whole = sources.array_source(pair, rate_hz)
    for keep_channels in (False, True):
        found = tiny_codec.encoder.encode(source, keep_channels=keep_channels).data
        assert found == tiny_codec.encoder.encode(whole, keep_channels=keep_channels).data


def test_encode_of_a_wrong_duration_counts_the_samples_that_come(tiny_codec, minute):
    source = in_blocks(minute[None, :50_000], [4_096])
    for duration_s in (1.0, 100.0, None):
        claimed = dataclasses.replace(source, duration_s=duration_s)
        data = tiny_codec.encoder.encode(claimed).data
        assert container.read_header(data)[0].n_samples == 50_000
        assert data == tiny_codec.encoder.encode(source).data


@pytest.mark.parametrize("n_later", [1, 20_000, 49_999, 50_001, 53_000, 200_000])
def test_encode_of_a_source_that_changes_keeps_the_length_it_had_first(tiny_codec, minute, n_later):
    lengths = iter([50_000, n_later])

    def blocks() -> Blocks:
        return iter([minute[None, : next(lengths)]])

    data = tiny_codec.encoder.encode(sources.Source(16_000, 1, None, blocks)).data
    assert container.unpack(data).header.n_samples == 50_000
    if n_later > 50_000:
        assert data == encoded(tiny_codec, minute[:50_000]).data


# --- level ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("decibels", "half_db"), [(-20, 40), (-26, 52), (12, -24)])
def test_encode_scaled_input_changes_the_gain_alone(tiny_codec, minute, decibels, half_db):
    x = minute[:250_000]
    scaled = x * np.float32(10.0 ** (decibels / 20.0))
    data, other = encoded(tiny_codec, x).data, encoded(tiny_codec, scaled).data
    assert container.read_header(other) == container.read_header(data)
    assert gain_half_db(other) == gain_half_db(data) + half_db
    # Samples differ in their last bit, and now and then a symbol is on the very border.
    moved = tiny_codec.symbols(other) - tiny_codec.symbols(data)
    assert np.abs(moved).max() <= 1
    assert (moved != 0).mean() < 2e-3


def test_encode_brings_the_loud_parts_to_the_target_level(tiny_codec, minute):
    gain_db = gain_half_db(encoded(tiny_codec, minute).data) / 2
    level_db = level.survey(sources.array_source(minute, 16_000)).level_db
    assert level_db + gain_db == pytest.approx(encoder.TARGET_LEVEL_DB, abs=0.26)


def test_encode_very_quiet_input_limits_the_gain(tiny_codec, minute):
    x = minute[:50_000]
    level_db = level.survey(sources.array_source(x, 16_000)).level_db
    quiet = x * np.float32(10.0 ** ((-68.0 - level_db) / 20.0))
    assert gain_half_db(encoded(tiny_codec, quiet).data) == encoder.MAX_GAIN_HALF_DB


def test_encode_very_loud_input_limits_the_gain(tiny_codec, minute):
    loud = encoded(tiny_codec, minute[:50_000] * 1e4).data
    assert gain_half_db(loud) == -encoder.MAX_GAIN_HALF_DB


@pytest.mark.parametrize("peak", [0.0, 1e-9, 1e-4])
def test_encode_silence_is_left_as_it_is(tiny_codec, peak):
    silence = np.full(50_001, peak, dtype=np.float32)
    data = encoded(tiny_codec, silence).data
    assert gain_half_db(data) == 0
    samples, _ = tiny_codec.decode(data)
    assert samples.shape == (50_001,)
    assert np.isfinite(samples).all()


def test_encode_digital_silence_repeats_one_frame(tiny_codec):
    symbols = tiny_codec.symbols(encoded(tiny_codec, np.zeros(100_000)).data)
    reach = tiny_codec.model.config.analysis_context_frames
    inner = symbols[:, :, reach:-reach]
    assert (inner == inner[:, :, :1]).all()


@pytest.mark.parametrize(
    ("level_db", "expected"),
    [
        (-26.0, 0), (-26.2, 0), (-26.3, 1), (-6.0, -40), (-36.0, 20), (-56.0, 60), (-69.0, 60),
        (10.0, -60), (level.SILENCE_DB, 0), (-200.0, 0),
    ],
)  # fmt: skip
def test_gain_for_a_level_leads_to_the_target_as_far_as_allowed(level_db, expected):
    assert encoder.gain_for(level_db, most_half_db=60) == expected


def test_linear_gain_of_half_decibels_is_their_factor():
    assert encoder.linear_gain(0) == 1.0
    assert encoder.linear_gain(40) == pytest.approx(10.0)
    assert encoder.linear_gain(-80) == pytest.approx(0.01)
    assert encoder.linear_gain(12).dtype == np.float32


# --- rate -----------------------------------------------------------------------------------


def test_encode_coarser_step_never_gives_a_larger_file(static_codec, minute):
    x = minute[:320_000]
    sizes = [len(static_codec.encode(x, 16_000, step_index=i)) for i in range(-32, 33, 8)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.5 * sizes[4] > 1.5 * sizes[-1]


def ideal_bits(codec: Codec, data: bytes) -> float:
    symbols = codec.symbols(data)
    starts = range(0, symbols.shape[-1], CHUNK_FRAMES)
    return sum(
        codec.model.prior.ideal_bits(channel[:, start : start + CHUNK_FRAMES], 0)
        for channel in symbols
        for start in starts
    )


def test_encode_payload_is_as_long_as_the_ideal_code(static_codec, minute):
    data = encoded(static_codec, minute).data
    found, bits = container.unpack(data), ideal_bits(static_codec, data)
    assert bits <= 8 * found.payload_bytes <= 1.005 * bits + 32 * len(found.chunks)


def test_kl_bits_under_a_prior_that_fits_are_below_the_ideal_code(static_codec, minute):
    found = encoded(static_codec, minute, with_kl=True)
    ideal = ideal_bits(static_codec, found.data)
    # A wide Gaussian is flat over a bin: the two differ by the entropy of noise of variance 1/12,
    # a quarter of a bit for every symbol.
    noise_bits = 0.5 * np.log2(2 * np.pi * np.e / 12) * static_codec.symbols(found.data).size
    assert found.kl_bits < ideal
    assert found.kl_bits == pytest.approx(ideal - noise_bits, rel=0.01)


def test_kl_bits_under_any_prior_are_finite_and_positive(tiny_codec, minute):
    for x in (minute[:200_000], np.zeros(30_000)):
        kl_bits = encoded(tiny_codec, x, with_kl=True).kl_bits
        assert np.isfinite(kl_bits)
        assert kl_bits > 0


def test_kl_bits_of_two_channels_are_those_of_each(tiny_codec, sound):
    mono = sound(170_000)
    one = encoded(tiny_codec, mono, with_kl=True).kl_bits
    two = encoded(tiny_codec, np.stack([mono] * 2), with_kl=True, keep_channels=True).kl_bits
    assert two == pytest.approx(2 * one, rel=1e-5)


def test_kl_bits_are_computed_where_asked_for_only(tiny_codec, sound):
    x = sound(30_000)
    plain, with_kl = encoded(tiny_codec, x), encoded(tiny_codec, x, with_kl=True)
    assert plain.kl_bits is None
    assert plain.data == with_kl.data


def test_kl_bits_of_one_latent_equal_numerical_integration(static_codec):
    y = np.array([[[0.3, -7.2]] * 32], dtype=np.float32)
    coded = encoder._Coded(Chunk(2, (b"",)), y, np.rint(y).astype(np.int32))
    found = static_codec.encoder._kl_bits(coded, 0)
    width, sigma = float(static_codec.model.mixtures[0][7, 0]), 12**-0.5
    grid = np.linspace(-4, 4, 20_001)
    expected = 0.0
    for value in (0.3, -7.2):
        q = np.exp(-0.5 * (grid / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        p = np.exp(-0.5 * ((grid + value) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        expected += 32 * float((q * np.log2((q + 1e-300) / p)).sum() * (grid[1] - grid[0]))
    assert found == pytest.approx(expected, rel=1e-4)


# --- length ---------------------------------------------------------------------------------

MEASURE_MEMORY = """
import sys
import numpy as np
import torch
from hzc import container
from hzc.audio import sources
from hzc.codec import Codec

torch.set_num_threads(1)
codec = Codec.load(sys.argv[1])
rng = np.random.default_rng(0)
block = rng.normal(0, 0.05, (1, 80_000)).astype(np.float32)


def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def there_and_back(minutes):
    source = sources.Source(16_000, 1, 60.0 * minutes, lambda: (block for _ in range(12 * minutes)))
    data = codec.encoder.encode(source).data
    encoded_mb = peak_mb()
    parsed = container.unpack(data)
    decoded = codec.decoder.samples(lambda: parsed.header, parsed.chunks, 16_000)
    assert sum(b.shape[1] for b in decoded) == 960_000 * minutes
    return np.array([encoded_mb, peak_mb()])


short = there_and_back(4).max()
print(*(there_and_back(20) - short))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's peak memory")
def test_encode_and_decode_of_twenty_minutes_never_hold_all_samples(
    tmp_path, static_prior, write_tiny_model
):
    path = write_tiny_model(tmp_path / "static.safetensors", static_prior)
    command = [sys.executable, "-c", MEASURE_MEMORY, str(path)]
    result = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ}, timeout=200
    )
    assert result.returncode == 0, result.stderr
    encode_mb, decode_mb = map(float, result.stdout.split())
    samples_mb = 20 * 60 * 16_000 * 4 / 2**20
    assert encode_mb < 0.6 * samples_mb
    assert decode_mb < 0.6 * samples_mb


def test_encode_tells_the_seconds_that_it_did(tiny_codec, minute):
    told: list[float] = []
    tiny_codec.encoder.encode(sources.array_source(minute, 16_000), progress=told.append)
    assert len(told) == 7
    assert sum(told) == 481 / 8


def test_encode_of_more_than_a_file_can_hold_raises(tiny_codec, monkeypatch):
    monkeypatch.setattr(container, "MAX_FRAMES", 2)
    encoded(tiny_codec, np.zeros(4_000))
    with pytest.raises(UnsupportedAudioError, match="4001 samples"):
        encoded(tiny_codec, np.zeros(4_001))


# --- verification ---------------------------------------------------------------------------


def test_encode_that_verifies_gives_the_same_bytes(tiny_codec, minute):
    pair = np.stack([minute[:250_000], minute[-250_000:]])
    plain, verified = (encoded(tiny_codec, pair, keep_channels=True, verify=v) for v in (0, 1))
    assert verified == plain


@pytest.mark.parametrize("change", ["a symbol", "a channel"])
def test_encode_that_verifies_and_gets_other_symbols_raises_desync(
    tiny_codec, sound, monkeypatch, change
):
    right = Prior.decode

    def wrong(self, *args):
        symbols = [channel.copy() for channel in right(self, *args)]
        if change == "a symbol":
            symbols[1][31, -1] += 1
        return symbols if change == "a symbol" else symbols[::-1]

    pair = np.stack([sound(30_000, seed=1), sound(30_000, seed=2)])
    monkeypatch.setattr(Prior, "decode", wrong)
    encoded(tiny_codec, pair, keep_channels=True)
    with pytest.raises(DesyncError, match="verification failed"):
        encoded(tiny_codec, pair, keep_channels=True, verify=True)


# --- streams that turn out short ------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [1, 2_001, 100_000, 192_000])
@pytest.mark.parametrize("keep_channels", [False, True])
def test_encode_stream_that_ends_early_gives_the_bytes_of_encode(
    tiny_codec, sound, n_samples, keep_channels
):
    pair = np.stack([sound(n_samples, seed=1), sound(n_samples, seed=2)])
    source, written = in_blocks(pair, [16_000]), []
    measured = tiny_codec.encoder.encode_stream(source, written.append, keep_channels=keep_channels)
    data = b"".join(written)
    assert data == tiny_codec.encoder.encode(source, keep_channels=keep_channels).data
    assert (measured.n_bytes, measured.duration_s) == (len(data), n_samples / 16_000)


@pytest.mark.parametrize("pieces", [[], [np.zeros((2, 0), np.float32)] * 3])
def test_encode_stream_of_no_samples_raises_and_writes_nothing(tiny_codec, pieces):
    source, written = sources.Source(16_000, 2, None, lambda: iter(pieces)), []
    with pytest.raises(UnsupportedAudioError, match="no samples"):
        tiny_codec.encoder.encode_stream(source, written.append)
    assert written == []
