"""`hzc corpus`: every kind of source and shard, going on after a kill, and what is said."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from harness import Cli, Start, Wav, assert_one_clear_line, finish, snapshot, wait_for

from hzc import runner

pa = pytest.importorskip("pyarrow", reason="pip install 'hzc[data]'")
import pyarrow.parquet as pq  # noqa: E402

posix = pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
POSIX_PIPE = pytest.param("pipe", marks=posix)
IDS = ("ann/a", "ann/b.2", "bob/c")


@pytest.fixture(autouse=True)
def in_this_process(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes take a second each to start."""
    monkeypatch.setenv("HZC_MODEL", str(cli.model))
    monkeypatch.setattr(runner, "Processes", lambda *_: None)


@pytest.fixture
def speech(wav: Wav, cli: Cli) -> dict[str, bytes]:
    """Three recordings below speech/; their .hzc files by id."""
    for seed, name in enumerate(IDS):
        wav(f"speech/{name}.wav", seed=seed, seconds=1.0 + seed // 2)
    cli("encode", "-q", "-r", "speech", "-d", "single")
    return {name: Path(f"single/{name}.hzc").read_bytes() for name in IDS}


def audio(name: str) -> bytes:
    return Path(f"speech/{name}.wav").read_bytes()


def write_tar(path: str, members: dict[str, bytes | str]) -> bytes:
    """Write a tar; return its bytes."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if path.endswith("gz") else "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data.encode() if isinstance(data, str) else data))
    Path(path).write_bytes(buffer.getvalue())
    return buffer.getvalue()


def clip_members(names: tuple[str, ...] = IDS) -> dict[str, bytes | str]:
    members: dict[str, bytes | str] = {}
    for name in names:
        key = name.replace(".", "-")
        members |= {
            f"{key}.wav": audio(name),
            f"{key}.json": '{"n": 1, "id": 7}',
            f"{key}.txt": "hm",
        }
    return members


def read_tar(path: str | Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]


def write_table(column: list[Any], kind: Any, **more: Any) -> Any:
    return pa.table({"sound": pa.array(column, kind), "id": list(IDS), "n": [1, 2, 3], **more})


def make(kind: str) -> str:
    """Make a source of the three clips; return its name."""
    lines = [f"{name}\tspeech/{name}.wav\t{n}" for n, name in enumerate(IDS)]
    rich = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    both = [{"bytes": audio(IDS[0]), "path": None}, {"bytes": None, "path": "speech/ann/b.2.wav"},
            {"bytes": audio(IDS[2]), "path": "gone.wav"}]  # fmt: skip
    if kind == "tar.gz":
        write_tar("clips.tar.gz", clip_members())
        return "clips.tar.gz"
    if kind == "pipe":
        write_tar("clips7.tar", clip_members())
        return "pipe:cat clips{7..7}.tar"
    if kind == "tsv":
        Path("list.tsv").write_text("\n".join(["id\tpath\tn", *lines]))
    elif kind == "jsonl":
        rows = [{"id": name, "audio": f"speech/{name}.wav", "n": [1]} for name in IDS]
        Path("list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    elif kind == "parquet":
        pq.write_table(write_table(both, rich), "list.parquet", row_group_size=2)
    elif kind == "arrow":
        table = write_table([audio(name) for name in IDS], pa.binary())
        with pa.ipc.new_stream("list.arrow", table.schema) as writer:
            writer.write_table(table)
    return {"folder": "speech", "glob": "spee*"}.get(kind, f"list.{kind}")


@pytest.mark.parametrize(
    "kind", ["folder", "glob", "tar.gz", POSIX_PIPE, "tsv", "jsonl", "parquet", "arrow"]
)
def test_corpus_of_any_source_gives_the_files_of_hzc_encode_and_all_fields(
    cli: Cli, speech: dict[str, bytes], kind: str
) -> None:
    result = cli("corpus", "encode", make(kind), "-o", "out", "--shard-clips", "2", "--json")
    summary = result.objects[0]
    assert (summary["n_input"], summary["n_output"], summary["n_failed"]) == (3, 3, 0)
    members = {
        k: v for part in sorted(Path("out").glob("part-*.tar")) for k, v in read_tar(part).items()
    }
    found = {}
    for name, data in members.items():
        if name.endswith(".json"):
            fields = json.loads(data)
            found[fields["id"].replace("b-2", "b.2")] = members[name[:-4] + "hzc"]
            assert fields["seconds"] in (1.0, 2.0)
            expected = {"folder": "path", "glob": "path"}.get(kind, "n")
            assert expected in fields
            assert kind not in ("tar.gz", "pipe") or (fields["source_id"], fields["txt"]) == (
                7,
                "hm",
            )
    assert found == speech


def test_corpus_goes_to_parquet_back_to_audio_and_into_figures(
    cli: Cli, speech: dict[str, bytes]
) -> None:
    import hzc.data

    cli(
        "corpus",
        "encode",
        make("parquet"),
        "-o",
        "out",
        "--to",
        "parquet",
        "--symbols",
        "--latents",
    )
    table = hzc.data.table("out")
    assert table.schema.field("n").type == pa.int64()
    assert table["hzc"].to_pylist() == list(speech.values())
    for row, sample in zip(table.to_pylist(), hzc.data.read("out", model=cli.model), strict=True):
        assert row["symbols"] == sample.values.tolist()
        assert len(row["latents"]) == row["n_frames"] == len(row["symbols"])
    figures = cli("corpus", "stats", "out", "--json", "--plot", "out.svg").objects[0]
    assert (figures["n_clips"], figures["n_bytes"]) == (3, sum(map(len, speech.values())))
    assert "<svg" in Path("out.svg").read_text()
    cli("corpus", "decode", "out", "-o", "back", "--format", "wav")
    cli("decode", "single/bob/c.hzc", "c.wav")
    assert read_tar("back/part-000000.tar")["bob/c.wav"] == Path("c.wav").read_bytes()
    assert json.loads(read_tar("back/part-000000.tar")["bob/c.json"])["n"] == 3


def broken(kind: str) -> tuple[str, ...]:
    """Make a source of two valid clips and a fault; return arguments."""
    members = clip_members(IDS[:2])
    if kind == "not audio":
        Path("speech/bob/c.wav").write_text("no sound")
        return ("speech",)
    if kind == "cut tar":
        data = write_tar("x.tar", clip_members())
        Path("x.tar").write_bytes(data[: data.index(b"bob/c.txt")])
    elif kind == "tar cut in a member":
        data = write_tar("x.tar", clip_members())
        Path("x.tar").write_bytes(data[: data.index(b"bob/c.json") - 9_000])
    elif kind == "damaged header":
        data = write_tar("x.tar", clip_members())
        at = data.index(b"bob/c.wav") + 10
        Path("x.tar").write_bytes(data[:at] + b"??" + data[at + 2 :])
    elif kind == "same key":
        write_tar("x.tar", {**members, "./ann/a.mp3": audio("bob/c")})
    elif kind == "no audio in a clip":
        write_tar("x.tar", {**members, "z.txt": "alone"})
    elif kind == "json":
        write_tar("x.tar", {**members, "z.wav": audio("bob/c"), "z.json": "[]"})
    elif kind == "line":
        Path("x.jsonl").write_text(
            '{"path": "speech/ann/a.wav"}\n{"path": "speech/bob/c.wav"}\n{"path": 3}\n'
        )
        return ("x.jsonl",)
    return ("x.tar",)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("not audio", "AudioReadError"), ("cut tar", "AudioReadError"),
        ("tar cut in a member", "AudioReadError"), ("damaged header", "AudioReadError"),
        ("same key", "DuplicateError"), ("no audio in a clip", "AudioReadError"),
        ("json", "AudioReadError"), ("line", "AudioReadError"),
    ],
)  # fmt: skip
def test_corpus_lists_what_is_broken_and_goes_on(
    cli: Cli, speech: dict[str, bytes], kind: str, error: str
) -> None:
    result = cli("corpus", "encode", *broken(kind), "-o", "out", "--json", code=1)
    summary = result.objects[0]
    assert summary["n_output"] == (3 if kind == "cut tar" else 2)
    assert summary["failed_by_error"] == {error: 1}
    (line,) = Path("out/failed.jsonl").read_text().splitlines()
    assert json.loads(line)["message"] in result.stderr
    assert result.stderr.count("hzc: ") == 2  # the clip, and where the list is


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["missing.tar"], 3, "missing.tar: cannot be read"),
        (["text.md"], 3, "text.md: is no source of clips"),
        (["empty"], 3, "there is no audio"),
        (["wrong.parquet", "--audio", "n"], 3, "column 'n' has the wrong type (found int64"),
        (["wrong.parquet", "--audio", "m"], 3, "no column 'm' (found sound id n)"),
        (["text.parquet"], 3, "text.parquet: cannot be read as a table"),
        (["list.csv"], 3, "no column of paths (found x y"),
        (["speech", "speech/ann/a.wav", "speech/bob/a.flac"], 3, "has the id 'a', like"),
    ],
)
def test_corpus_refuses_before_any_work(
    cli: Cli, speech: dict[str, bytes], arguments: list[str], code: int, says: str
) -> None:
    Path("empty").mkdir()
    for name in ("text.md", "text.parquet"):
        Path(name).write_text("text")
    Path("list.csv").write_text("x,y\n1,2\n")
    Path("speech/bob/a.flac").write_bytes(b"")
    pq.write_table(write_table([1, 2, 3], pa.int64()), "wrong.parquet")
    cli.refuse(code, says, "corpus", "encode", *arguments, "-o", "out")


def test_corpus_of_an_empty_tar_is_an_empty_shard(cli: Cli) -> None:
    write_tar("x.tar", {})
    cli("corpus", "encode", "x.tar", "-o", "out")
    assert read_tar("out/part-000000.tar") == {}


@posix
def test_corpus_command_that_fails_leaves_no_shard_and_is_tried_again(
    cli: Cli, speech: dict[str, bytes]
) -> None:
    source = "pipe:cat clips.tar && cat second"
    write_tar("clips.tar", clip_members())
    stderr = cli("corpus", "encode", source, "-o", "out", code=1).stderr
    assert "the command failed (exit status 1)" in stderr
    assert not list(Path("out").glob("part-*"))
    Path("second").touch()
    cli("corpus", "encode", source, "-o", "out")
    assert len(read_tar("out/part-000000.tar")) == 6


def test_corpus_with_other_sources_or_options_than_the_folder_has_is_refused(
    cli: Cli, speech: dict[str, bytes]
) -> None:
    cli("corpus", "encode", "speech", "-o", "out")
    cli("corpus", "encode", "speech", "-o", "out")
    cli.refuse(6, "holds another corpus (found step_index None, expected 8)", "corpus", "encode",
               "speech", "-o", "out", "--step-index", "8")  # fmt: skip
    shutil.rmtree("speech/ann")
    cli.refuse(6, "holds another corpus (found slices", "corpus", "encode", "speech", "-o", "out")
    cli.refuse(6, "has other contents (ann)", "corpus", "encode", "speech", "-o", "single")


@posix
@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_corpus_when_killed_or_out_of_space_then_it_goes_on_where_it_was(
    cli: Cli, wav: Wav, start: Start, kind: str
) -> None:
    source = wav("speech/00.wav", seconds=10.0).read_bytes()
    for n in range(1, 16):
        Path(f"speech/{n:02d}.wav").write_bytes(source)
    words = ("corpus", "encode", "speech", "-o", "out", "--to", kind, "--shard-clips", "2")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"

    process = start(*words, preexec_fn=lambda: exec(limit))
    assert_one_clear_line(finish(process), "cannot be written (file too large)")
    assert process.returncode == 6
    assert not list(Path("out").glob("part-*"))

    process = start(*words, "--workers", "2")
    wait_for(lambda: len(list(Path("out").glob("part-*"))) >= 1, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in Path("out").glob("part-*")}
    assert len(done) < 8

    cli(*words)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert not list(Path("out").rglob("*.partial"))
    cli("corpus", "encode", "speech", "-o", "whole", *words[5:])
    parts = {k: v for k, v in snapshot(Path("out")).items() if k.startswith("part-")}
    assert parts == {k: v for k, v in snapshot(Path("whole")).items() if k.startswith("part-")}
    assert cli("corpus", "stats", "out", "--json").objects[0]["n_duplicates"] == 0
