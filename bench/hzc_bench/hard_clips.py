"""Make the clips of children and of shouting that hzc is measured on, out of Debian packages.

Writes OUT/children, OUT/shouting and OUT/calm (two of the shouting actors, for comparison): 16 kHz
mono FLAC. Most recordings are short; those of a speaker are joined with 0.3 s of digital silence,
and scaled only where a clip's peak passes 0.99. hard-clips.tsv lists which recordings make which
clip, and how we know who speaks. All are under the GPL, so the clips are not kept here.

Gets the packages of Debian 12 (500 MB) with `apt-get download`, or takes the .deb files in DIR.
Needs dpkg and, for the time it runs, 1.5 GB in the folder of OUT. Installs nothing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import subprocess
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import soundfile

from hzc_bench import samples
from hzc_bench.samples import SAMPLE_RATE_HZ, FloatArray

LIB = Path(__file__).resolve().parent
SILENCE_S = 0.3
MAX_PEAK = 0.99


def rows(name: str) -> Iterator[dict[str, str]]:
    """Yield the lines of a table next to this file."""
    with (LIB / name).open(newline="", encoding="utf-8") as file:
        lines = (line for line in file if not line.startswith("#"))
        yield from csv.DictReader(lines, delimiter="\t")


def run(*command: str | Path, folder: Path) -> None:
    """Run a command in a folder; what it says of its progress goes to standard error."""
    done = subprocess.run(command, cwd=folder, stdout=2, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        # apt-get's first error says more than its last, and warnings come before it.
        reason = next((line for line in said if line.startswith("E: ")), said[-1])
        raise click.ClickException(f"{command[0]} failed: {reason.removeprefix('E: ')}")


def deb_file(folder: Path, wanted: dict[str, str]) -> Path:
    """Return the .deb file of a package, however the colon of its version is written."""
    package = wanted["package"]
    found = sorted(folder.glob(f"{package}_*.deb"))
    for path in found:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == wanted["sha256"]:
                return path
    if found:
        what = f"{package} {wanted['version']}"
        raise click.ClickException(f"{found[0]}: SHA-256 is not that of {what}")
    raise click.ClickException(f"no {package}_*.deb in {folder}")


def contents(package: Path, path: str) -> bytes:
    """Return a file of an unpacked package."""
    archive, is_inside, member = path.partition(".pk3/")
    try:
        if not is_inside:
            return (package / path).read_bytes()
        with zipfile.ZipFile(package / f"{archive}.pk3") as file:
            return file.read(member)
    except (FileNotFoundError, KeyError) as error:
        raise click.ClickException(f"package {package.name} has no file {path}") from error


def joined(recordings: list[FloatArray]) -> FloatArray:
    """Return the recordings with silence between them, float32 [sample], peak at most 0.99."""
    silence = np.zeros(round(SILENCE_S * SAMPLE_RATE_HZ), np.float32)
    clip = np.concatenate([part for x in recordings for part in (silence, x)][1:])
    return clip * np.float32(MAX_PEAK / max(np.abs(clip).max(), MAX_PEAK))


def write_clips(unpacked: Path, out: Path) -> None:
    """Write all clips, and say how many and how long they are."""
    clips: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    for row in rows("hard-clips.tsv"):
        recording = contents(unpacked / row["package"], row["path"])
        clips[row["folder"], row["clip"]].append(recording)
    seconds: dict[str, list[float]] = defaultdict(list)
    for (folder, name), files in clips.items():
        clip = joined([samples.at_16_khz(io.BytesIO(file)) for file in files])
        path = out / folder / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, clip, SAMPLE_RATE_HZ)
        seconds[folder].append(len(clip) / SAMPLE_RATE_HZ)
    for folder, durations in seconds.items():
        click.echo(f"{folder}: {len(durations)} clips, {sum(durations):.1f} s")


def make(out: Path, packages: Path | None, work: Path) -> None:
    """Do everything in the folder `work`, and move the clips to `out` at the end."""
    debs, unpacked, done = work / "debs", work / "unpacked", work / "clips"
    for folder in (debs, unpacked, done):
        folder.mkdir()
    wanted = list(rows("hard-packages.tsv"))
    if packages is None:
        names = [f"{row['package']}={row['version']}" for row in wanted]
        run("apt-get", "download", *names, folder=debs)
    found = {row["package"]: deb_file(packages or debs, row) for row in wanted}
    for package, deb in found.items():
        run("dpkg", "-x", deb, unpacked / package, folder=work)
    write_clips(unpacked, done)
    done.rename(out)


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("out", type=click.Path(path_type=Path, resolve_path=True))
@click.option(
    "--packages", metavar="DIR", help="Where the .deb files are; default: download them.",
    type=click.Path(exists=True, file_okay=False, path_type=Path, resolve_path=True),
)  # fmt: skip
def main(out: Path, packages: Path | None) -> None:
    """Write the clips to a folder that does not exist, or is empty."""
    for tool in ("dpkg",) if packages else ("dpkg", "apt-get"):
        if not shutil.which(tool):
            raise click.ClickException(f"{tool} not found: this needs Debian or a relative of it")
    try:
        if out.exists() and any(out.iterdir()):
            raise click.ClickException(f"{out} exists and is not empty")
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as work:
            make(out, packages, Path(work))
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    except (soundfile.LibsndfileError, zipfile.BadZipFile) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
