"""`hzc cat` and `hzc cut`: bytes kept, refusals, what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Cli

from hzc import container
from hzc.codec import Codec

Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path, tiny_codec: Codec, sound: Callable[..., object]) -> Made:
    """Factory of .hzc files: `made("a.hzc", 12.0)`, or with the options of `Codec.encode`."""

    def make(name: str, seconds: float, rate: int = 16_000, **options: object) -> Path:
        samples = sound(round(seconds * rate), rate, seed=len(name))
        path = tmp_path / name
        path.write_bytes(tiny_codec.encode(samples, rate, **options))
        return path

    return make


def chunks(path: str | Path) -> tuple[container.Chunk, ...]:
    return container.unpack(Path(path).read_bytes()).chunks


# ------------------------------------------------------------------ cat


def test_cat_when_files_fit_then_one_file_and_one_line(cli: Cli, made: Made) -> None:
    made("a.hzc", 3.0)
    made("b.hzc", 12.5)
    result = cli("cat", "a.hzc", "b.hzc", "a.hzc", "-o", "all.hzc")
    assert chunks("all.hzc") == chunks("a.hzc") + chunks("b.hzc") + chunks("a.hzc")
    size = (cli.folder / "all.hzc").stat().st_size
    assert result.stderr.startswith("all.hzc  ")
    assert f"  {size:,} B  18.50 s  " in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == b""
    assert cli("cat", "-q", "a.hzc", "-o", "same.hzc").stderr == ""
    assert Path("same.hzc").read_bytes() == Path("a.hzc").read_bytes()


def test_cat_when_the_output_is_stdout_then_only_bytes(cli: Cli, made: Made) -> None:
    made("a.hzc", 3.0)
    cli("cat", "a.hzc", "a.hzc", "-o", "twice.hzc")
    result = cli("cat", "a.hzc", "-", "-o", "-", stdin=Path("a.hzc").read_bytes())
    assert result.stdout == Path("twice.hzc").read_bytes()
    cli.misuse("do not go together", "cat", "--json", "a.hzc", "-o", "-")


def test_cat_when_files_differ_then_exit_3(cli: Cli, made: Made) -> None:
    made("a.hzc", 1.0)
    made("b.hzc", 1.0, step_index=3)
    says = "file 2 has step index 3, file 1 has 0"
    result = cli.refuse(3, says, "cat", "a.hzc", "b.hzc", "-o", "c.hzc")
    assert "hint: decode both, join the audio, and encode it again" in result.stderr


def test_cat_when_an_input_is_bad_then_its_error_and_name(cli: Cli, made: Made) -> None:
    data = made("a.hzc", 12.0).read_bytes()
    (cli.folder / "bad.hzc").write_bytes(data[:-1])
    (cli.folder / "text.hzc").write_text("hello")
    (cli.folder / "folder.hzc").mkdir()
    for code, says in (
        (4, "bad.hzc: truncated"),
        (4, "text.hzc: not a .hzc file"),
        (3, "none.hzc: cannot be read"),
        (3, "folder.hzc: cannot be read"),
    ):
        cli.refuse(code, says, "cat", "a.hzc", says.partition(":")[0], "-o", "all.hzc")
        cli.refuse(code, says, "cat", says.partition(":")[0], "a.hzc", "-o", "-")


@pytest.mark.parametrize("spelling", ["b.hzc", "./b.hzc", "link.hzc"])
def test_cat_when_the_target_is_an_input_then_refused_even_if_forced(
    cli: Cli, made: Made, spelling: str
) -> None:
    made("a.hzc", 1.0)
    made("b.hzc", 1.0)
    (cli.folder / "link.hzc").symlink_to("b.hzc")
    says = "input and output are the same file"
    cli.refuse(6, says, "cat", "-f", "a.hzc", "b.hzc", "-o", spelling)


# ------------------------------------------------------------------ cut


def test_cut_when_parts_are_joined_again_then_the_same_bytes(cli: Cli, made: Made) -> None:
    data = made("a.hzc", 34.56).read_bytes()
    cli("cut", "a.hzc", "one.hzc", "--end", "10")
    cli("cut", "a.hzc", "two.hzc", "--start", "10", "--end", "30")
    cli("cut", "a.hzc", "-o", "three.hzc", "--start", "30")
    assert [len(chunks(f"{name}.hzc")) for name in ("one", "two", "three")] == [1, 2, 1]
    cli("cat", "one.hzc", "two.hzc", "three.hzc", "-o", "again.hzc")
    assert Path("again.hzc").read_bytes() == data


def test_cut_when_done_then_the_line_tells_the_times(cli: Cli, made: Made) -> None:
    made("a.hzc", 34.56)
    result = cli("cut", "a.hzc", "b.hzc", "--start", "12.5", "--end", "21")
    assert result.stderr.startswith("b.hzc  10.00 s to 30.00 s  ")
    assert "  20.00 s  " in result.stderr
    (line,) = cli("cut", "-f", "--json", "a.hzc", "b.hzc", "--start", "33").objects
    assert (line["source"], line["path"]) == ("a.hzc", "b.hzc")
    assert (line["start_s"], line["end_s"], line["duration_s"]) == (30.0, 34.56, 4.56)


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("--end must lie after --start", ["a.hzc", "b.hzc", "--start", "5", "--end", "5"]),
        ("--end must lie after --start", ["a.hzc", "b.hzc", "--start", "5", "--end", "4"]),
        ("is not in the range", ["a.hzc", "b.hzc", "--start", "-1"]),
        ("is not in the range", ["a.hzc", "b.hzc", "--end", "0"]),
        ("nan", ["a.hzc", "b.hzc", "--start", "nan"]),
        ("name one input and one output", ["a.hzc"]),
        ("-o goes with one input", ["a.hzc", "a.hzc", "-o", "b.hzc"]),
    ],
)
def test_cut_when_told_nonsense_then_usage(
    cli: Cli, made: Made, says: str, words: list[str]
) -> None:
    made("a.hzc", 1.0)
    cli.misuse(says, "cut", *words)


def test_cut_when_target_or_source_is_wrong_then_as_everywhere(cli: Cli, made: Made) -> None:
    data = made("a.hzc", 12.0).read_bytes()
    (cli.folder / "b.hzc").write_bytes(b"old")
    cli.refuse(6, "b.hzc: exists already", "cut", "a.hzc", "b.hzc")
    cli.refuse(6, "input and output are the same file", "cut", "-f", "a.hzc", "a.hzc")
    cli.refuse(3, "none.hzc: cannot be read", "cut", "none.hzc", "c.hzc")
    cli.refuse(3, "a.hzc: nothing is left at 12 s", "cut", "a.hzc", "c.hzc", "--start", "12")
    (cli.folder / "bad.hzc").write_bytes(data[:-1])
    cli.refuse(4, "bad.hzc: truncated", "cut", "bad.hzc", "c.hzc")
    cli("cut", "-f", "a.hzc", "b.hzc", "--start", "10")
    assert len(chunks("b.hzc")) == 1
