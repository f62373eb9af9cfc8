"""The bytes of a file but for what the payloads mean (sections 4, 5 and 11).

The names H1 … X1 are those of the checks in section 11.
"""

from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import dataclass

from .errors import Corrupt, Limit, NotHzc, Truncated, Version
from .fields import Reader, signed_byte

MAGIC = b"hzc"
CHUNK_FRAMES = 80
MAX_FRAMES = 2**27
MAX_STEP_INDEX = 64
MAX_GAIN = 120
FRAME_RATE = 8
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000)
RATES += (44100, 48000, 64000, 88200, 96000, 176400, 192000)


@dataclass(frozen=True)
class Header:
    """The fields of section 4; the length is None in the header of a streamed file."""

    streamed: bool
    model_id: int
    fingerprint: int
    sample_rate: int
    n_channels: int
    step_index: int
    n_latent: int
    step_offsets: tuple[int, ...] | None
    n_frames: int | None
    trim: int | None
    crc: int


@dataclass(frozen=True)
class Record:
    """One channel of one chunk (section 5.1)."""

    n_frames: int
    gain: int
    payload: bytes


@dataclass(frozen=True)
class File:
    """A whole file; F and trim from the header or from the end record."""

    header: Header
    chunks: list[list[Record]]
    n_frames: int
    trim: int

    @property
    def n_samples(self) -> int:
        """N of section 4.5."""
        return samples(self.n_frames, self.header.sample_rate, self.trim)


def samples(n_frames: int, rate: int, trim: int) -> int:
    """Return N of section 4.5."""
    return n_frames * rate // FRAME_RATE - trim


