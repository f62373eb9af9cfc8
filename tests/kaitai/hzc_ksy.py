# Made by tests/kaitai/compile.js from formats/hzc.ksy, then formatted: do not edit.
# sha256 of hzc.ksy: 9882aff9fbceb34f035f198732ba3c2208ca505e38cd89286646f6a1090245eb
# ruff: noqa
# type: ignore

import kaitaistruct
from kaitaistruct import KaitaiStruct, KaitaiStream, BytesIO


if getattr(kaitaistruct, "API_VERSION", (0, 9)) < (0, 11):
    raise Exception(
        "Incompatible Kaitai Struct Python API: 0.11 or later is required, but you have %s"
        % (kaitaistruct.__version__)
    )


class Hzc(KaitaiStruct):
    """Header, chunks, records and end record of a .hzc file. The numbers in brackets are sections of the
    specification.

    Not described here: what the checksums must be (5.3), the coded symbols inside the payloads (6, 7),
    and in which order a reader makes its checks (11).

    .. seealso::
       hzc-1.md
    """

    def __init__(self, _io, _parent=None, _root=None):
        super(Hzc, self).__init__(_io)
        self._parent = _parent
        self._root = _root or self
        self._read()

    def _read(self):
        self.header = Hzc.Header(self._io, self, self._root)
        if not (self.header.is_streamed):
            pass
            self.chunks = []
            for i in range(self.header.n_chunks):
                self.chunks.append(Hzc.Chunk(i, self._io, self, self._root))

        if self.header.is_streamed:
            pass
            self.parts = []
            i = 0
            while True:
                _ = Hzc.StreamedPart(self._io, self, self._root)
                self.parts.append(_)
                if _.is_end:
                    break
                i += 1

        self.after_end = self._io.read_bytes_full()
        _ = self.after_end
        if not len(_) == 0:
            raise kaitaistruct.ValidationExprError(self.after_end, self._io, "/seq/3")

    def _fetch_instances(self):
        pass
        self.header._fetch_instances()
        if not (self.header.is_streamed):
            pass
            for i in range(len(self.chunks)):
                pass
                self.chunks[i]._fetch_instances()

        if self.header.is_streamed:
            pass
            for i in range(len(self.parts)):
                pass
                self.parts[i]._fetch_instances()

    class Chunk(KaitaiStruct):
        """Ten seconds or less of every channel (5)."""

        def __init__(self, index, _io, _parent=None, _root=None):
            super(Hzc.Chunk, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.index = index
            self._read()

        def _read(self):
            self.records = []
            for i in range(self._root.header.n_channels):
                self.records.append(Hzc.Record(self.n_frames, self._io, self, self._root))

        def _fetch_instances(self):
            pass
            for i in range(len(self.records)):
                pass
                self.records[i]._fetch_instances()

        @property
        def n_frames(self):
            if hasattr(self, "_m_n_frames"):
                return self._m_n_frames

            self._m_n_frames = (
                80
                if self.index + 1 < self._root.header.n_chunks
                else self._root.header.n_frames.value - 80 * self.index
            )
            return getattr(self, "_m_n_frames", None)

    class EndRecord(KaitaiStruct):
        """What the header of a streamed file could not tell; its zero byte left out (5.2)."""

        def __init__(self, _io, _parent=None, _root=None):
            super(Hzc.EndRecord, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.n_frames = Hzc.Vlq(self._io, self, self._root)
            _ = self.n_frames
            if not ((_.value >= 1) and (_.value <= 134217728)):
                raise kaitaistruct.ValidationExprError(
                    self.n_frames, self._io, "/types/end_record/seq/0"
                )
            self.trim = Hzc.Vlq(self._io, self, self._root)
            self.crc = self._io.read_u2be()

        def _fetch_instances(self):
            pass
            self.n_frames._fetch_instances()
            self.trim._fetch_instances()

        @property
        def n_samples(self):
            """Samples per channel of the original recording (4.5)."""
            if hasattr(self, "_m_n_samples"):
                return self._m_n_samples

            self._m_n_samples = (
                self.n_frames.value * self._root.header.sample_rate_hz
            ) // 8 - self.trim.value
            return getattr(self, "_m_n_samples", None)

    class Header(KaitaiStruct):
        """What the file says about itself (4)."""

        def __init__(self, _io, _parent=None, _root=None):
            super(Hzc.Header, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.magic = self._io.read_bytes(3)
            if not self.magic == b"\x68\x7a\x63":
                raise kaitaistruct.ValidationNotEqualError(
                    b"\x68\x7a\x63", self.magic, self._io, "/types/header/seq/0"
                )
            self.version = self._io.read_bits_int_be(4)
            if not self.version == 1:
                raise kaitaistruct.ValidationNotEqualError(
                    1, self.version, self._io, "/types/header/seq/1"
                )
            self.reserved = self._io.read_bits_int_be(2)
            if not self.reserved == 0:
                raise kaitaistruct.ValidationNotEqualError(
                    0, self.reserved, self._io, "/types/header/seq/2"
                )
            self.has_step_offsets = self._io.read_bits_int_be(1) != 0
            self.is_streamed = self._io.read_bits_int_be(1) != 0
            self.model_id = self._io.read_u1()
            if not self.model_id >= 1:
                raise kaitaistruct.ValidationLessThanError(
                    1, self.model_id, self._io, "/types/header/seq/5"
                )
            self.fingerprint = self._io.read_u2be()
            self.rate_code = self._io.read_bits_int_be(4)
            if not self.rate_code <= 14:
                raise kaitaistruct.ValidationGreaterThanError(
                    14, self.rate_code, self._io, "/types/header/seq/7"
                )
            self.channels_less_1 = self._io.read_bits_int_be(4)
            self.step_index = self._io.read_s1()
            if not self.step_index >= -64:
                raise kaitaistruct.ValidationLessThanError(
                    -64, self.step_index, self._io, "/types/header/seq/9"
                )
            if not self.step_index <= 64:
                raise kaitaistruct.ValidationGreaterThanError(
                    64, self.step_index, self._io, "/types/header/seq/9"
                )
            self.n_latent = self._io.read_u1()
            if not self.n_latent >= 1:
                raise kaitaistruct.ValidationLessThanError(
                    1, self.n_latent, self._io, "/types/header/seq/10"
                )
            if self.rate_code == 0:
                pass
                self.sample_rate = self._io.read_u4be()
                if not self.sample_rate >= 1000:
                    raise kaitaistruct.ValidationLessThanError(
                        1000, self.sample_rate, self._io, "/types/header/seq/11"
                    )
                if not self.sample_rate <= 768000:
                    raise kaitaistruct.ValidationGreaterThanError(
                        768000, self.sample_rate, self._io, "/types/header/seq/11"
                    )

            if self.has_step_offsets:
                pass
                self.step_offsets = []
                for i in range(self.n_latent):
                    self.step_offsets.append(self._io.read_s1())
                    _ = self.step_offsets[i]
                    if not ((self.step_index + _ >= -64) and (self.step_index + _ <= 64)):
                        raise kaitaistruct.ValidationExprError(
                            self.step_offsets[i], self._io, "/types/header/seq/12"
                        )

            if not (self.is_streamed):
                pass
                self.n_frames = Hzc.Vlq(self._io, self, self._root)
                _ = self.n_frames
                if not ((_.value >= 1) and (_.value <= 134217728)):
                    raise kaitaistruct.ValidationExprError(
                        self.n_frames, self._io, "/types/header/seq/13"
                    )

            if not (self.is_streamed):
                pass
                self.trim = Hzc.Vlq(self._io, self, self._root)

            self.crc = self._io.read_u2be()

        def _fetch_instances(self):
            pass
            if self.rate_code == 0:
                pass

            if self.has_step_offsets:
                pass
                for i in range(len(self.step_offsets)):
                    pass

            if not (self.is_streamed):
                pass
                self.n_frames._fetch_instances()

            if not (self.is_streamed):
                pass
                self.trim._fetch_instances()

        @property
        def n_channels(self):
            if hasattr(self, "_m_n_channels"):
                return self._m_n_channels

            self._m_n_channels = self.channels_less_1 + 1
            return getattr(self, "_m_n_channels", None)

        @property
        def n_chunks(self):
            if hasattr(self, "_m_n_chunks"):
                return self._m_n_chunks

            if not (self.is_streamed):
                pass
                self._m_n_chunks = (self.n_frames.value + 79) // 80

            return getattr(self, "_m_n_chunks", None)

        @property
        def n_samples(self):
            """Samples per channel of the original recording (4.5)."""
            if hasattr(self, "_m_n_samples"):
                return self._m_n_samples

            if not (self.is_streamed):
                pass
                self._m_n_samples = (
                    self.n_frames.value * self.sample_rate_hz
                ) // 8 - self.trim.value

            return getattr(self, "_m_n_samples", None)

        @property
        def sample_rate_hz(self):
            if hasattr(self, "_m_sample_rate_hz"):
                return self._m_sample_rate_hz

            self._m_sample_rate_hz = (
                self.sample_rate
                if self.rate_code == 0
                else [
                    0,
                    8000,
                    11025,
                    12000,
                    16000,
                    22050,
                    24000,
                    32000,
                    44100,
                    48000,
                    64000,
                    88200,
                    96000,
                    176400,
                    192000,
                ][self.rate_code]
            )
            return getattr(self, "_m_sample_rate_hz", None)

    class Record(KaitaiStruct):
        """One channel of one chunk (5.1), without the n_frames of a streamed file."""

        def __init__(self, n_frames, _io, _parent=None, _root=None):
            super(Hzc.Record, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.n_frames = n_frames
            self._read()

        def _read(self):
            self.gain = self._io.read_s1()
            if not self.gain >= -120:
                raise kaitaistruct.ValidationLessThanError(
                    -120, self.gain, self._io, "/types/record/seq/0"
                )
            if not self.gain <= 120:
                raise kaitaistruct.ValidationGreaterThanError(
                    120, self.gain, self._io, "/types/record/seq/0"
                )
            self.length = Hzc.Vlq(self._io, self, self._root)
            _ = self.length
            if not _.value <= (self.n_frames * self._root.header.n_latent) * 5 + 8:
                raise kaitaistruct.ValidationExprError(self.length, self._io, "/types/record/seq/1")
            self.payload = self._io.read_bytes(self.length.value)
            self.crc = self._io.read_u2be()

        def _fetch_instances(self):
            pass
            self.length._fetch_instances()

    class StreamedPart(KaitaiStruct):
        """A chunk of a streamed file, or its end record (5.2)."""

        def __init__(self, _io, _parent=None, _root=None):
            super(Hzc.StreamedPart, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.n_frames = self._io.read_u1()
            if not self.n_frames <= 80:
                raise kaitaistruct.ValidationGreaterThanError(
                    80, self.n_frames, self._io, "/types/streamed_part/seq/0"
                )
            if self.is_end:
                pass
                self.end = Hzc.EndRecord(self._io, self, self._root)

            if not (self.is_end):
                pass
                self.first = Hzc.Record(self.n_frames, self._io, self, self._root)

            if not (self.is_end):
                pass
                self.others = []
                for i in range(self._root.header.n_channels - 1):
                    self.others.append(
                        Hzc.StreamedRecord(self.n_frames, self._io, self, self._root)
                    )

        def _fetch_instances(self):
            pass
            if self.is_end:
                pass
                self.end._fetch_instances()

            if not (self.is_end):
                pass
                self.first._fetch_instances()

            if not (self.is_end):
                pass
                for i in range(len(self.others)):
                    pass
                    self.others[i]._fetch_instances()

        @property
        def is_end(self):
            if hasattr(self, "_m_is_end"):
                return self._m_is_end

            self._m_is_end = self.n_frames == 0
            return getattr(self, "_m_is_end", None)

    class StreamedRecord(KaitaiStruct):
        """Record of a channel other than the first."""

        def __init__(self, n_frames_of_chunk, _io, _parent=None, _root=None):
            super(Hzc.StreamedRecord, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.n_frames_of_chunk = n_frames_of_chunk
            self._read()

        def _read(self):
            self.n_frames = self._io.read_u1()
            if not self.n_frames == self.n_frames_of_chunk:
                raise kaitaistruct.ValidationNotEqualError(
                    self.n_frames_of_chunk, self.n_frames, self._io, "/types/streamed_record/seq/0"
                )
            self.record = Hzc.Record(self.n_frames, self._io, self, self._root)

        def _fetch_instances(self):
            pass
            self.record._fetch_instances()

    class Vlq(KaitaiStruct):
        """Varint, LEB128, at most five bytes, shortest form (3)."""

        def __init__(self, _io, _parent=None, _root=None):
            super(Hzc.Vlq, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.groups = []
            i = 0
            while True:
                _ = Hzc.VlqGroup(i, self._io, self, self._root)
                self.groups.append(_)
                if not (_.has_next):
                    break
                i += 1

        def _fetch_instances(self):
            pass
            for i in range(len(self.groups)):
                pass
                self.groups[i]._fetch_instances()

        @property
        def value(self):
            if hasattr(self, "_m_value"):
                return self._m_value

            self._m_value = (
                (
                    (
                        self.groups[0].value
                        + (self.groups[1].value << 7 if len(self.groups) > 1 else 0)
                    )
                    + (self.groups[2].value << 14 if len(self.groups) > 2 else 0)
                )
                + (self.groups[3].value << 21 if len(self.groups) > 3 else 0)
            ) + (self.groups[4].value << 28 if len(self.groups) > 4 else 0)
            return getattr(self, "_m_value", None)

    class VlqGroup(KaitaiStruct):
        def __init__(self, index, _io, _parent=None, _root=None):
            super(Hzc.VlqGroup, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self.index = index
            self._read()

        def _read(self):
            self.has_next = self._io.read_bits_int_be(1) != 0
            _ = self.has_next
            if not ((not (_)) or (self.index < 4)):
                raise kaitaistruct.ValidationExprError(
                    self.has_next, self._io, "/types/vlq_group/seq/0"
                )
            self.value = self._io.read_bits_int_be(7)
            _ = self.value
            if not ((_ != 0) or (self.has_next) or (self.index == 0)):
                raise kaitaistruct.ValidationExprError(
                    self.value, self._io, "/types/vlq_group/seq/1"
                )

        def _fetch_instances(self):
            pass
