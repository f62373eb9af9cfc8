"""Codecs that are compared: hzc in this process, the others as the commands their makers ship.

Every codec turns 16 kHz samples into the bytes of a file and back. Commands work on files in a
temporary folder; they get 16-bit WAV or raw samples, at 8 kHz where they know no other rate.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

import hzc
from hzc import bitrate, container
from hzc.audio import sources, writers
from hzc.blocks import FloatArray, joined
from hzc_bench import ogg
from hzc_bench.align import RATE_HZ

if TYPE_CHECKING:
    from hzc.codec import Codec as Model


class Codec(Protocol):
    """Samples to the bytes of a file and back, at 16 kHz."""

    name: str
    title: str

    @property
    def tools(self) -> tuple[str, ...]:
        """Programs that have to be installed."""
        ...

    @property
    def description(self) -> str:
        """Say exactly what is run, for the report."""
        ...

    def encode(self, samples: FloatArray) -> bytes:
        """Return the bytes of a file."""
        ...

    def decode(self, data: bytes) -> FloatArray:
        """Return float32 [sample], its delay still in it."""
        ...

    def payload_bytes(self, data: bytes) -> int:
        """Return what of a file is coded sound, container and headers left out."""
        ...


@dataclass
class Hzc:
    """This package, in this process."""

    model: str | None = None
    step_index: int | None = None
    name: str = "hzc"
    title: str = "hzc"
    tools: tuple[str, ...] = ()

    @cached_property
    def codec(self) -> Model:
        """The model, loaded once."""
        codec = hzc.load(self.model)
        # Now: while a benchmark runs, the file may be replaced.
        self._digest = sha256(codec.model.path.read_bytes()).hexdigest()[:12]
        return codec

    @property
    def description(self) -> str:
        """Version, model, and what tells the model from others of that name."""
        model = self.codec.model
        step = "" if self.step_index is None else f", step index {self.step_index}"
        return f"hzc {hzc.__version__}, model {model.name} (sha256 {self._digest}…){step}"

    def encode(self, samples: FloatArray) -> bytes:
        """Return a .hzc file."""
        return self.codec.encode(samples, RATE_HZ, step_index=self.step_index)

    def decode(self, data: bytes) -> FloatArray:
        """Return what comes back, clipped as a WAV file would be."""
        decoded, _ = self.codec.decode(data)
        return np.clip(decoded, -1.0, 1.0)

    def payload_bytes(self, data: bytes) -> int:
        """Return the bytes of coded symbols."""
        return bitrate.measure(container.unpack(data), len(data)).payload_bytes


@dataclass
class Pcm:
    """No codec: the original in 16 bits, for metrics that look at no reference."""

    name: str = "original"
    title: str = "original, 16-bit PCM"
    tools: tuple[str, ...] = ()
    description: str = "16-bit samples at 16 kHz, no header"

    def encode(self, samples: FloatArray) -> bytes:
        """Return 16-bit samples."""
        return to_pcm(samples)

    def decode(self, data: bytes) -> FloatArray:
        """Return them as floats."""
        return from_pcm(data)

    def payload_bytes(self, data: bytes) -> int:
        """Return all: there is no header."""
        return len(data)


@dataclass
class Command:
    """A codec that is a pair of programs, run on files."""

    name: str
    title: str
    encoder: tuple[str, ...]
    """Words of the command; IN and OUT stand for the files."""
    decoder: tuple[str, ...]
    suffix: str
    """Of coded files."""
    rate_hz: int = RATE_HZ
    is_raw: bool = False
    """Files of samples are raw, not WAV."""
    header_bytes: int | None = None
    """Of coded files; None: they are Ogg."""

    @property
    def tools(self) -> tuple[str, ...]:
        """Both programs."""
        return (self.encoder[0], self.decoder[0])

    @property
    def description(self) -> str:
        """Both command lines."""
        sound = "raw" if self.is_raw else "wav"
        text = f"`{' '.join(self.encoder)}`, `{' '.join(self.decoder)}`"
        text = text.replace("IN", f"a.{sound}", 1).replace("OUT", f"a{self.suffix}", 1)
        return text.replace("IN", f"a{self.suffix}").replace("OUT", f"b.{sound}")

    def encode(self, samples: FloatArray) -> bytes:
        """Return the file that the encoder writes."""
        at_rate = resampled(samples, RATE_HZ, self.rate_hz)
        data = to_pcm(at_rate) if self.is_raw else to_file(at_rate, self.rate_hz, ".wav")
        return run(self.encoder, data, self._sound_suffix, self.suffix)

    def decode(self, data: bytes) -> FloatArray:
        """Return what the decoder writes, at 16 kHz."""
        decoded = run(self.decoder, data, self.suffix, self._sound_suffix)
        if self.is_raw:
            return resampled(from_pcm(decoded), self.rate_hz, RATE_HZ)
        return at_16_khz(sources.open_source(decoded))

    def payload_bytes(self, data: bytes) -> int:
        """Return the bytes of packets of sound."""
        if self.header_bytes is None:
            return ogg.payload_bytes(data)
        return len(data) - self.header_bytes

    @property
    def _sound_suffix(self) -> str:
        return ".raw" if self.is_raw else ".wav"


def opus(kbps: int) -> Command:
    """Return Opus with opus-tools' defaults (variable rate), without tags."""
    encoder = (
        "opusenc", "--quiet", "--bitrate", str(kbps), "--speech", "--framesize", "20",
        "--padding", "0", "--discard-comments", "IN", "OUT",
    )  # fmt: skip
    # Dither would add noise that no two runs have in common.
    decoder = ("opusdec", "--quiet", "--rate", str(RATE_HZ), "--no-dither", "IN", "OUT")
    return Command(f"opus-{kbps}", f"Opus {kbps} kbit/s", encoder, decoder, ".opus")


