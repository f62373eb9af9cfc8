"""`hzc check`: valid or not, and what is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from harness import Cli, Long

from hzc import container

# ------------------------------------------------------------------ valid files


def test_check_when_valid_then_one_line_and_exit_0(cli: Cli, hzc: Path, long: Long) -> None:
    (cli.folder / "long.hzc").write_bytes(long.data)
    result = cli("check", "talk.hzc", "long.hzc")
    assert result.text == "talk.hzc  valid  2.50 s  1 chunks\nlong.hzc  valid  45.50 s  5 chunks\n"
    assert result.stderr == ""
    assert cli("check", "-q", "talk.hzc").stdout == b""
    assert cli("check", "-", stdin=long.data).text == "-  valid  45.50 s  5 chunks\n"


# ------------------------------------------------------------------ damaged files


@pytest.mark.parametrize(
    ("indexes", "says"),
    [
        ((2,), "10.00 of 45.50 s lost, 20.00–30.00 s"),
        ((4,), "5.50 of 45.50 s lost, 40.00–45.50 s"),
        ((1, 2), "20.00 of 45.50 s lost, 10.00–30.00 s"),
        ((0, 3), "20.00 of 45.50 s lost, 0.00–10.00 s, 30.00–40.00 s"),
    ],
)
def test_check_when_chunks_are_damaged_then_tells_the_time_that_is_lost(
    cli: Cli, long: Long, indexes: tuple[int, ...], says: str
) -> None:
    (cli.folder / "bad.hzc").write_bytes(long.without(*indexes))
    result = cli.refuse(4, "bad.hzc: ", "check", "bad.hzc")
    assert f"; {says}\n" in result.stderr
    assert "hint: hzc decode --salvage brings back the rest" in result.stderr
    assert result.stdout == b""


def test_check_when_cut_off_then_tells_what_is_missing(cli: Cli, long: Long) -> None:
    (cli.folder / "cut.hzc").write_bytes(long.data[:-9])
    result = cli.refuse(4, "cut.hzc: truncated", "check", "cut.hzc")
    assert "5.50 of 45.50 s lost, 40.00–45.50 s" in result.stderr
    (cli.folder / "half.hzc").write_bytes(long.data)
    cli("cat", "half.hzc", "half.hzc", "-o", "stream.hzc")
    whole = (cli.folder / "stream.hzc").read_bytes()
    (cli.folder / "stream.hzc").write_bytes(whole[:-3])
    result = cli.refuse(4, "stream.hzc: truncated", "check", "stream.hzc")
    assert "the end is missing, and how long it was is not known" in result.stderr


# ------------------------------------------------------------------ models


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_id": 239}, "239"),
        ({"model_id": 1, "fingerprint": 0xBEEF}, "other tables than model base has"),
        ({"model_id": 1, "n_latent": 33}, "other tables than model base has"),
    ],
)
def test_check_when_the_model_is_not_this_hzc_s_then_exit_5(
    cli: Cli, coded: bytes, changes: dict[str, int], says: str
) -> None:
    file = container.unpack(coded)
    data = container.pack(replace(file.header, **changes), file.chunks)
    (cli.folder / "odd.hzc").write_bytes(data)
    cli.refuse(5, says, "check", "odd.hzc")


def test_check_when_the_model_is_private_then_its_tables_are_not_looked_for(
    cli: Cli, coded: bytes
) -> None:
    file = container.unpack(coded)
    for model_id in (240, 255):
        header = replace(file.header, model_id=model_id, fingerprint=1)
        (cli.folder / "own.hzc").write_bytes(container.pack(header, file.chunks))
        cli("check", "own.hzc")
