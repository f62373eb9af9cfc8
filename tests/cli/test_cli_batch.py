"""Several files at once, odd names, and what is said about them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import soundfile
from harness import Cli, Wav

from hzc import container

RATE_KEYS = {"bitrate_kbps", "bytes_per_s", "n_bytes", "duration_s", "header_bytes", "header_share"}


# ------------------------------------------------------------------ several files


@pytest.mark.parametrize("kind", ["text", "missing", "folder", "existing target"])
def test_batch_when_the_middle_one_is_bad_then_the_others_are_done_and_exit_1(
    cli: Cli, wav: Wav, kind: str
) -> None:
    wav("a.wav")
    wav("c.wav")
    if kind == "text":
        (cli.folder / "b.wav").write_text("no sound")
    elif kind == "folder":
        (cli.folder / "b.wav").mkdir()
    elif kind == "existing target":
        wav("b.wav")
        (cli.folder / "b.hzc").write_bytes(b"old")
    result = cli("encode", "a.wav", "b.wav", "c.wav", code=1)
    lines = result.stderr.splitlines()
    assert lines[0].startswith("a.hzc  ")
    assert lines[1].startswith("hzc: b.hzc: " if kind == "existing target" else "hzc: b.wav: ")
    assert lines[-2].startswith("c.hzc  ")
    assert lines[-1] == "hzc: 2 of 3 files done, 1 failed"
    for name in ("a.hzc", "c.hzc"):
        assert container.unpack(Path(name).read_bytes()).header.n_samples == 16_000
    assert Path("b.hzc").exists() == (kind == "existing target")


@pytest.mark.parametrize("command", ["decode", "bitrate", "info"])
def test_batch_when_hzc_files_are_bad_then_the_others_are_done_and_exit_1(
    cli: Cli, hzc: Path, coded: bytes, command: str
) -> None:
    (cli.folder / "bad.hzc").write_bytes(coded[:-1])
    result = cli(command, "bad.hzc", "talk.hzc", "none.hzc", code=1)
    assert "hzc: bad.hzc: truncated" in result.stderr
    assert "hzc: none.hzc: cannot be read" in result.stderr
    assert result.stderr.endswith("hzc: 1 of 3 files done, 2 failed\n")
    assert Path("talk.wav").exists() == (command == "decode")
    if command != "decode":
        assert result.text.count("talk.hzc") == 1


def test_batch_when_fail_fast_then_stops_at_the_first_failure(cli: Cli, wav: Wav) -> None:
    wav("a.wav")
    wav("c.wav")
    result = cli("encode", "--fail-fast", "a.wav", "b.wav", "c.wav", code=1)
    assert result.stderr.endswith("hzc: 1 of 3 files done, 1 failed\n")
    assert Path("a.hzc").exists()
    assert not Path("c.hzc").exists()


def test_batch_when_stopped_and_run_again_with_skip_existing_then_the_rest_is_done(
    cli: Cli, wav: Wav
) -> None:
    wav("a.wav")
    cli("encode", "a.wav", "b.wav", code=1)
    made = os.stat("a.hzc").st_mtime_ns
    wav("b.wav")
    result = cli("encode", "--skip-existing", "a.wav", "b.wav")
    assert result.stderr.startswith("a.hzc: skipped, exists already\nb.hzc  ")
    assert os.stat("a.hzc").st_mtime_ns == made


# ------------------------------------------------------------------ quiet, JSON, debug


def test_quiet_when_all_is_well_then_silent(cli: Cli, wav: Wav) -> None:
    wav("a.wav", n_channels=2)
    for arguments in (["encode", "a.wav"], ["decode", "-f", "a.hzc"]):
        result = cli(*arguments, "-q")
        assert (result.stdout, result.stderr) == (b"", "")


def test_json_when_encoding_then_one_object_for_every_file(cli: Cli, wav: Wav) -> None:
    wav("a.wav", n_channels=2)
    (cli.folder / "b.wav").write_text("no sound")
    wav("c.wav")
    (cli.folder / "c.hzc").write_bytes(b"old")
    arguments = ["encode", "--json", "a.wav", "b.wav", "c.wav"]
    result = cli(*arguments, code=1)
    done, bad, existing = result.objects
    size = os.path.getsize("a.hzc")
    assert set(done) == {"schema", "source", "path", "warnings"} | RATE_KEYS
    assert (done["schema"], done["source"], done["path"]) == (1, "a.wav", "a.hzc")
    assert (done["n_bytes"], done["duration_s"]) == (size, 1.0)
    assert done["bitrate_kbps"] == pytest.approx(8 * size / 1000)
    assert bad.keys() == existing.keys() == {"schema", "path", "error", "exit_code"}
    assert (bad["path"], bad["exit_code"]) == ("b.wav", 3)
    assert "not readable as audio" in bad["error"]
    assert (existing["path"], existing["exit_code"]) == ("c.hzc", 6)
    assert "a.hzc" not in result.stderr
    Path("a.hzc").unlink()
    _, _, skipped = cli(*arguments, "--skip-existing", code=1).objects
    assert skipped == {"schema": 1, "path": "c.hzc", "is_skipped": True}


def test_json_when_decoding_then_the_documented_keys(cli: Cli, hzc: Path) -> None:
    (line,) = cli("decode", "--json", "talk.hzc", "--sample-rate", "8000").objects
    assert line == {
        "schema": 1,
        "source": "talk.hzc",
        "path": "talk.wav",
        "duration_s": 2.5,
        "sample_rate_hz": 8_000,
        "n_channels": 1,
        "n_clipped": 0,
        "warnings": [],
    }


def test_json_when_the_product_goes_to_stdout_too_then_usage(cli: Cli, hzc: Path) -> None:
    says = "--json and an output on stdout do not go together"
    cli.misuse(says, "decode", "--json", hzc, "-")
    cli.misuse(says, "encode", "--json", "-", stdin=b"x")


def test_bug_when_hzc_has_one_then_one_line_and_exit_1(
    cli: Cli, hzc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness import run_here

    from hzc.decoder import Decoder

    def broken(*args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Decoder, "samples", broken)
    words = ["decode", "--model", str(cli.model), "talk.hzc"]
    result = run_here(words, b"")
    assert result.code == 1
    assert result.stderr.startswith("hzc: internal error: RuntimeError: a bug\nhint: ")
    assert os.listdir() == ["talk.hzc"]
    monkeypatch.setenv("HZC_DEBUG", "1")
    with pytest.raises(RuntimeError, match="a bug"):
        run_here(words, b"")


# ------------------------------------------------------------------ who is input, who is output


@pytest.mark.parametrize(
    ("says", "arguments"),
    [
        ("Missing argument 'INPUT... [OUTPUT]'", ["encode"]),
        ("Missing argument 'FILE...'", ["bitrate"]),
        ("-o goes with one input", ["encode", "a.wav", "b.wav", "-o", "c.hzc"]),
        ("-o goes with one input", ["encode", "a.wav", "c.hzc", "-o", "d.hzc"]),
        ("use -o or -d, not both", ["encode", "a.wav", "-o", "c.hzc", "-d", "."]),
        ("standard input can be read once", ["encode", "-", "-", "-"]),
        ("standard input can be read once", ["encode", "-", "-", "-d", "."]),
        ("cannot be the output", ["encode", "-", "a.wav"]),
        ("-r goes with -d", ["encode", "-r", ".", "-o", "c.hzc"]),
        ("contradict each other", ["encode", "a.wav", "--channel", "1", "--channels", "keep"]),
        ("No such command", ["transcode", "a.wav"]),
        ("No such option", ["encode", "--frobnicate", "a.wav"]),
        ("No such option", ["encode", "-x.wav"]),
    ],
)  # fmt: skip
def test_names_when_they_make_no_sense_then_usage(
    cli: Cli, wav: Wav, says: str, arguments: list[str]
) -> None:
    wav("a.wav")
    wav("b.wav")
    cli.misuse(says, *arguments)


def test_names_when_standard_input_is_one_of_several_then_it_goes_to_stdout(
    cli: Cli, wav: Wav
) -> None:
    wav("b.wav")
    data = wav("a.wav").read_bytes()
    cli("encode", "a.wav")
    result = cli("encode", "b.wav", "-", "b.wav", "-d", ".", code=6)
    assert "would both be written" in result.stderr
    wav("c.wav")
    result = cli("encode", "b.wav", "-", "c.wav", stdin=data)
    assert result.stdout == Path("a.hzc").read_bytes()
    assert Path("b.hzc").exists()
    assert Path("c.hzc").exists()


NAMES = [
    "two words.wav",
    "line\nbreak.wav",
    "tab\there.wav",
    "grüße-語-🎤.wav",
    "-dash.wav",
    "--force.wav",
    "$(touch x) 'q\" *.wav",
    "back\\slash.wav",
    ".wav",
    "many.dots.in.it.wav",
]


@pytest.mark.skipif(os.name == "nt", reason="names that Windows lacks")
@pytest.mark.parametrize("name", NAMES)
def test_names_when_odd_then_taken_as_they_are(cli: Cli, wav: Wav, name: str) -> None:
    wav(name)
    stem = ".wav" if name == ".wav" else name.removesuffix(".wav")
    cli("encode", "--", name)
    assert sorted(os.listdir()) == sorted([name, f"{stem}.hzc"])
    os.mkdir("out")
    (line,) = cli("decode", "--json", "-d", "out", "--", f"{stem}.hzc").objects
    assert line["path"] == os.path.join("out", f"{stem}.wav")
    assert soundfile.info(line["path"]).frames == 16_000
    (line,) = cli("bitrate", "--json", "--", f"{stem}.hzc").objects
    assert line["path"] == f"{stem}.hzc"
    shown = cli("info", "--", f"{stem}.hzc").text.splitlines()[0]
    if shown != f"{stem}.hzc":
        told = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, check=True)
        assert told.stdout.decode() == f"{stem}.hzc"


def test_names_when_a_file_is_called_dash_then_reachable_by_path(cli: Cli, wav: Wav) -> None:
    wav("a.wav").rename("-")
    cli("encode", "./-", "-o", "dash.hzc")
    assert Path("dash.hzc").exists()
    cli.refuse(3, "standard input: the file is empty", "bitrate", "-")


# ------------------------------------------------------------------ help


@pytest.mark.parametrize("command", ["", "encode", "decode", "bitrate", "info", "models", "train"])
def test_help_when_asked_for_then_shown_and_exit_0(cli: Cli, command: str) -> None:
    words = [command] if command else []
    shown = cli(*words, "--help", model=False).text
    assert shown == cli(*words, "-h", model=False).text
    assert shown.startswith(f"Usage: {' '.join(['hzc', *words])} ")
