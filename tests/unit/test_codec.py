"""The whole codec with a tiny model: lengths, windows, levels, rates, memory, errors."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import hzc
from hzc import audio, codec, container, quantize
from hzc.codec import Codec, n_samples_at
from hzc.container import CHUNK_FRAMES, Header
from hzc.errors import (
    DesyncError,
    FormatError,
    LatentError,
    UnknownModelError,
    UnsupportedAudioError,
)

HOP = 2_000
CHUNK_SAMPLES = CHUNK_FRAMES * HOP
WHOLE = 1 << 20
"""Frames: more than any test has, so that one window holds everything."""
RATES_HZ = (8_000, 11_025, 16_000, 44_100, 48_000)


@pytest.fixture(scope="module")
def minute(sound):
    return sound(60 * 16_000 + 777)


@pytest.fixture(scope="module")
def static_codec(tmp_path_factory, static_prior, write_tiny_model):
    """The tiny networks with a prior that fits them."""
    path = tmp_path_factory.mktemp("static") / "static.safetensors"
    return Codec.load(write_tiny_model(path, static_prior))


@pytest.fixture
def n_threads():
    """Set torch's number of threads; it is put back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def payloads(data: bytes) -> list[tuple[bytes, ...]]:
    return [chunk.payloads for chunk in container.unpack(data).chunks]


def in_blocks(samples: np.ndarray, sizes: list[int], rate_hz: int = 16_000) -> audio.Source:
    """Return samples [channel, sample] as a source whose blocks have the sizes, in turn."""

    def blocks() -> audio.Blocks:
        start = turn = 0
        while start < samples.shape[1]:
            size = sizes[turn % len(sizes)]
            yield samples[:, start : start + size]
            start, turn = start + size, turn + 1

    n_channels, n_samples = samples.shape
    return audio.Source(rate_hz, n_channels, n_samples / rate_hz, blocks)


def level_db(samples: np.ndarray) -> float:
    return 10.0 * float(np.log10(np.mean(np.square(samples, dtype=np.float64))))


