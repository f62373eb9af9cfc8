"""Files that break one rule of formats/hzc-1.md each; everything else about them is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from raw_file import (
    EXPLICIT_STEPS,
    STREAMED,
    RawEnd,
    RawHeader,
    RawRecord,
    raw_file,
    raw_parts,
    vlq,
)

from hzc import container
from hzc.coding.prior import Prior
from hzc.errors import CorruptError
from hzc.model.file import Model

CLASSES = {
    "NotHzc": ("H1",),
    "Version": ("H2", "H3"),
    "Truncated": ("",),
    "Limit": ("H4", "H8", "H9", "H11", "R1", "R2", "R4", "R7", "E1", "E5"),
    "Corrupt": ("H5", "H6", "H7", "H10", "R3", "R5", "R6", "E2", "E3", "E4", "E6", "X1", "P1"),
    "UnknownModel": ("M1",),
    "Desync": ("M2",),
}
"""Class of every check of section 11; "" is the end of the file inside a field."""
CLASS_OF = {check: name for name, checks in CLASSES.items() for check in checks}

NEVER_REGISTERED = 239
"""The last id that a registered model could have."""


@dataclass(frozen=True)
class Faulty:
    """One file."""

    name: str
    check: str
    """Label in section 11, or "" where the file just ends."""
    purpose: str
    data: bytes

    @property
    def error(self) -> str:
        return CLASS_OF[self.check]


class Maker:
    """Makes files of one model, valid except for what it is given."""

    def __init__(self, file: Model) -> None:
        self.prior: Prior = file.prior
        self.plain = RawHeader(file.model_id, self.prior.fingerprint, self.prior.n_latent)
        self.streamed = replace(self.plain, flags=STREAMED, n_frames=b"", trim=b"")
        container.unpack(self.one())
        container.unpack(self.stream())
        container.unpack(raw_file(self.long, self.chunks()))

    def payload(self, n_frames: int, seed: int = 0) -> bytes:
        """Return the payload of some small symbols."""
        shape = (self.prior.n_latent, n_frames)
        symbols = np.random.default_rng(seed).integers(-1, 2, shape).astype(np.int32)
        return self.prior.encode(symbols, 0)

    def record(self, n_frames: int | None = None, seed: int = 0, gain: int = 0) -> RawRecord:
        """Return a record of one frame, or of `n_frames` in a streamed file."""
        return RawRecord(self.payload(n_frames or 1, seed), n_frames, gain)

    def one(self, **changes: object) -> bytes:
        """Return a file of one frame with other header fields."""
        return raw_file(replace(self.plain, **changes), [[self.record()]])

    def one_with(self, **changes: object) -> bytes:
        """Return a file of one frame with other fields of its record."""
        return raw_file(self.plain, [[replace(self.record(), **changes)]])

    def stream(self, end: RawEnd | None = None, **changes: object) -> bytes:
        """Return a streamed file of two frames and one, with other fields of its first record."""
        chunks = [[replace(self.record(2), **changes)], [self.record(1, seed=1)]]
        return raw_file(self.streamed, chunks, end or RawEnd(vlq(3)))

    @property
    def long(self) -> RawHeader:
        """Header of a file of three chunks, 161 frames."""
        return replace(self.plain, n_frames=vlq(161))

    def chunks(self, n_channels: int = 1) -> list[list[RawRecord]]:
        """Return three chunks, of payloads that are short but decode to something."""
        return [
            [
                RawRecord(bytes([index + 1, channel + 1]), gain=index)
                for channel in range(n_channels)
            ]
            for index in range(3)
        ]

    def pair(self, first: RawRecord, second: RawRecord) -> bytes:
        """Return a streamed file of one chunk of two frames and two channels."""
        header = replace(self.streamed, channels_less_1=1)
        return raw_file(header, [[first, second]], RawEnd(vlq(2)))

    def late_fault(self) -> bytes:
        """Return eight frames that cannot be decoded, but not from the start."""
        rng = np.random.default_rng(0)
        while True:
            payload = bytes([*rng.bytes(159), 1])
            try:
                self.prior.decode([payload], [8], 0)
            except CorruptError:
                header = replace(self.plain, n_frames=vlq(8))
                return raw_file(header, [[RawRecord(payload)]])


def faulty_files(file: Model) -> list[Faulty]:
    """Return all of them, in the order of section 11."""
    make = Maker(file)
    groups = (_start, _header, _model, _records, _places, _ends, _cut_off)
    return [Faulty(*case) for group in groups for case in group(make)]


Cases = Iterator[tuple[str, str, str, bytes]]


def _start(make: Maker) -> Cases:
    yield "empty", "H1", "no byte at all", b""
    yield "wrong-magic", "H1", "another magic", make.one(magic=b"hzd")
    yield "wrong-magic-cut-off", "H1", "two bytes, the second one wrong", b"hc"
    yield "version-0", "H2", "version 0", make.one(version=0)
    yield "version-2", "H2", "version 2", make.one(version=2)
    unknown = make.one(version=2, crc_error=1)[:8]
    yield "version-2-unlike-1", "H2", "version 2, and nothing after it as in version 1", unknown
    yield "reserved-flag", "H2", "bit 2 of the flags", make.one(flags=0b0100)
    yield "reserved-flag-3", "H2", "bit 3 of the flags", make.one(flags=0b1000)
    yield "reserved-rate-code", "H3", "rate code 15", make.one(rate_code=15)
    both = make.one(rate_code=15, crc_error=1)
    yield "reserved-rate-code-and-crc", "H3", "rate code 15, found before the wrong CRC", both


def _header(make: Maker) -> Cases:
    size, one = make.prior.n_latent, make.one
    yield "six-byte-varint", "H4", "F = 1 in six bytes", one(n_frames=vlq(1, 6))
    yield "six-byte-trim", "H4", "trim of six bytes", one(trim=vlq(2**35))
    yield "overlong-varint", "H5", "F = 1 in two bytes", one(n_frames=vlq(1, 2))
    yield "overlong-trim", "H5", "trim 0 in five bytes", one(trim=vlq(0, 5))
    yield "header-crc", "H6", "one bit of the header's CRC", one(crc_error=0x0100)
    rate = (16_000).to_bytes(4, "big")
    data = one(rate_code=0, sample_rate=rate)
    yield "rate-in-full-that-has-a-code", "H7", "16000 Hz in four bytes", data
    yield "zero-frames", "H8", "F = 0", one(n_frames=vlq(0))
    data = one(n_frames=vlq(2**27 + 1))
    yield "too-many-frames", "H8", "F = 2^27 + 1", data
    yield (
        "most-frames",
        "H8",
        "F = 2^35 − 1, the largest that a varint holds",
        one(n_frames=vlq(2**35 - 1)),
    )
    for name, value in (("low", 999), ("high", 768_001)):
        rate = value.to_bytes(4, "big")
        data = one(rate_code=0, sample_rate=rate)
        yield f"rate-too-{name}", "H9", f"{value} Hz", data
    header = replace(make.streamed, rate_code=0, sample_rate=b"\xff" * 4)
    data = raw_file(header, [[make.record(1)]], RawEnd(vlq(1)))
    yield "rate-too-high-in-a-stream", "H9", "2^32 − 1 Hz, streamed", data
    header = replace(make.plain, n_frames=vlq(2), trim=vlq(2_000))
    data = raw_file(header, [[RawRecord(make.payload(2))]])
    yield "trim-of-a-whole-frame", "H10", "two frames, but all samples lie in the first", data
    yield "trim-of-everything", "H10", "F = 1, N = 0", one(trim=vlq(2_000))
    yield "trim-of-more-than-everything", "H10", "N < 0", one(trim=vlq(2**35 - 1))
    yield "model-id-0", "H11", "model id 0", one(model_id=0)
    yield "no-dimensions", "H11", "D = 0", one(n_latent=0)
    yield "step-index-65", "H11", "step index 65", one(step_index=65)
    yield "step-index-minus-65", "H11", "step index −65", one(step_index=-65)
    for name, index, offset in (("", 60, 5), ("-below", -1, -64)):
        offsets = (*[0] * (size - 1), offset)
        data = one(flags=EXPLICIT_STEPS, step_index=index, step_offsets=offsets)
        purpose = f"step index {index} and offset {offset} in the last dimension"
        yield f"offset-out-of-range{name}", "H11", purpose.replace("-", "−"), data


def _model(make: Maker) -> Cases:
    data = make.one(model_id=NEVER_REGISTERED)
    yield "unknown-model", "M1", f"model id {NEVER_REGISTERED}, which is not registered", data
    data = make.one(fingerprint=make.plain.fingerprint ^ 1)
    yield "other-fingerprint", "M2", "one bit of the fingerprint", data
    data = make.one(n_latent=make.plain.n_latent - 1)
    yield "other-dimensions", "M2", "D less by one, under the model's fingerprint", data


def _records(make: Maker) -> Cases:
    yield "chunk-of-81-frames", "R1", "n_frames = 81", make.stream(n_frames=81)
    header = replace(make.streamed, channels_less_1=1)
    data = raw_file(header, [[make.record(2), RawRecord(b"", 0)]], RawEnd(vlq(2)))
    yield "end-between-channels", "R1", "n_frames = 0 in the second channel", data
    one = vlq(len(make.payload(1)), 6)
    yield "six-byte-length", "R2", "length in six bytes", make.one_with(length=one)
    one = vlq(len(make.payload(1)), 2)
    yield (
        "overlong-length",
        "R3",
        "length in two bytes, though one holds it",
        make.one_with(length=one),
    )
    limit = make.prior.n_latent * 5 + 8
    data = make.one_with(payload=b"\1" * (limit + 1))
    yield "payload-too-long", "R4", f"{limit + 1} bytes for one frame", data
    data = make.one_with(length=vlq(2**35 - 1))
    yield "payload-of-32-gib", "R4", "the largest length that a varint holds", data
    yield "record-crc", "R5", "one bit of a record's CRC", make.one_with(crc_error=0x8000)
    first, second = make.record(2, gain=1), make.record(2, seed=1, gain=2)
    purpose = "gains 1 and 2 in one chunk"
    yield "channels-disagree-in-gain", "R6", purpose, make.pair(first, second)
    first, second = make.record(2), make.record(1)
    purpose = "2 frames and 1 in one chunk"
    yield "channels-disagree-in-frames", "R6", purpose, make.pair(first, second)
    yield "gain-out-of-range", "R7", "gain 121", make.one_with(gain=121)
    yield "gain-out-of-range-below", "R7", "gain −121", make.one_with(gain=-121)
    data = make.one_with(payload=b"\xff" * 8)
    yield "payload-that-is-no-coded-stream", "P1", "q = 2^24 at the first entry", data
    purpose = "q ≥ 2^24 at a later entry"
    yield "payload-that-is-no-coded-stream-later", "P1", purpose, make.late_fault()


def _places(make: Maker) -> Cases:
    """Yield files whose records are right, but not where they stand."""
    head, a, b, c = raw_parts(make.long, make.chunks())
    yield "swapped-chunks", "R5", "the first two of three chunks swapped", head + b + a + c
    yield "repeated-chunk", "R5", "the first chunk again in place of the second", head + a + a + c
    header = replace(make.long, channels_less_1=1)
    head, *records = raw_parts(header, make.chunks(2))
    records[0], records[1] = records[1], records[0]
    yield "swapped-channels", "R5", "two channels swapped", head + b"".join(records)
    ends = RawEnd(vlq(3))
    head, a, b, end = raw_parts(make.streamed, [[make.record(2)], [make.record(1, seed=1)]], ends)
    yield "missing-first-chunk", "R5", "a streamed file without its first chunk", head + b + end
    yield (
        "missing-last-chunk-of-a-stream",
        "E3",
        "a streamed file without its last chunk",
        head + a + end,
    )
    other = replace(make.streamed, step_index=1).packed()
    purpose = "chunks under the header of another file"
    yield "header-of-another-file", "R5", purpose, other + a + b + end


def _ends(make: Maker) -> Cases:
    stream = make.stream
    yield "end-with-six-byte-frames", "E1", "F in six bytes", stream(RawEnd(vlq(3, 6)))
    yield "end-with-six-byte-trim", "E1", "trim in six bytes", stream(RawEnd(vlq(3), vlq(0, 6)))
    yield "end-with-overlong-frames", "E2", "F = 3 in two bytes", stream(RawEnd(vlq(3, 2)))
    yield "end-with-overlong-trim", "E2", "trim 0 in two bytes", stream(RawEnd(vlq(3), vlq(0, 2)))
    yield "end-crc", "E3", "one bit of its CRC", stream(RawEnd(vlq(3), crc_error=1))
    yield "end-frames-wrong", "E4", "F = 4 for three frames", stream(RawEnd(vlq(4)))
    purpose = "F = 2^35 − 1 for three frames"
    yield "end-frames-far-too-many", "E4", purpose, stream(RawEnd(vlq(2**35 - 1)))
    data = raw_file(make.streamed, [], RawEnd(vlq(0)))
    yield "no-chunks", "E5", "a streamed file of no frames", data
    data = raw_file(make.streamed, [], RawEnd(vlq(1)))
    yield "no-chunks-but-frames", "E4", "F = 1 in a streamed file without chunks", data
    data = stream(RawEnd(vlq(3), vlq(2_000)))
    yield "end-trim-of-a-whole-frame", "E6", "the samples need two of three frames", data
    data = stream(RawEnd(vlq(3), vlq(6_000)))
    yield "end-trim-of-everything", "E6", "F = 3, N = 0", data
    yield "bytes-after-the-end", "X1", "a zero byte after the last record", make.one() + b"\0"
    purpose = "a zero byte after the end record"
    yield "bytes-after-the-end-record", "X1", purpose, make.stream() + b"\0"
    yield "two-files", "X1", "a file twice in a row", make.one() * 2


def _cut_off(make: Maker) -> Cases:
    one, parts = make.one(), raw_parts(make.long, make.chunks())
    head = len(make.plain.packed())
    yield "truncated-magic", "", "the first two bytes", one[:2]
    yield "truncated-header", "", "a header without its last byte", one[: head - 1]
    yield "truncated-after-header", "", "a header, and nothing else", one[:head]
    yield "truncated-payload", "", "ends inside the payload", one[:-3]
    yield "truncated-crc", "", "one byte of the last CRC is missing", one[:-1]
    yield "missing-last-chunk", "", "two of three chunks", b"".join(parts[:-1])
    chunks = [[make.record(2)], [make.record(1, seed=1)]]
    *rest, end = raw_parts(make.streamed, chunks, RawEnd(vlq(3)))
    stream = b"".join(rest)
    yield "missing-end-record", "", "a streamed file without its end record", stream
    yield "truncated-end-record", "", "ends inside the end record", stream + end[:2]