def trim_is_sound(n_frames: int, rate: int, trim: int) -> bool:
    """Tell whether N is at least 1 and needs exactly `n_frames` frames (section 4.5)."""
    n = samples(n_frames, rate, trim)
    return n >= 1 and -(-n * FRAME_RATE // rate) == n_frames


def read_file(data: bytes, check_model: Callable[[Header], None] | None = None) -> File:
    """Read a file and make the checks H, R, E and X, and M after H where `check_model` is given."""
    reader = Reader(data)
    header = read_header(reader)
    if check_model is not None:
        check_model(header)
    chunks, total = _read_chunks(reader, header)
    n_frames, trim = header.n_frames, header.trim
    if header.streamed:
        n_frames, trim = _read_end(reader, header, len(chunks), total)
    if not reader.ended():  # X1
        raise Corrupt("bytes follow the end")
    return File(header, chunks, n_frames, trim)


def read_header(reader: Reader) -> Header:
    """Read the header (section 4), checks H1 … H11."""
    flags, first = _read_first(reader)
    streamed, explicit = bool(flags & 1), bool(flags & 2)
    rate_code, n_latent = first[3] >> 4, first[5]
    rate = reader.unsigned(4) if rate_code == 0 else RATES[rate_code - 1]
    offsets = tuple(map(signed_byte, reader.take(n_latent))) if explicit else None
    n_frames = None if streamed else reader.vlq()
    trim = None if streamed else reader.vlq()
    own_crc = crc_hqx(reader.data[: reader.at], 0xFFFF)
    header = Header(
        streamed=streamed,
        model_id=first[0],
        fingerprint=int.from_bytes(first[1:3], "big"),
        sample_rate=rate,
        n_channels=(first[3] & 0x0F) + 1,
        step_index=signed_byte(first[4]),
        n_latent=n_latent,
        step_offsets=offsets,
        n_frames=n_frames,
        trim=trim,
        crc=reader.unsigned(2),
    )
    if own_crc != header.crc:  # H6
        raise Corrupt("the header's CRC-16 does not match")
    _check_header(header, rate_in_full=rate_code == 0)
    return header


def _read_first(reader: Reader) -> tuple[int, bytes]:
    """Read the first ten bytes (section 4.1): the flags, and the bytes from the model id on."""
    there = reader.data[: len(MAGIC)]
    if not there or not MAGIC.startswith(there):  # H1
        raise NotHzc("no magic")
    reader.take(len(MAGIC))
    version_and_flags = reader.unsigned(1)
    if version_and_flags >> 4 != 1 or version_and_flags & 0x0C:  # H2
        raise Version("another version, or a reserved flag")
    first = reader.take(6)
    if first[3] >> 4 == 15:  # H3
        raise Version("rate code 15 is reserved")
    return version_and_flags & 0x03, first


def _check_header(header: Header, rate_in_full: bool) -> None:
    """Make the checks H7 … H11, in that order."""
    rate, n_frames = header.sample_rate, header.n_frames
    if rate_in_full and rate in RATES:  # H7
        raise Corrupt("the sample rate has a code")
    if n_frames is not None and not 1 <= n_frames <= MAX_FRAMES:  # H8
        raise Limit(f"{n_frames} frames")
    if not 1000 <= rate <= 768000:  # H9
        raise Limit(f"a sample rate of {rate} Hz")
    if n_frames is not None and not trim_is_sound(n_frames, rate, header.trim):  # H10
        raise Corrupt(f"a trim of {header.trim}")
    indexes = [header.step_index + offset for offset in (0, *(header.step_offsets or ()))]
    if any(abs(index) > MAX_STEP_INDEX for index in indexes):  # H11
        raise Limit("a step index outside its range")
    if header.model_id == 0 or header.n_latent == 0:  # H11
        raise Limit("a model id of 0, or no dimensions")


def _read_chunks(reader: Reader, header: Header) -> tuple[list[list[Record]], int]:
    """Read all chunks (section 9, steps 3 … 7) and return them with their frames' number."""
    chunks: list[list[Record]] = []
    total = 0
    while header.streamed or total < header.n_frames:
        if header.streamed and _at_end_record(reader):
            break
        due = None if header.streamed else min(CHUNK_FRAMES, header.n_frames - total)
        chunk = [
            _read_record(reader, header, (len(chunks), channel), due, total)
            for channel in range(header.n_channels)
        ]
        _check_chunk(chunk)
        chunks.append(chunk)
        total += chunk[0].n_frames
    return chunks, total


def _at_end_record(reader: Reader) -> bool:
    if reader.ended():
        raise Truncated("the file ends where a record is due")
    return reader.data[reader.at] == 0


def _read_record(
    reader: Reader, header: Header, place: tuple[int, int], due: int | None, total: int
) -> Record:
    """Read the record at `place` (section 5.1), checks R1 … R5.

    `due` is its number of frames where the file is not streamed, `total` the frames before it.
    """
    begin = reader.at
    n_frames = reader.unsigned(1) if due is None else due
    if not 1 <= n_frames <= CHUNK_FRAMES or total + n_frames > MAX_FRAMES:  # R1
        raise Limit(f"{n_frames} frames in a record")
    gain = reader.s8()
    length = reader.vlq()  # R2, R3
    if length > n_frames * header.n_latent * 5 + 8:  # R4
        raise Limit(f"a payload of {length} bytes")
    payload = reader.take(length)
    _check_crc(reader, header, place, begin)  # R5
    return Record(n_frames, gain, payload)


def _check_crc(reader: Reader, header: Header, place: tuple[int, int], begin: int) -> None:
    """Read and check the CRC-16 of a place and of the record from `begin` on (5.3)."""
    chunk, channel = place
    before = header.crc.to_bytes(2, "big") + chunk.to_bytes(4, "big") + bytes([channel])
    own_crc = crc_hqx(before + reader.data[begin : reader.at], 0xFFFF)
    if own_crc != reader.unsigned(2):
        raise Corrupt(f"the CRC-16 of chunk {chunk}, channel {channel} does not match")


def _check_chunk(chunk: list[Record]) -> None:
    """Make the checks R6 and R7, after the last channel of a chunk."""
    if len({(record.n_frames, record.gain) for record in chunk}) > 1:  # R6
        raise Corrupt("records of one chunk differ in n_frames or gain")
    if abs(chunk[0].gain) > MAX_GAIN:  # R7
        raise Limit(f"a gain of {chunk[0].gain} half decibels")


def _read_end(reader: Reader, header: Header, n_chunks: int, total: int) -> tuple[int, int]:
    """Read the end record (section 5.2), checks E1 … E6; return F and trim."""
    begin = reader.at
    reader.take(1)
    n_frames, trim = reader.vlq(), reader.vlq()  # E1, E2
    _check_crc(reader, header, (n_chunks, 0), begin)  # E3
    if n_frames != total:  # E4
        raise Corrupt(f"the end record tells {n_frames} frames, the records {total}")
    if n_frames == 0:  # E5
        raise Limit("a file without a chunk")
    if not trim_is_sound(n_frames, header.sample_rate, trim):  # E6
        raise Corrupt(f"a trim of {trim}")
    return n_frames, trim
