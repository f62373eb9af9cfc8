"""`hzc encode`: what is fed to it, from text files to 192 kHz."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from harness import Cli, Wav

from hzc import container

Sound = Callable[..., np.ndarray]


def wav_bytes(samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, subtype=subtype, format="WAV")
    return stream.getvalue()


def patched(data: bytes, offset: int, layout: str, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(layout, out, offset, value)
    return bytes(out)


def with_sample(value: float, subtype: str = "FLOAT") -> bytes:
    samples = np.zeros(16_000)
    samples[12_000] = value
    return wav_bytes(samples, subtype=subtype)


SECOND = wav_bytes(np.zeros(16_000))

REFUSED = {
    "text": (b"hello, this is no sound\n", "not readable as audio"),
    "empty": (b"", "the file is empty"),
    "no-samples": (wav_bytes(np.zeros(0)), "no samples"),
    "rate-500": (patched(SECOND, 24, "<I", 500), "sample rate 500 Hz"),
    "rate-800k": (patched(SECOND, 24, "<I", 800_000), "sample rate 800000 Hz"),
    "nan": (with_sample(np.nan), "sample at 0.750 s is NaN or infinite"),
    "minus-infinity": (with_sample(-np.inf), "sample at 0.750 s is NaN or infinite"),
    "too-large-64-bit": (with_sample(1e300, "DOUBLE"), "NaN or infinite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_encode_when_the_input_is_unusable_then_one_line_and_exit_3(cli: Cli, name: str) -> None:
    data, says = REFUSED[name]
    (cli.folder / "in.wav").write_bytes(data)
    result = cli.refuse(3, says, "encode", "in.wav")
    assert result.stdout == b""
    assert "hzc: in.wav: " in result.stderr


@pytest.mark.parametrize("name", ["text", "empty", "no-samples", "nan"])
def test_encode_when_standard_input_is_unusable_then_the_line_names_it(cli: Cli, name: str) -> None:
    data, says = REFUSED[name]
    result = cli.refuse(3, says, "encode", "-", "-", stdin=data)
    assert result.stderr.startswith("hzc: standard input: ")
    assert result.stdout == b""


def test_encode_when_the_input_is_missing_or_a_folder_then_exit_3(cli: Cli) -> None:
    (cli.folder / "folder.wav").mkdir()
    cli.refuse(3, "no.wav: cannot be read (no such file", "encode", "no.wav")
    cli.refuse(3, "cannot be read (is a directory)", "encode", "folder.wav")
    cli.refuse(3, "cannot be read (file name too long)", "encode", "x" * 300 + ".wav")
    cli.refuse(3, "cannot be read", "encode", "")


def test_encode_when_fed_a_hzc_file_then_says_so(cli: Cli, hzc: Path) -> None:
    result = cli.refuse(3, "this is a .hzc file, not audio", "encode", hzc, "out.hzc")
    assert "hint: hzc decode" in result.stderr
    cli.refuse(6, "input and output are the same file", "encode", hzc)
    cli.refuse(6, "input and output are the same file", "encode", "-f", hzc)
    cli.refuse(3, "this is a .hzc file", "encode", "-", "-", stdin=hzc.read_bytes())


@pytest.mark.parametrize(
    ("suffix", "rate", "n_channels", "subtype"),
    [
        ("wav", 16_000, 1, "PCM_U8"),
        ("wav", 11_025, 2, "FLOAT"),
        ("wav", 8_000, 1, "ULAW"),
        ("wav", 192_000, 1, "PCM_24"),
        ("wav", 48_000, 17, "PCM_16"),
        ("flac", 48_000, 1, None),
        ("ogg", 48_000, 1, None),
        ("opus", 48_000, 1, None),
        ("mp3", 48_000, 1, None),
        ("aif", 48_000, 1, None),
    ],
)
def test_encode_when_the_recording_is_of_any_kind_then_all_samples_come_back(
    cli: Cli, wav: Wav, suffix: str, rate: int, n_channels: int, subtype: str | None
) -> None:
    path = wav(f"a.{suffix}", rate=rate, n_channels=n_channels, subtype=subtype, seconds=0.5)
    n_samples = soundfile.info(path).frames
    cli("encode", path, "--verify")
    header = container.unpack(Path("a.hzc").read_bytes()).header
    assert (header.n_samples, header.sample_rate_hz, header.n_channels) == (n_samples, rate, 1)
    cli("encode", "-", "-o", "piped.hzc", stdin=path.read_bytes())
    assert Path("piped.hzc").read_bytes() == Path("a.hzc").read_bytes()
    cli("decode", "a.hzc", "heard.wav", "--sample-rate", "source")
    assert (soundfile.info("heard.wav").frames, soundfile.info("heard.wav").samplerate) == (
        n_samples,
        rate,
    )


def test_encode_when_there_are_8_channels_then_mixed_or_kept_as_asked(cli: Cli, wav: Wav) -> None:
    path = wav("a.wav", n_channels=8, seconds=0.5)
    mixed = cli("encode", path, "mixed.hzc")
    assert "8 channels mixed down to one" in mixed.stderr
    assert container.unpack(Path("mixed.hzc").read_bytes()).header.n_channels == 1
    kept = cli("encode", path, "kept.hzc", "--channels", "keep", "--verify")
    assert "mixed" not in kept.stderr
    cli("decode", "kept.hzc", "mixed.hzc", "-d", cli.folder, "--sample-rate", "source")
    assert soundfile.info("kept.wav").channels == 8
    assert soundfile.info("mixed.wav").channels == 1
    assert soundfile.info("kept.wav").frames == soundfile.info("mixed.wav").frames == 8_000


def test_encode_when_other_symbols_come_back_then_verify_exits_5_and_nothing_is_written(
    cli: Cli, wav: Wav, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hzc.coding.prior import Prior

    data = wav("a.wav").read_bytes()
    right = Prior.decode
    monkeypatch.setattr(Prior, "decode", lambda self, *args: [s + 1 for s in right(self, *args)])
    cli.refuse(5, "verification failed", "encode", "a.wav", "--verify")
    cli.refuse(5, "verification failed", "encode", "-", "-o", "b.hzc", "--verify", stdin=data)
    monkeypatch.setattr(Prior, "decode", right)
    cli("encode", "a.wav", "--verify")


@pytest.mark.parametrize(
    ("says", "options"),
    [
        ("'--step-index'", ["--step-index", "65"]),
        ("'--step-index'", ["--step-index", "-65"]),
        ("'--step-index'", ["--step-index", "1.5"]),
        ("'--channels'", ["--channels", "all"]),
        ("'--threads'", ["--threads", "0"]),
        ("'--device'", ["--device", "tpu"]),
        ("No such option", ["--loud"]),
        ("--sample-rate is only valid with --raw", ["--sample-rate", "8000"]),
        ("--raw needs --sample-rate", ["--raw"]),
    ],
)
def test_encode_when_an_option_is_wrong_then_usage(
    cli: Cli, wav: Wav, says: str, options: list[str]
) -> None:
    wav("a.wav")
    cli.misuse(says, "encode", "a.wav", *options)


def test_encode_when_there_is_no_cuda_then_usage(
    cli: Cli, wav: Wav, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("HZC_BACKEND")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wav("a.wav")
    cli.misuse("no CUDA device", "encode", "a.wav", "--device", "cuda")
