"""What goes through the pipeline: payload, programs, Lyra, and what others published."""

from __future__ import annotations

import csv
import struct
import sys

import numpy as np
import pytest
import soundfile

import hzc
from hzc_bench import lyra, ogg, pipeline, published, systems
from hzc_bench.pipeline import Row
from hzc_bench.samples import Recording


def page(*packets: bytes, is_last_open: bool = False) -> bytes:
    """Return an Ogg page with these packets; the last may go on in the next page."""
    lengths = []
    for number, packet in enumerate(packets):
        is_open = is_last_open and number == len(packets) - 1
        lengths += [255] * (len(packet) // 255) + [len(packet) % 255] * (not is_open)
    header = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 7, 0, 0, len(lengths))
    return header + bytes(lengths) + b"".join(packets)


def test_payload_of_ogg_is_what_follows_the_two_headers():
    data = page(b"OpusHead") + page(b"OpusTags") + page(b"x" * 10, b"y" * 300) + page(b"z")
    assert ogg.payload_bytes(data) == 311
    over_two_pages = page(b"a", b"x" * 510, is_last_open=True) + page(b"y" * 5, b"b")
    assert list(ogg.packet_sizes(over_two_pages)) == [1, 515, 1]


@pytest.mark.parametrize("data", [b"RIFF" * 10, page(b"x") + b"Ogg", page(b"x" * 50)[:-1]])
def test_bytes_that_are_no_ogg_raise(data):
    with pytest.raises(ValueError, match="Ogg page"):
        ogg.payload_bytes(data)


def test_payload_of_hzc_is_the_coded_symbols(sound):
    codec = systems.Hzc()
    data = codec.encode(sound(16_000))
    assert data == hzc.load().encode(sound(16_000), 16_000)
    assert 0 < codec.payload_bytes(data) < len(data)
    assert codec.decode(data).shape == (16_000,)


COPY = (sys.executable, "-c", "import shutil, sys; shutil.copy(*sys.argv[1:])", "IN", "OUT")


def test_command_is_run_on_files_at_its_own_rate(sound):
    codec = systems.Command("x", "X", "X", COPY, COPY, ".bin", 8000, is_raw=True, header_bytes=4)
    data = codec.encode(sound(16_000))
    assert len(data) == 16_000
    assert codec.payload_bytes(data) == 15_996
    assert abs(len(codec.decode(data)) - 16_000) <= 2
    assert "a.raw a.bin" in codec.description


def test_command_gets_wav_and_gives_wav(sound):
    codec = systems.Command("x", "X", "X", COPY, COPY, ".wav")
    assert np.abs(codec.decode(codec.encode(sound(5000))) - sound(5000)).max() < 1e-4


def test_command_that_fails_or_is_not_there_is_named():
    fail = (sys.executable, "-c", "import sys; sys.exit('no such thing')")
    with pytest.raises(RuntimeError, match="no such thing"):
        systems.run(fail, b"", ".wav", ".bin")
    missing = systems.Command("x", "X", "X", ("no-such-encoder", "IN"), fail, ".x")
    assert missing.tools == ("no-such-encoder",)


@pytest.mark.parametrize("codec", systems.peers(), ids=lambda codec: codec.name)
def test_installed_peer_gives_back_about_as_much_as_it_got(codec, sound):
    if codec.tools:
        pytest.skip(f"{codec.tools} not installed")
    data = codec.encode(sound(32_000))
    assert 0 < codec.payload_bytes(data) < len(data)
    assert abs(len(codec.decode(data)) - 32_000) < 2_000


class Network:
    """Stands for all of Lyra's networks: what goes in comes out, as far as it can."""

    def __call__(self, **given: object) -> dict[str, np.ndarray]:
        indexes = given.get("encoding_indices")
        if indexes is not None:
            return {"output_0": indexes.reshape(1, -1)}
        if "num_quantizers" in given:
            return {"output_0": np.arange(46, dtype=np.int32).reshape(46, 1, 1) % 16}
        return {"output_0": given["input_audio"]}


@pytest.mark.parametrize(("bps", "n_stages"), [(3200, 16), (6000, 30)])
def test_lyra_sends_four_bits_a_stage(tmp_path, monkeypatch, sound, bps, n_stages):
    codec = lyra.Lyra.at(tmp_path, bps)
    assert "lyragan.tflite" in codec.tools
    monkeypatch.setattr(codec, "_network", lambda *_: Network())
    data = codec.encode(sound(16_000 - 7))
    assert 8 * len(data) == bps
    indexes = codec.decode(data).reshape(50, -1)
    assert (indexes[:, :n_stages] == np.arange(n_stages) % 16).all()
    assert (indexes[:, n_stages:] == -1).all()


def test_published_decodes_are_compared_on_the_clips_they_share(tmp_path, sound):
    """One delay a system, but for clips that were cut otherwise; rates as stated."""
    x = sound(32_000)
    late = np.concatenate([np.zeros(3200, np.float32), x])
    clips = {"original": (x, x, x), "a-1.5": (x, x), "b-unstated": (x, x, late)}
    for folder, decoded in clips.items():
        (tmp_path / "set" / folder).mkdir(parents=True)
        for number, y in enumerate(decoded):
            soundfile.write(tmp_path / "set" / folder / f"{number}.flac", y, 16_000)
    (first, second) = published.comparisons(tmp_path)
    assert [[s.name for s in theirs] for _, _, theirs in (first, second)] == [
        ["b-unstated"], ["a-1.5", "b-unstated"],
    ]  # fmt: skip
    rows = [one.row for one in pipeline.through(first[2][0], first[1])]
    assert [row.delay_ms for row in rows] == [0, 0, 200]
    assert np.isnan(rows[0].kbps)
    assert pipeline.through(second[2][0], second[1])[0].row.kbps == pytest.approx(1.5)


def test_csv_has_a_line_for_every_recording_and_system(tmp_path, rows: list[Row]):
    pipeline.write_csv(tmp_path / "a.csv", rows)
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["system"], line["file"]) for line in lines] == [(r.system, r.file) for r in rows]
    assert float(lines[0]["kbps"]) == pytest.approx(rows[0].kbps, rel=1e-5)


def test_pcm_goes_through_the_pipeline_unharmed(sound):
    (coded,) = pipeline.through(systems.Pcm(), [Recording("a.wav", sound(32_000))])
    assert coded.row.kbps == pytest.approx(256.0)
    assert np.abs(coded.samples - sound(32_000)).max() < 1e-4
