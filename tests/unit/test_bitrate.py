"""Measured rates: file bytes, header included, per second of audio."""

from __future__ import annotations

import json

import pytest

from hzc import bitrate
from hzc.bitrate import Rate
from hzc.container import Chunk, Container, Header, pack, unpack


@pytest.fixture
def parsed() -> Container:
    header = Header(
        model_id=1, fingerprint=5, n_latent=32, n_frames=88, n_samples=175_500, n_channels=2
    )
    return unpack(pack(header, [Chunk(80, (b"a" * 100, b"b" * 90)), Chunk(8, (b"c" * 10, b""))]))


def test_rate_of_a_packed_file_counts_header_lengths_and_checksums() -> None:
    header = Header(model_id=1, fingerprint=5, n_latent=32, n_frames=8, n_samples=16_000)
    data = pack(header, [Chunk(8, (b"x" * 50,))])
    found = bitrate.measure(unpack(data), len(data))
    # Ten fixed bytes, frames, trim, checksum; then gain, length and checksum of the only record.
    assert found.overhead_bytes == (10 + 1 + 1 + 2) + (1 + 1 + 2)
    assert found.bitrate_kbps == 8 * (50 + 18) / 1000
    assert found.bytes_per_s == 68
    assert found.overhead_share == pytest.approx(18 / 68)


def test_rate_is_shown_to_people_and_programs() -> None:
    assert Rate(1_234_567, 3_600.0, 1_200_000).line() == (
        "2.743 kbps  342.9 B/s  1,234,567 B  3600.00 s  (header 34567 B, 2.8 %)"
    )
    assert json.loads(json.dumps(Rate(1178, 10.02, 1157).values())) == {
        "bitrate_kbps": 0.940519, "bytes_per_s": 117.5649, "n_bytes": 1178, "duration_s": 10.02,
        "header_bytes": 21, "header_share": 0.017827,
    }  # fmt: skip


def test_total_weighs_files_by_their_length() -> None:
    both = bitrate.total([Rate(1_000, 1.0, 900), Rate(1_000, 9.0, 800)])
    assert both == Rate(2_000, 10.0, 1_700)
    assert both.bitrate_kbps == pytest.approx(1.6)


def test_ladder_has_every_rung_from_the_top(parsed: Container) -> None:
    rungs = bitrate.ladder(parsed, 231, ideal_bits=1_590.0, kl_bits=1_400.0)
    bits = {
        "nominal": 88 * 2 * 32 * 32,
        "kl": 1_400,
        "ideal": 1_590,
        "payload": 1_600,
        "file": 1_848,
    }
    assert list(rungs) == list(bits)
    assert rungs == pytest.approx({k: v * 16_000 / 175_500 for k, v in bits.items()})
    assert list(bitrate.ladder(parsed, 231, 1_590.0)) == ["nominal", "ideal", "payload", "file"]
