"""What is compared: hzc in this process, other codecs as the commands their makers ship.

Every codec turns 16 kHz samples into the bytes of a file and back. Commands work on files in a
temporary folder; they get 16-bit WAV or raw samples, at 8 kHz where they know no other rate.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import hzc
from hzc import bitrate, container
from hzc_bench import ogg, samples
from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray, Recording

if TYPE_CHECKING:
    from hzc.codec import Codec as Model


@dataclass(frozen=True)
class Decoded:
    """What came back of a recording, its delay still in it, and what it cost."""

    samples: FloatArray
    file_bytes: float
    payload_bytes: float


@dataclass
class System:
    """Something that recordings go through."""

    name: str
    """In commands and CSV files."""
    title: str
    """In tables."""
    family: str
    """What it shares a colour and a line with."""
    is_stated: ClassVar[bool] = False
    """Its rate was stated by others, not measured."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs and packages that have to be installed."""
        return ()

    @property
    def description(self) -> str:
        """Say exactly what is run, for the report."""
        raise NotImplementedError

    def coded(self, original: Recording) -> Decoded:
        """Return a recording coded and decoded."""
        raise NotImplementedError


class Codec(System):
    """Samples to the bytes of a file and back, at 16 kHz."""

    def encode(self, x: FloatArray) -> bytes:
        """Return the bytes of a file for float32 [sample]."""
        raise NotImplementedError

    def decode(self, data: bytes) -> FloatArray:
        """Return float32 [sample], its delay still in it."""
        raise NotImplementedError

    def payload_bytes(self, data: bytes) -> int:
        """Return what of a file is coded sound, container and headers left out."""
        return len(data)

    def coded(self, original: Recording) -> Decoded:
        """Return a recording from the bytes of its file."""
        data = self.encode(original.samples)
        return Decoded(self.decode(data), len(data), self.payload_bytes(data))


@cache
def loaded(model: str | None) -> tuple[Model, str]:
    """Return a model and the digest of its file, which may be replaced while a benchmark runs."""
    codec = hzc.load(model)
    return codec, sha256(codec.model.path.read_bytes()).hexdigest()[:12]


@dataclass(unsafe_hash=True)
class Hzc(Codec):
    """This package, in this process."""

    name: str = "hzc"
    title: str = "hzc"
    family: str = "hzc"
    model: str | None = None
    step_index: int | None = None
    effort: int | None = None
    """Of the search; None: as the encoder does without being asked."""
    kbps: float | None = None
    """Rate to ask for; None: the quality of the step index."""

    @classmethod
    def at(cls, model: str | None, step_index: int | None = None, effort: int | None = None) -> Hzc:
        """Return hzc at a step index and an effort, named by them."""
        said = {"step": step_index, "effort": effort}
        chosen = [(what, value) for what, value in said.items() if value is not None]
        name = "-".join(["hzc", *(f"{what}{value}" for what, value in chosen)])
        title = ", ".join(["hzc", *(f"{what} {value}".replace("-", "−") for what, value in chosen)])
        family = "hzc" if effort is None else "hzc-effort"
        return cls(name, title, family, model, step_index, effort)

    @property
    def codec(self) -> Model:
        """The model, loaded once."""
        return loaded(self.model)[0]

    @property
    def description(self) -> str:
        """Version, model, and what sets the model apart from others of that name."""
        codec, digest = loaded(self.model)
        return f"hzc {hzc.__version__}, model {codec.model.name} (sha256 {digest}…)"

    def encode(self, x: FloatArray) -> bytes:
        """Return a .hzc file."""
        search: dict[str, Any] = {} if self.effort is None else {"effort": self.effort}
        return self.codec.encode(
            x, SAMPLE_RATE_HZ, step_index=self.step_index, kbps=self.kbps, **search
        )

    def decode(self, data: bytes) -> FloatArray:
        """Return what comes back, clipped as a WAV file would be."""
        return np.clip(self.codec.decode(data)[0], -1.0, 1.0)

    def payload_bytes(self, data: bytes) -> int:
        """Return the bytes of coded symbols."""
        return bitrate.measure(container.unpack(data), len(data)).payload_bytes


@dataclass
class Pcm(Codec):
    """No codec: the original in 16 bits, for metrics that look at no reference."""

    name: str = "original"
    title: str = "original, 16-bit PCM"
    family: str = "original"
    description: str = "16-bit samples at 16 kHz, no header"

    def encode(self, x: FloatArray) -> bytes:
        """Return 16-bit samples."""
        return samples.to_pcm(x).tobytes()

    def decode(self, data: bytes) -> FloatArray:
        """Return them as floats."""
        return samples.from_pcm(data)


