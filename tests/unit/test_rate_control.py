"""The rate that is asked for: of files, of refined latents, of pipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import hzc
from hzc import container
from hzc.audio.sources import array_source
from hzc.encoder import Latents
from hzc.errors import ArgumentError, RateError
from hzc.options import Target
from hzc.rate_control import Aim, Setting, choose_refined, choose_setting

RATE_HZ = 16_000
SAMPLES = Path(__file__).parents[2] / "demo" / "samples"
TWELVE_S = Aim(Target(1.0), 12.0, 2)


@pytest.fixture(scope="module")
def codec() -> hzc.Codec:
    return hzc.load()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted(SAMPLES.glob("*.flac"))]
    return np.resize(np.concatenate(clips), 100 * RATE_HZ)


@pytest.fixture(scope="module")
def latents(codec: hzc.Codec, speech: np.ndarray) -> Latents:
    return codec.encoder.latents(array_source(speech[: 11 * RATE_HZ], RATE_HZ))


@pytest.mark.parametrize("kbps", [0.5, 0.8, 1, 1.37, 2.0, 3.0])
def test_file_of_ten_seconds_has_the_rate_or_two_per_cent_less(codec, latents, kbps):
    coded = codec.encoder.code(latents, target=Target(kbps), verify=True)
    assert 0.98 * kbps <= coded.rate.bitrate_kbps <= kbps
    assert codec.encoder.code(latents, target=Target(kbps)).data == coded.data
    assert container.unpack(coded.data).header.n_samples == 11 * RATE_HZ


def test_file_never_has_more_bytes_than_allowed_nor_fewer_for_more(codec, speech):
    short = speech[: 2 * RATE_HZ]
    plain, sizes = codec.encode(short, RATE_HZ), []
    for max_bytes in [*range(60, len(plain), 13), len(plain), 10**9]:
        try:
            sizes.append(len(codec.encode(short, RATE_HZ, max_bytes=max_bytes)))
        except RateError:
            assert not sizes
            continue
        assert sizes[-1] <= max_bytes
    assert sizes == sorted(sizes)
    assert codec.encode(short, RATE_HZ, max_bytes=len(plain)) == plain
    both = codec.encode(short, RATE_HZ, kbps=4, max_bytes=len(plain))
    assert 0.9 * len(plain) < len(both) <= len(plain)


@given(seed=st.integers(0, 10**6), limits=st.tuples(*[st.integers(1, 2_000)] * 2))
def test_higher_limit_never_gives_fewer_bytes_whatever_settings_cost(seed, limits):
    def size(setting: Setting) -> int:
        rng = np.random.default_rng([seed, setting.step_index + 64, setting.level])
        return int(rng.integers(1, 2_000))

    found = []
    for limit in sorted(limits):
        try:
            found.append(size(choose_setting(size, Aim(Target(max_bytes=limit), 1.0, -64))))
        except RateError:
            continue
        assert found[-1] <= limit
    assert found == sorted(found)


@pytest.mark.parametrize("factor", [0.7, 0.95, 1.1])
def test_refined_file_has_the_rate_though_refining_changes_what_it_costs(factor):
    def size(latents: float, setting: Setting) -> int:
        return round(latents * 1_560 * 0.96**setting.step_index * (1 - setting.level / 500))

    (found, setting) = choose_refined(1.0, size, lambda y, index: y * factor, TWELVE_S)
    assert found == factor
    assert 0.98 * 1_500 <= size(found, setting) <= 1_500
    (found, setting) = choose_refined(1.0, size, lambda y, index: y * 9**index, TWELVE_S)
    assert size(found, setting) <= 1_500


def test_what_is_out_of_reach_is_refused_with_the_range(codec):
    for n_bytes in (1_400, 1_600):
        with pytest.raises(RateError, match=f"{n_bytes / 1_500:.3f} to {n_bytes / 1_500:.3f}"):
            choose_setting(lambda _, n_bytes=n_bytes: n_bytes, TWELVE_S)
    with pytest.raises(RateError, match=r"\d\d is the least"):
        codec.encode(np.zeros(RATE_HZ // 8), RATE_HZ, max_bytes=17)


@pytest.mark.parametrize(
    "how",
    [{"kbps": kbps} for kbps in (0, -1, 0.39, 4.01, float("nan"), float("inf"), "1")]
    + [{"max_bytes": n} for n in (0, -1, 1.5, "9")]
    + [{"kbps": 1, "step_index": 2}],
)
def test_what_is_no_rate_and_no_size_is_refused(codec, how):
    with pytest.raises(ArgumentError):
        codec.encode(np.zeros(RATE_HZ), RATE_HZ, **how)


def test_pipe_comes_to_the_rate_and_a_short_one_is_the_file(codec, speech):
    def piped(samples, target):
        written: list[bytes] = []
        codec.encoder.encode_stream(array_source(samples, RATE_HZ), written.append, target=target)
        return b"".join(written)

    data = piped(speech, Target(0.8))
    assert len(data) / (0.8 * 125 * 100) == pytest.approx(1.0, abs=0.03)
    assert container.unpack(data).header.n_samples == len(speech)
    short = speech[: 20 * RATE_HZ]
    for kbps, max_bytes in ((0.8, None), (None, 1_500)):
        whole = codec.encode(short, RATE_HZ, kbps=kbps, max_bytes=max_bytes)
        assert piped(short, Target(kbps, max_bytes)) == whole
    with pytest.raises(RateError, match="more than 60 s"):
        piped(speech, Target(max_bytes=10**6))
