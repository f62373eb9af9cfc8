"""The .hzc container: header, chunk records, checksums; the only file that knows offsets.

    file    = header, chunk*            (known length)
    file    = header, chunk*, end       (streamed: length not known when the header was written)
    chunk   = one record per channel
    record  = [n_frames, streamed only], gain, length varint, payload, CRC-16

Specification: formats/hzc-1.md. Only the standard library is imported here, so that a file can be
looked at without the codec. Multi-byte integers are big-endian; a varint is LEB128, shortest form.
"""

from hzc.container.chunks import (
    MAX_SYMBOL_BYTES,
    Chunk,
    Container,
    Reader,
    pack,
    pack_chunk,
    pack_end,
    unpack,
)
from hzc.container.fields import Readable
from hzc.container.header import (
    CHUNK_FRAMES,
    CRC_BYTES,
    FIXED_BYTES,
    FRAME_RATE_HZ,
    MAGIC,
    MAX_CHANNELS,
    MAX_FRAMES,
    MAX_GAIN_HALF_DB,
    MAX_SAMPLE_RATE_HZ,
    MAX_STEP_INDEX,
    MIN_SAMPLE_RATE_HZ,
    SAMPLE_RATES_HZ,
    VERSION,
    AnyHeader,
    Header,
    StreamHeader,
    check_magic,
    n_frames_for,
    pack_header,
    read_header,
)
from hzc.container.salvage import Gap, Salvaged, salvage
from hzc.container.splice import cut, joined

__all__ = [
    "CHUNK_FRAMES",
    "CRC_BYTES",
    "FIXED_BYTES",
    "FRAME_RATE_HZ",
    "MAGIC",
    "MAX_CHANNELS",
    "MAX_FRAMES",
    "MAX_GAIN_HALF_DB",
    "MAX_SAMPLE_RATE_HZ",
    "MAX_STEP_INDEX",
    "MAX_SYMBOL_BYTES",
    "MIN_SAMPLE_RATE_HZ",
    "SAMPLE_RATES_HZ",
    "VERSION",
    "AnyHeader",
    "Chunk",
    "Container",
    "Gap",
    "Header",
    "Readable",
    "Reader",
    "Salvaged",
    "StreamHeader",
    "check_magic",
    "cut",
    "joined",
    "n_frames_for",
    "pack",
    "pack_chunk",
    "pack_end",
    "pack_header",
    "read_header",
    "salvage",
    "unpack",
]
