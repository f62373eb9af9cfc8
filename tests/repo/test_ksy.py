"""formats/hzc.ksy: the parser made from it reads what hzc.container reads."""

from __future__ import annotations

import hashlib
import json
import re
from binascii import crc_hqx
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from kaitaistruct import KaitaiStructError
from sound_files import SOUND, VECTORS, packed
from spec_page import ROOT, SECTIONS

from hzc import container
from hzc.container import Chunk, Header
from hzc.container.fields import varint
from hzc.errors import FormatError

PARSER = ROOT / "tests" / "kaitai" / "hzc_ksy.py"
KSY = ROOT / "formats" / "hzc.ksy"


def parse(data: bytes):
    spec = spec_from_file_location("hzc_ksy", PARSER)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Hzc.from_bytes(data)


def chunks_of(parsed) -> list[tuple[int, list]]:
    """Return frames and records of every chunk, however it is stored."""
    if not parsed.header.is_streamed:
        return [(chunk.n_frames, chunk.records) for chunk in parsed.chunks]
    assert all(
        other.n_frames == part.n_frames for part in parsed.parts[:-1] for other in part.others
    )
    return [
        (part.n_frames, [part.first, *(other.record for other in part.others)])
        for part in parsed.parts[:-1]
    ]


def test_parser_was_made_from_this_ksy():
    found = re.search(r"^# sha256 of hzc\.ksy: (\w+)$", PARSER.read_text("utf-8"), re.M)
    assert found is not None
    assert found[1] == hashlib.sha256(KSY.read_bytes()).hexdigest(), "run tests/kaitai/compile.js"


@pytest.mark.parametrize("name", sorted(SOUND))
def test_parser_reads_every_field(name):
    data = SOUND[name]
    file, parsed = container.unpack(data), parse(data)
    head, expected = parsed.header, file.header
    told_at_end = parsed.parts[-1].end if file.is_streamed else head
    found = Header(
        model_id=head.model_id,
        fingerprint=head.fingerprint,
        n_latent=head.n_latent,
        n_frames=told_at_end.n_frames.value,
        n_samples=told_at_end.n_samples,
        sample_rate_hz=head.sample_rate_hz,
        n_channels=head.n_channels,
        step_index=head.step_index,
        step_offsets=tuple(head.step_offsets) if head.has_step_offsets else None,
    )
    assert found == expected
    assert head.is_streamed == file.is_streamed
    assert head.crc == int.from_bytes(data[file.header_bytes - 2 : file.header_bytes], "big")
    rebuilt = []
    for n_frames, records in chunks_of(parsed):
        (gain,) = {record.gain for record in records}
        assert all(record.length.value == len(record.payload) for record in records)
        rebuilt.append(Chunk(n_frames, tuple(record.payload for record in records), gain))
    assert tuple(rebuilt) == file.chunks


@pytest.mark.parametrize("name", sorted(SOUND))
def test_parser_reads_the_checksums(name):
    data = SOUND[name]
    file, parsed = container.unpack(data), parse(data)
    head, is_streamed = data[: file.header_bytes], file.is_streamed
    assert parsed.header.crc == crc_hqx(head[:-2], 0xFFFF)
    for index, (n_frames, records) in enumerate(chunks_of(parsed)):
        for channel, record in enumerate(records):
            place = head[-2:] + index.to_bytes(4, "big") + bytes([channel])
            body = bytes([n_frames]) * is_streamed + record.gain.to_bytes(1, "big", signed=True)
            body += varint(len(record.payload)) + record.payload
            assert record.crc == crc_hqx(place + body, 0xFFFF)
    if is_streamed:
        assert parsed.parts[-1].end.crc == int.from_bytes(data[-2:], "big")


def changed(data: bytes, offset: int, value: int) -> bytes:
    return data[:offset] + bytes([value]) + data[offset + 1 :]


SMALL, STREAMED = SOUND["smallest"], SOUND["streamed"]
FAULTY = {
    "magic": changed(SMALL, 1, 0x5A),
    "version": changed(SMALL, 3, 0x20),
    "reserved flag": changed(SMALL, 3, 0x14),
    "model id 0": changed(SMALL, 4, 0),
    "rate code 15": changed(SMALL, 7, 0xF0),
    "step index 65": changed(SMALL, 8, 65),
    "step index -65": changed(SMALL, 8, 256 - 65),
    "D of 0": changed(SMALL, 9, 0),
    "F of 0": changed(SMALL, 10, 0),
    "vlq not in its shortest form": SMALL[:11] + b"\x80\x00" + SMALL[12:],
    "vlq of six bytes": SMALL[:11] + b"\x80\x80\x80\x80\x80\x01" + SMALL[12:],
    "gain 121": changed(SMALL, 14, 121),
    "length above its limit": SMALL[:15] + b"\xa9\x01" + bytes(500),
    "cut off": SMALL[:-1],
    "bytes after the end": SMALL + b"\0",
    "bytes after the end record": STREAMED + b"\0",
    "81 frames": changed(STREAMED, 12, 81),
    "F of 0 in the end record": changed(STREAMED, 0x1B, 0),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_parser_refuses_what_is_out_of_range(fault):
    with pytest.raises((KaitaiStructError, EOFError)):
        parse(FAULTY[fault])
    with pytest.raises(FormatError):
        container.unpack(FAULTY[fault])


MANIFEST = json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))
LEFT_TO_READERS = {"H6", "H7", "H10", "M1", "M2", "R5", "R6", "E3", "E4", "E6", "P1"}
"""Checks of section 11 that the description does not make: checksums and fields that contradict."""
STRUCTURAL = [
    entry["file"]
    for entry in MANIFEST["vectors"]
    if entry["file"].startswith("faulty/") and entry["check"] not in LEFT_TO_READERS
]


@pytest.mark.parametrize("file", STRUCTURAL)
def test_parser_refuses_faulty_vectors(file):
    with pytest.raises((KaitaiStructError, EOFError)):
        parse((VECTORS / file).read_bytes())


def test_parser_refuses_channels_that_differ_in_frames():
    header = Header(1, 0, 32, None, None, n_channels=2)
    data = packed(header, [Chunk(2, (b"", b""))], n_samples=4_000)
    assert data[17] == 2
    with pytest.raises(KaitaiStructError):
        parse(changed(data, 17, 3))


def test_ksy_names_every_field_of_the_overview():
    ids = set(re.findall(r"^ *- id: (\w+)", KSY.read_text("utf-8"), re.M))
    (overview,) = SECTIONS["4"].fenced
    fields = re.findall(r"^ *(?:u4|u8|u16|u32|s8|vlq) +(\w+)", overview, re.M)
    as_in_ksy = {
        "flags": {"reserved", "has_step_offsets", "is_streamed"},
        "channels": {"channels_less_1"},
        "mark": {"end"},
    }
    for name in fields:
        assert as_in_ksy.get(name, {name}) <= ids, name