# --- how many samples -----------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize(
    "n_samples",
    [1, HOP - 1, HOP, HOP + 1, CHUNK_SAMPLES - 1, CHUNK_SAMPLES, CHUNK_SAMPLES + 1, 250_000],
)
def test_decode_at_the_source_rate_gives_as_many_samples_as_went_in(
    tiny_codec, sound, n_samples, rate_hz
):
    data = tiny_codec.encode(sound(n_samples, rate_hz), rate_hz)
    header = container.read_header(data)[0]
    assert (header.n_samples, header.sample_rate_hz) == (n_samples, rate_hz)
    assert header.n_frames == -(-n_samples * 8 // rate_hz)
    samples, found_hz = tiny_codec.decode(data, rate_hz)
    assert samples.shape == (n_samples,)
    assert samples.dtype == np.float32
    assert found_hz == rate_hz
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_decode_without_a_rate_gives_the_model_s_own(tiny_codec, sound, rate_hz):
    data = tiny_codec.encode(sound(30_001, rate_hz), rate_hz)
    samples, found_hz = tiny_codec.decode(data)
    assert found_hz == 16_000
    assert len(samples) == -(-30_001 * 16_000 // rate_hz)


def test_n_samples_at_any_rate_covers_the_duration():
    header = Header(
        model_id=240, fingerprint=0, n_latent=32, n_frames=9, n_samples=48_001,
        sample_rate_hz=44_100,
    )  # fmt: skip
    for rate_hz in (1_000, 8_000, 44_100, 48_000, 768_000):
        n_samples = n_samples_at(header, rate_hz)
        assert n_samples / rate_hz >= 48_001 / 44_100 > (n_samples - 1) / rate_hz


def test_decode_at_another_rate_gives_the_same_sound(tiny_codec, minute):
    data = tiny_codec.encode(minute[:48_000], 16_000)
    here, _ = tiny_codec.decode(data)
    twice, _ = tiny_codec.decode(data, 32_000)
    assert len(twice) == 2 * len(here)
    inner = slice(500, -500)
    # What is near half the lower rate falls into the resampler's transition band.
    assert level_db(twice[::2][inner] - here[inner]) < level_db(here[inner]) - 10


# --- channels -------------------------------------------------------------------------------


def test_encode_two_channels_by_default_codes_their_mean(tiny_codec, sound):
    pair = np.stack([sound(30_000, seed=1), sound(30_000, seed=2)])
    data = tiny_codec.encode(pair, 16_000)
    assert data == tiny_codec.encode(pair.mean(axis=0), 16_000)
    assert container.read_header(data)[0].n_channels == 1
    assert tiny_codec.decode(data)[0].shape == (30_000,)


def test_encode_keeping_channels_decodes_to_as_many(tiny_codec, sound):
    both = np.stack([sound(250_000, seed=1), sound(250_000, seed=2)])
    data = tiny_codec.encode(both, 16_000, keep_channels=True)
    assert container.read_header(data)[0].n_channels == 2
    assert tiny_codec.symbols(data).shape == (2, 32, 125)
    assert tiny_codec.decode(data)[0].shape == (2, 250_000)
    assert tiny_codec.decode(data, 11_025)[0].shape == (2, -(-250_000 * 11_025 // 16_000))


def test_encode_keeping_equal_channels_codes_each_like_one_channel(tiny_codec, sound):
    mono = sound(250_000)
    one = tiny_codec.encode(mono, 16_000)
    three = tiny_codec.encode(np.stack([mono] * 3), 16_000, keep_channels=True)
    assert payloads(three) == [payload * 3 for payload in payloads(one)]
    once, _ = tiny_codec.decode(one)
    assert np.abs(tiny_codec.decode(three)[0] - once).max() < 1e-5


def test_encode_keeping_channels_keeps_their_order(tiny_codec, sound):
    pair = np.stack([sound(170_000, seed=3), 0.2 * sound(170_000, seed=4)])
    there = tiny_codec.symbols(tiny_codec.encode(pair, 16_000, keep_channels=True))
    back = tiny_codec.symbols(tiny_codec.encode(pair[::-1], 16_000, keep_channels=True))
    assert not np.array_equal(there[0], there[1])
    assert np.array_equal(there, back[::-1])


def test_decode_in_blocks_of_a_few_chunks_returns_every_symbol(tiny_codec, sound, monkeypatch):
    monkeypatch.setattr(codec, "DECODE_CHUNKS", 5)
    three = np.stack([sound(3 * CHUNK_SAMPLES + 3_000, seed=i) for i in range(3)])
    encoded = tiny_codec.encode_source(audio.array_source(three, 16_000), keep_channels=True)
    assert encoded.symbols.shape == (3, 32, 3 * CHUNK_FRAMES + 2)
    assert np.array_equal(tiny_codec.symbols(encoded.data), encoded.symbols)


# --- the same everywhere --------------------------------------------------------------------


def test_encode_with_one_and_two_threads_gives_the_same_bytes(tiny_codec, minute, n_threads):
    n_threads(1)
    one = tiny_codec.encode(minute, 16_000)
    sound_of_one, _ = tiny_codec.decode(one)
    n_threads(2)
    assert tiny_codec.encode(minute, 16_000) == one
    assert np.abs(tiny_codec.decode(one)[0] - sound_of_one).max() < 1e-5


def test_encode_in_small_windows_codes_the_symbols_of_the_whole(tiny_codec, minute, monkeypatch):
    monkeypatch.setattr(codec, "CORE_FRAMES", WHOLE)
    whole = tiny_codec.encode(minute, 16_000)
    for core_frames in (17, CHUNK_FRAMES, 3 * CHUNK_FRAMES):
        monkeypatch.setattr(codec, "CORE_FRAMES", core_frames)
        assert tiny_codec.encode(minute, 16_000) == whole


def test_decode_in_small_windows_gives_the_waveform_of_the_whole(tiny_codec, minute, monkeypatch):
    data = tiny_codec.encode(minute, 16_000)
    monkeypatch.setattr(codec, "CORE_FRAMES", WHOLE)
    whole, _ = tiny_codec.decode(data)
    for core_frames in (17, CHUNK_FRAMES, 3 * CHUNK_FRAMES):
        monkeypatch.setattr(codec, "CORE_FRAMES", core_frames)
        assert np.abs(tiny_codec.decode(data)[0] - whole).max() < 1e-4


def test_decode_equals_one_synthesis_of_all_symbols(tiny_codec, minute):
    data = tiny_codec.encode(minute, 16_000)
    header = container.read_header(data)[0]
    y_hat = quantize.to_latent(tiny_codec.symbols(data), tiny_codec.file.base_step)
    whole = tiny_codec._synthesise(y_hat)[0] / 10.0 ** (header.gain_half_db / 40.0)
    assert np.abs(tiny_codec.decode(data)[0] - whole[: len(minute)]).max() < 1e-4


def test_latents_equal_one_analysis_of_all_samples(tiny_codec, minute):
    header = container.read_header(tiny_codec.encode(minute, 16_000))[0]
    x = minute * np.float32(10.0 ** (header.gain_half_db / 40.0))
    padded = np.pad(x, (0, -len(x) % HOP))[None]
    whole = tiny_codec._analyse(padded)
    assert np.abs(tiny_codec.latents(minute, 16_000) - whole).max() < 1e-4


def test_decode_has_no_jump_where_chunks_or_windows_meet(tiny_codec, minute, monkeypatch):
    monkeypatch.setattr(codec, "CORE_FRAMES", 100)
    samples, _ = tiny_codec.decode(tiny_codec.encode(minute, 16_000))
    slope = np.abs(np.diff(samples))
    borders = [*range(80, 480, 80), *range(100, 480, 100)]
    for border in (HOP * frame for frame in borders):
        nearby = np.concatenate([slope[border - 4_000 : border - 3], slope[border + 3 :][:4_000]])
        assert slope[border - 3 : border + 3].max() <= nearby.max()


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("sizes", [[1 << 20], [131_072], [997], [1, 40_000, 3, 2_000]])
def test_encode_in_blocks_of_any_size_gives_the_same_bytes(tiny_codec, sound, sizes, rate_hz):
    pair = np.stack([sound(90_001, rate_hz, 1), sound(90_001, rate_hz, 2)])
    source = in_blocks(pair, sizes, rate_hz)
    whole = audio.array_source(pair, rate_hz)
    for keep_channels in (False, True):
        found = tiny_codec.encode_source(source, keep_channels=keep_channels).data
        assert found == tiny_codec.encode_source(whole, keep_channels=keep_channels).data


def test_encode_source_of_a_wrong_duration_counts_the_samples_that_come(tiny_codec, minute):
    source = dataclasses.replace(in_blocks(minute[None, :50_000], [4_096]), duration_s=1.0)
    assert container.read_header(tiny_codec.encode_source(source).data)[0].n_samples == 50_000


def test_encode_float64_and_lists_equals_float32(tiny_codec, sound):
    x = sound(10_000)
    data = tiny_codec.encode(x, 16_000)
    assert tiny_codec.encode(x.astype(np.float64), 16_000) == data
    assert tiny_codec.encode(x.tolist(), 16_000) == data


def test_encode_leaves_its_input_alone(tiny_codec, sound):
    x = sound(10_000)
    kept = x.copy()
    tiny_codec.encode(x, 16_000)
    tiny_codec.latents(x, 16_000)
    assert np.array_equal(x, kept)


# --- level ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("decibels", "half_db"), [(-20, 40), (-26, 52), (12, -24)])
def test_encode_scaled_input_changes_the_gain_alone(tiny_codec, minute, decibels, half_db):
    x = minute[:250_000]
    scaled = x * np.float32(10.0 ** (decibels / 20.0))
    data, other = tiny_codec.encode(x, 16_000), tiny_codec.encode(scaled, 16_000)
    header, other_header = (container.read_header(d)[0] for d in (data, other))
    assert other_header.gain_half_db == header.gain_half_db + half_db
    assert other_header == dataclasses.replace(header, gain_half_db=other_header.gain_half_db)
    assert payloads(other) == payloads(data)
    ratio = level_db(tiny_codec.decode(other)[0]) - level_db(tiny_codec.decode(data)[0])
    assert ratio == pytest.approx(decibels, abs=1e-3)


@pytest.mark.parametrize("factor", [0.03, 0.37, 0.9, 2.5])
def test_decode_level_follows_the_input_within_half_a_decibel(tiny_codec, minute, factor):
    x = minute[:250_000]
    loud, _ = tiny_codec.decode(tiny_codec.encode(x, 16_000))
    other, _ = tiny_codec.decode(tiny_codec.encode(x * np.float32(factor), 16_000))
    expected_db = 20.0 * np.log10(factor)
    assert level_db(other) - level_db(loud) == pytest.approx(expected_db, abs=0.5)


def test_encode_brings_the_loud_parts_to_the_target_level(tiny_codec, minute):
    header = container.read_header(tiny_codec.encode(minute, 16_000))[0]
    level = audio.survey(audio.array_source(minute, 16_000)).level_db
    assert level + header.gain_half_db / 2 == pytest.approx(codec.TARGET_LEVEL_DB, abs=0.26)


def test_encode_very_quiet_input_limits_the_gain(tiny_codec, minute):
    x = minute[:50_000]
    level = audio.survey(audio.array_source(x, 16_000)).level_db
    quiet = x * np.float32(10.0 ** ((-68.0 - level) / 20.0))
    header = container.read_header(tiny_codec.encode(quiet, 16_000))[0]
    assert header.gain_half_db == codec.MAX_GAIN_HALF_DB


def test_encode_very_loud_input_limits_the_gain(tiny_codec, minute):
    header = container.read_header(tiny_codec.encode(minute[:50_000] * 1e4, 16_000))[0]
    assert header.gain_half_db == -codec.MAX_GAIN_HALF_DB


@pytest.mark.parametrize("peak", [0.0, 1e-9, 1e-4])
def test_encode_silence_is_left_as_it_is(tiny_codec, peak):
    silence = np.full(50_001, peak, dtype=np.float32)
    data = tiny_codec.encode(silence, 16_000)
    assert container.read_header(data)[0].gain_half_db == 0
    samples, _ = tiny_codec.decode(data)
    assert samples.shape == (50_001,)
    assert np.isfinite(samples).all()


def test_encode_digital_silence_repeats_one_frame(tiny_codec):
    symbols = tiny_codec.symbols(tiny_codec.encode(np.zeros(100_000), 16_000))
    reach = tiny_codec.file.config.analysis_context_frames
    inner = symbols[:, :, reach:-reach]
    assert (inner == inner[:, :, :1]).all()


# --- latents and symbols --------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("step_index", [0, 8, -5])
def test_symbols_are_latents_rounded_to_steps(tiny_codec, sound, rate_hz, step_index):
    x = sound(12 * rate_hz + 5, rate_hz)
    latents = tiny_codec.latents(x, rate_hz)
    symbols = tiny_codec.symbols(tiny_codec.encode(x, rate_hz, step_index=step_index))
    assert latents.shape == symbols.shape == (1, 32, 97)
    assert latents.dtype == np.float32
    assert symbols.dtype == np.int32
    step = tiny_codec.file.base_step * np.float32(2.0 ** (step_index / 8))
    assert np.array_equal(np.rint(latents / step[:, None]), symbols)


def test_latents_of_two_channels_have_two(tiny_codec, sound):
    pair = np.stack([sound(30_000, seed=1), sound(30_000, seed=2)])
    latents = tiny_codec.latents(pair, 16_000)
    symbols = tiny_codec.symbols(tiny_codec.encode(pair, 16_000, keep_channels=True))
    assert latents.shape == (2, 32, 15)
    assert np.array_equal(np.rint(latents / tiny_codec.file.base_step[:, None]), symbols)


def test_encode_source_returns_the_symbols_that_the_file_holds(tiny_codec, minute):
    encoded = tiny_codec.encode_source(audio.array_source(minute, 16_000))
    assert encoded.symbols.shape == (1, 32, 481)
    assert np.array_equal(tiny_codec.symbols(encoded.data), encoded.symbols)


def test_encode_without_a_step_index_takes_the_model_s(
    tmp_path, static_prior, write_tiny_model, sound
):
    path = write_tiny_model(tmp_path / "coarse.safetensors", static_prior, default_step_index=11)
    coarse, x = Codec.load(path), sound(20_000)
    data = coarse.encode(x, 16_000)
    assert container.read_header(data)[0].step_index == 11
    assert data == coarse.encode(x, 16_000, step_index=11)


def test_decode_with_step_offsets_uses_a_step_per_dimension(tiny_codec, sound):
    parsed = container.unpack(tiny_codec.encode(sound(20_000), 16_000))
    plain, _ = tiny_codec.decode(container.pack(parsed.header, parsed.chunks))

    def decoded(offsets: tuple[int, ...]) -> np.ndarray:
        header = dataclasses.replace(parsed.header, step_offsets=offsets)
        return tiny_codec.decode(container.pack(header, parsed.chunks))[0]

    assert np.array_equal(decoded((0,) * 32), plain)
    assert not np.allclose(decoded((0,) * 31 + (8,)), plain, atol=1e-4)


def test_decode_streamed_file_equals_that_of_known_length(tiny_codec, minute):
    data = tiny_codec.encode(minute, 16_000)
    parsed = container.unpack(data)
    header = dataclasses.replace(parsed.header, n_frames=None, n_samples=None)
    head = container.pack_header(header)
    body = [container.pack_chunk(header, head, i, c) for i, c in enumerate(parsed.chunks)]
    end = container.pack_end(header, head, parsed.header.n_frames, parsed.header.n_samples)
    streamed = head + b"".join(body) + end
    assert np.array_equal(tiny_codec.symbols(streamed), tiny_codec.symbols(data))
    assert np.array_equal(tiny_codec.decode(streamed)[0], tiny_codec.decode(data)[0])


# --- rate -----------------------------------------------------------------------------------


def test_encode_coarser_step_never_gives_a_larger_file(static_codec, minute):
    x = minute[:320_000]
    sizes = [len(static_codec.encode(x, 16_000, step_index=i)) for i in range(-32, 33, 8)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.5 * sizes[4] > 1.5 * sizes[-1]


def test_encode_payload_is_as_long_as_the_ideal_code(static_codec, minute):
    encoded = static_codec.encode_source(audio.array_source(minute, 16_000))
    found = container.unpack(encoded.data)
    bits = ideal_bits(static_codec, encoded)
    assert bits <= 8 * found.payload_bytes <= 1.005 * bits + 32 * len(found.chunks)


def ideal_bits(used: Codec, encoded: codec.Encoded) -> float:
    starts = range(0, encoded.symbols.shape[-1], CHUNK_FRAMES)
    return sum(
        used.file.prior.ideal_bits(channel[:, start : start + CHUNK_FRAMES], 0)
        for channel in encoded.symbols
        for start in starts
    )


def test_kl_bits_under_a_prior_that_fits_are_below_the_ideal_code(static_codec, minute):
    encoded = static_codec.encode_source(audio.array_source(minute, 16_000))
    ideal = ideal_bits(static_codec, encoded)
    # A wide Gaussian is flat over a bin: the two differ by the entropy of noise of variance 1/12,
    # a quarter of a bit for every symbol.
    noise_bits = 0.5 * np.log2(2 * np.pi * np.e / 12) * encoded.symbols.size
    assert encoded.kl_bits < ideal
    assert encoded.kl_bits == pytest.approx(ideal - noise_bits, rel=0.01)


def test_kl_bits_under_any_prior_are_finite_and_positive(tiny_codec, minute):
    for x in (minute[:200_000], np.zeros(30_000)):
        kl_bits = tiny_codec.encode_source(audio.array_source(x, 16_000)).kl_bits
        assert np.isfinite(kl_bits)
        assert kl_bits > 0


def test_kl_bits_of_one_latent_equal_numerical_integration(static_codec):
    y = np.array([[0.3, -7.2]] * 32, dtype=np.float32)
    found = static_codec._kl_bits(y, np.rint(y).astype(np.int32), 0)
    width, sigma = float(static_codec.file.mixtures[0][7, 0]), 12**-0.5
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
from hzc import audio, container
from hzc.codec import Codec

torch.set_num_threads(1)
codec = Codec.load(sys.argv[1])
rng = np.random.default_rng(0)
block = rng.normal(0, 0.05, (1, 80_000)).astype(np.float32)


def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def there_and_back(minutes):
    source = audio.Source(16_000, 1, 60.0 * minutes, lambda: (block for _ in range(12 * minutes)))
    data = codec.encode_source(source).data
    encoded_mb = peak_mb()
    n_samples = sum(b.shape[1] for b in codec.decode_blocks(container.unpack(data), 16_000))
    assert n_samples == 960_000 * minutes
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


def test_encode_source_tells_the_seconds_that_it_did(tiny_codec, minute):
    told: list[float] = []
    source = audio.array_source(minute, 16_000)
    tiny_codec.encode_source(source, progress=told.append)
    assert len(told) == 7
    assert sum(told) == 481 / 8


# --- loading --------------------------------------------------------------------------------


def test_load_of_a_path_gives_that_model(tiny_model, tiny_codec, sound):
    loaded = hzc.load(tiny_model)
    assert isinstance(loaded, Codec)
    assert loaded.file.model_id == 240
    assert loaded.encode(sound(9_000), 16_000) == tiny_codec.encode(sound(9_000), 16_000)


def test_load_does_not_build_the_networks_until_they_are_needed(tiny_model, sound):
    loaded = Codec.load(tiny_model)
    assert not {"_analysis", "_synthesis"} & set(vars(loaded))
    data = loaded.encode(sound(9_000), 16_000)
    assert "_synthesis" not in vars(loaded)
    decoder = Codec.load(tiny_model)
    decoder.decode(data)
    assert "_analysis" not in vars(decoder)


def test_for_model_id_with_the_file_of_that_model_loads_it(tiny_model):
    assert Codec.for_model_id(240, tiny_model).file.name == "tiny"


def test_for_model_id_with_another_model_s_file_raises(tiny_model):
    with pytest.raises(UnknownModelError, match="needs model 241, not tiny"):
        Codec.for_model_id(241, tiny_model)


def test_for_model_id_of_a_private_model_without_a_file_raises():
    with pytest.raises(UnknownModelError) as caught:
        Codec.for_model_id(240)
    assert "--model" in caught.value.hint


# --- refusals -------------------------------------------------------------------------------


def test_verify_of_what_was_encoded_returns(tiny_codec, minute):
    tiny_codec.verify(tiny_codec.encode_source(audio.array_source(minute, 16_000)))


def test_verify_of_other_symbols_raises_desync(tiny_codec, sound):
    encoded = tiny_codec.encode_source(audio.array_source(sound(30_000), 16_000))
    changed = encoded.symbols.copy()
    changed[0, 31, -1] += 1
    for symbols in (changed, encoded.symbols[:, :, :-1]):
        with pytest.raises(DesyncError, match="verification failed"):
            tiny_codec.verify(dataclasses.replace(encoded, symbols=symbols))


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("model_id", 241, UnknownModelError),
        ("fingerprint", None, DesyncError),
        ("n_latent", 31, DesyncError),
    ],
)
def test_check_of_another_model_s_header_raises(tiny_codec, sound, field, value, error):
    parsed = container.unpack(tiny_codec.encode(sound(5_000), 16_000))
    tiny_codec.check(parsed.header)
    value = parsed.header.fingerprint ^ 1 if value is None else value
    header = dataclasses.replace(parsed.header, **{field: value})
    with pytest.raises(error):
        tiny_codec.check(header)
    data = container.pack(header, parsed.chunks)
    for read in (tiny_codec.decode, tiny_codec.symbols):
        with pytest.raises(error):
            read(data)


def test_decode_of_a_model_with_the_same_id_and_another_prior_raises_desync(
    tiny_codec, static_codec, sound
):
    data = static_codec.encode(sound(5_000), 16_000)
    with pytest.raises(DesyncError, match="other tables") as caught:
        tiny_codec.decode(data)
    assert caught.value.hint


def test_decode_of_damaged_bytes_raises_format_error(tiny_codec, sound):
    data = tiny_codec.encode(sound(5_000), 16_000)
    for damaged in (b"", data[:-1], data + b"\0", b"RIFF" + data, data[:20] + b"\x55" + data[21:]):
        for read in (tiny_codec.decode, tiny_codec.symbols):
            with pytest.raises(FormatError):
                read(damaged)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "keep_channels", "message"),
    [
        (np.zeros(0), 16_000, False, "no samples"),
        (np.zeros((2, 0)), 16_000, True, "no samples"),
        (np.zeros((1, 1, 9)), 16_000, False, "3 axes"),
        (np.zeros((17, 9)), 16_000, True, "17 channels"),
        (np.zeros(9), 999, False, "999 Hz"),
        (np.zeros(9), 768_001, False, "768001 Hz"),
        (np.array([0.0, np.nan]), 16_000, False, "NaN or infinite"),
        (np.array([0.0, -np.inf]), 16_000, False, "NaN or infinite"),
        (np.array([[0.0, 0.1], [0.0, np.nan]]), 16_000, True, "NaN or infinite"),
    ],
)
def test_encode_of_unusable_audio_raises(tiny_codec, samples, rate_hz, keep_channels, message):
    with pytest.raises(UnsupportedAudioError, match=message):
        tiny_codec.encode(samples, rate_hz, keep_channels=keep_channels)


def test_encode_of_seventeen_channels_mixes_them(tiny_codec, sound):
    x = sound(5_000)
    assert container.read_header(tiny_codec.encode(np.stack([x] * 17), 16_000))[0].n_channels == 1


def test_latents_of_unusable_audio_raises(tiny_codec):
    for samples, rate_hz in ((np.zeros(0), 16_000), (np.zeros((17, 9)), 16_000), (np.zeros(9), 1)):
        with pytest.raises(UnsupportedAudioError):
            tiny_codec.latents(samples, rate_hz)


def test_encode_of_more_than_a_file_can_hold_raises(tiny_codec, monkeypatch):
    monkeypatch.setattr(container, "MAX_FRAMES", 2)
    tiny_codec.encode(np.zeros(4_000), 16_000)
    with pytest.raises(UnsupportedAudioError, match="4001 samples"):
        tiny_codec.encode(np.zeros(4_001), 16_000)


@pytest.mark.parametrize("rate_hz", [1_000, 768_000, 37_800])
def test_encode_at_unusual_rates_keeps_the_number_of_samples(tiny_codec, sound, rate_hz):
    n_samples = 2 * rate_hz + 1
    data = tiny_codec.encode(sound(n_samples, rate_hz), rate_hz)
    assert tiny_codec.decode(data, rate_hz)[0].shape == (n_samples,)


@pytest.mark.parametrize("part", ["analysis", "synthesis"])
def test_networks_that_give_nan_raise_latent_error(tmp_path, static_prior, write_tiny_model, part):
    name = f"{part}.head.bias"
    n_out = {"analysis": 32, "synthesis": 1_002}[part]
    bias = np.full(n_out, np.nan, dtype=np.float16)
    path = write_tiny_model(tmp_path / "nan.safetensors", static_prior, **{name: bias})
    broken = Codec.load(path)
    with pytest.raises(LatentError, match="not finite"):
        broken.decode(broken.encode(np.zeros(9_000), 16_000))
