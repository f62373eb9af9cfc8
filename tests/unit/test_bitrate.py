"""Measured rates: file bytes, header included, per second of audio."""

from __future__ import annotations

import doctest
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hzc import bitrate
from hzc.bitrate import Rate
from hzc.container import Chunk, Container, Header, pack, unpack


@pytest.fixture
def parsed() -> Container:
    header = Header(
        model_id=1, fingerprint=5, n_latent=32, n_frames=88, n_samples=175_500, n_channels=2
    )
    chunks = [Chunk(80, (b"a" * 100, b"b" * 90)), Chunk(8, (b"c" * 10, b""))]
    return unpack(pack(header, chunks))


def test_documented_examples_hold():
    assert doctest.testmod(bitrate).failed == 0


def test_measure_takes_the_bytes_of_the_file_and_the_seconds_of_its_samples(parsed):
    found = bitrate.measure(parsed, 231)
    assert found == Rate(n_bytes=231, duration_s=175_500 / 16_000, payload_bytes=200)
    assert found.bitrate_kbps == pytest.approx(8 * 231 / (175_500 / 16_000) / 1000)
    assert found.bytes_per_s == pytest.approx(231 / (175_500 / 16_000))
    assert found.overhead_bytes == 31
    assert found.overhead_share == pytest.approx(31 / 231)


def test_measure_of_a_packed_file_counts_header_lengths_and_checksums():
    header = Header(model_id=1, fingerprint=5, n_latent=32, n_frames=8, n_samples=16_000)
    data = pack(header, [Chunk(8, (b"x" * 50,))])
    found = bitrate.measure(unpack(data), len(data))
    # Ten fixed bytes, frames, trim, checksum; then gain, length and checksum of the only record.
    assert found.overhead_bytes == (10 + 1 + 1 + 2) + (1 + 1 + 2)
    assert found.bitrate_kbps == 8 * (50 + 18) / 1000


@given(st.integers(1, 10**9), st.floats(1e-3, 1e6), st.floats(0, 1))
def test_figures_of_a_rate_agree_with_each_other(n_bytes, duration_s, share):
    found = Rate(n_bytes, duration_s, int(n_bytes * share))
    assert found.bitrate_kbps * 1000 == pytest.approx(8 * found.bytes_per_s)
    assert found.bytes_per_s * duration_s == pytest.approx(n_bytes)
    assert 0 <= found.overhead_share <= 1
    assert found.overhead_bytes + found.payload_bytes == n_bytes


def test_line_of_a_rate_shows_three_decimals_and_thousands():
    assert Rate(1_234_567, 3_600.0, 1_200_000).line() == (
        "2.743 kbps  342.9 B/s  1,234,567 B  3600.00 s  (header 34567 B, 2.8 %)"
    )


def test_values_of_a_rate_have_units_in_their_names_and_survive_json():
    values = Rate(1178, 10.02, 1157).values()
    assert json.loads(json.dumps(values)) == {
        "bitrate_kbps": 0.940519,
        "bytes_per_s": 117.5649,
        "n_bytes": 1178,
        "duration_s": 10.02,
        "header_bytes": 21,
        "header_share": 0.017827,
    }


def test_total_weighs_files_by_their_length():
    both = bitrate.total([Rate(1_000, 1.0, 900), Rate(1_000, 9.0, 800)])
    assert both == Rate(2_000, 10.0, 1_700)
    assert both.bitrate_kbps == pytest.approx(1.6)


def test_total_of_one_is_that_one():
    one = Rate(10, 2.0, 5)
    assert bitrate.total([one]) == one


def test_ladder_with_kl_has_every_rung_from_the_top(parsed):
    rungs = bitrate.ladder(parsed, 231, ideal_bits=1_590.0, kl_bits=1_400.0)
    duration_s = 175_500 / 16_000
    assert list(rungs) == ["nominal", "kl", "ideal", "payload", "file"]
    assert rungs["nominal"] == pytest.approx(88 * 2 * 32 * 32 / duration_s)
    assert rungs["kl"] == pytest.approx(1_400 / duration_s)
    assert rungs["ideal"] == pytest.approx(1_590 / duration_s)
    assert rungs["payload"] == pytest.approx(8 * 200 / duration_s)
    assert rungs["file"] == pytest.approx(8 * 231 / duration_s)
    assert rungs["file"] == pytest.approx(1000 * bitrate.measure(parsed, 231).bitrate_kbps)


def test_ladder_without_audio_leaves_the_kl_rung_out(parsed):
    assert list(bitrate.ladder(parsed, 231, 1_590.0)) == ["nominal", "ideal", "payload", "file"]