def codec2(mode: str) -> Command:
    """Return Codec 2 with the header that tells its mode."""
    return Command(
        f"codec2-{mode.lower()}", f"Codec 2 {mode}", ("c2enc", mode, "IN", "OUT"),
        ("c2dec", mode, "IN", "OUT"), ".c2", 8000, is_raw=True, header_bytes=7,
    )  # fmt: skip


def speex(band: str, quality: int, title: str) -> Command:
    """Return Speex in Ogg with ten frames a packet, which costs least."""
    encoder = ("speexenc", f"--{band}", "--quality", str(quality), "--nframes", "10", "IN", "OUT")
    rate_hz = {"narrowband": 8000, "wideband": RATE_HZ}[band]
    return Command(
        f"speex-{band[0]}b{quality}", title, encoder, ("speexdec", "IN", "OUT"), ".spx", rate_hz
    )


def lyra(folder: Path, bps: int) -> Command:
    """Return Lyra v2 from a folder with encoder_main, decoder_main and model_coeffs.

    Its programs take folders for their output; `run` names the file that appears there.
    """
    options = (f"--model_path={folder / 'model_coeffs'}", f"--bitrate={bps}")
    return Command(
        f"lyra-{bps}", f"Lyra v2 {bps / 1000:g} kbit/s",
        (str(folder / "encoder_main"), "--input_path=IN", "--output_dir=OUTDIR", *options),
        (str(folder / "decoder_main"), "--encoded_path=IN", "--output_dir=OUTDIR", *options),
        ".lyra", header_bytes=0,
    )  # fmt: skip


def peers(lyra_folder: Path | None = None) -> list[Codec]:
    """Return every codec that hzc is compared with, installed or not, the original first."""
    found: list[Codec] = [
        Pcm(),
        *(opus(kbps) for kbps in (6, 8, 12)),
        *(codec2(mode) for mode in ("3200", "1300", "700C")),
        speex("narrowband", 2, "Speex narrow-band q2"),
        speex("wideband", 2, "Speex wide-band q2"),
    ]
    if lyra_folder:
        found += [lyra(lyra_folder, bps) for bps in (3200, 6000, 9200)]
    return found


def missing_tools(codec: Codec) -> list[str]:
    """Return the programs of a codec that are not installed."""
    return [tool for tool in codec.tools if not shutil.which(tool)]


def run(words: tuple[str, ...], data: bytes, suffix: str, out_suffix: str) -> bytes:
    """Return what a program writes, given a file of these bytes.

    Raises:
        RuntimeError: it fails, or writes nothing.
    """
    with tempfile.TemporaryDirectory(prefix="hzc-bench-") as name:
        folder = Path(name)
        source, target = folder / f"in{suffix}", folder / f"out{out_suffix}"
        source.write_bytes(data)
        places = {"OUTDIR": str(folder), "IN": str(source), "OUT": str(target)}
        command = []
        for word in words:
            option, equals, value = word.rpartition("=")
            command.append(option + equals + places.get(value, value))
        done = subprocess.run(command, capture_output=True, check=False)
        written = [path for path in folder.iterdir() if path != source]
        if done.returncode or not written:
            raise RuntimeError(f"{words[0]} failed: {done.stderr.decode(errors='replace')[-300:]}")
        return written[0].read_bytes()


# --- samples ---------------------------------------------------------------------------------


def at_16_khz(source: sources.Source) -> FloatArray:
    """Return the mean of a source's channels, float32 [sample] at 16 kHz."""
    mono = sources.mixed(source)
    blocks = sources.resampled(mono.blocks(), 1, mono.sample_rate_hz, RATE_HZ)
    samples: FloatArray = joined(blocks)[0]
    return samples


def resampled(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """Return float32 [sample] at another rate."""
    at_rate: FloatArray = joined(sources.resampled(iter([samples[None]]), 1, from_hz, to_hz))[0]
    return at_rate


def to_pcm(samples: FloatArray) -> bytes:
    """Return 16-bit little-endian samples."""
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def from_pcm(data: bytes) -> FloatArray:
    """Return float32 [sample] of 16-bit little-endian samples."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32767.0)


def to_file(samples: FloatArray, rate_hz: int, suffix: str) -> bytes:
    """Return the bytes of a sound file of a format that a suffix names."""
    file = io.BytesIO()
    size = writers.Size(1, len(samples))
    writers.write(file, f"a{suffix}", iter([samples[None]]), rate_hz, size)
    return file.getvalue()