@dataclass
class Command(Codec):
    """A codec that is a pair of programs, run on files."""

    encoder: tuple[str, ...]
    """Words of the command; IN and OUT stand for the files."""
    decoder: tuple[str, ...]
    suffix: str
    """Of coded files."""
    sample_rate_hz: int = SAMPLE_RATE_HZ
    is_raw: bool = False
    """Files of samples are raw, not WAV."""
    header_bytes: int | None = None
    """Of coded files; None: they are Ogg."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Both programs."""
        return tuple(tool for tool in (self.encoder[0], self.decoder[0]) if not shutil.which(tool))

    @property
    def description(self) -> str:
        """Both command lines, and what the encoder calls itself."""
        text = f"`{' '.join(self.encoder)}`, `{' '.join(self.decoder)}`"
        text = text.replace("IN", f"a{self._suffix}", 1).replace("OUT", f"a{self.suffix}", 1)
        text = text.replace("IN", f"a{self.suffix}").replace("OUT", f"b{self._suffix}")
        if self.encoder[0] == "c2enc":  # which says nothing
            return text
        asked = [self.encoder[0], "--version"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        first = (done.stdout or done.stderr).splitlines()[:1]
        return text + "".join(f" ({line})" for line in first)

    def encode(self, x: FloatArray) -> bytes:
        """Return the file that the encoder writes."""
        at_rate = samples.resampled(x, SAMPLE_RATE_HZ, self.sample_rate_hz)
        raw = samples.to_pcm(at_rate).tobytes()
        data = raw if self.is_raw else samples.to_wav(at_rate, self.sample_rate_hz)
        return run(self.encoder, data, self._suffix, self.suffix)

    def decode(self, data: bytes) -> FloatArray:
        """Return what the decoder writes, at 16 kHz."""
        decoded = run(self.decoder, data, self.suffix, self._suffix)
        if self.is_raw:
            x = samples.from_pcm(decoded)
            return samples.resampled(x, self.sample_rate_hz, SAMPLE_RATE_HZ)
        return samples.at_16_khz(io.BytesIO(decoded))

    def payload_bytes(self, data: bytes) -> int:
        """Return the bytes of packets of sound."""
        return (
            ogg.payload_bytes(data) if self.header_bytes is None else len(data) - self.header_bytes
        )

    @property
    def _suffix(self) -> str:
        return ".raw" if self.is_raw else ".wav"


def opus(kbps: int) -> Command:
    """Return Opus with opus-tools' defaults (variable rate), without tags."""
    encoder = (
        "opusenc", "--quiet", "--bitrate", str(kbps), "--speech", "--framesize", "20",
        "--padding", "0", "--discard-comments", "IN", "OUT",
    )  # fmt: skip
    # Dither would add noise that no two runs have in common.
    decoder = ("opusdec", "--quiet", "--rate", str(SAMPLE_RATE_HZ), "--no-dither", "IN", "OUT")
    return Command(f"opus-{kbps}", f"Opus {kbps} kbit/s", "Opus", encoder, decoder, ".opus")


def codec2(mode: str) -> Command:
    """Return Codec 2 with the header that names its mode."""
    return Command(
        f"codec2-{mode.lower()}", f"Codec 2 {mode}", "Codec 2", ("c2enc", mode, "IN", "OUT"),
        ("c2dec", mode, "IN", "OUT"), ".c2", 8000, is_raw=True, header_bytes=7,
    )  # fmt: skip


def speex(band: str, quality: int) -> Command:
    """Return Speex in Ogg with ten frames a packet, which costs least."""
    encoder = ("speexenc", f"--{band}", "--quality", str(quality), "--nframes", "10", "IN", "OUT")
    family = f"Speex {band}"
    sample_rate_hz = {"narrowband": 8000, "wideband": SAMPLE_RATE_HZ}[band]
    return Command(
        f"speex-{band[0]}b{quality}", f"{family} q{quality}", family, encoder,
        ("speexdec", "IN", "OUT"), ".spx", sample_rate_hz,
    )  # fmt: skip


def peers() -> list[Codec]:
    """Return the codecs that are programs, installed or not."""
    return [
        *(opus(kbps) for kbps in (6, 8, 12)),
        *(codec2(mode) for mode in ("3200", "1300", "700C")),
        speex("narrowband", 2), speex("wideband", 2),
    ]  # fmt: skip


def run(words: tuple[str, ...], data: bytes, suffix: str, out_suffix: str) -> bytes:
    """Return what a program writes, given a file of these bytes.

    Raises:
        RuntimeError: it fails, or writes nothing.
    """
    with tempfile.TemporaryDirectory(prefix="hzc-bench-") as name:
        source, target = Path(name) / f"in{suffix}", Path(name) / f"out{out_suffix}"
        source.write_bytes(data)
        places = {"IN": str(source), "OUT": str(target)}
        command = [places.get(word, word) for word in words]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode or not target.exists():
            raise RuntimeError(f"{words[0]} failed: {done.stderr.decode(errors='replace')[-300:]}")
        return target.read_bytes()
