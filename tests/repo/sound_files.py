"""Sound files of every shape, for the tests of the specification."""

from __future__ import annotations

from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

from spec_page import ROOT

from hzc import container
from hzc.container import Chunk, Header

VECTORS = ROOT / "formats" / "vectors"


@cache
def make_dumps() -> ModuleType:
    """Return bin/make-dumps as a module."""
    loader = SourceFileLoader("make_dumps", str(ROOT / "bin" / "make-dumps"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def packed(header: Header, chunks: list[Chunk], n_samples: int | None = None) -> bytes:
    """Return a file; n_samples only where it is streamed."""
    if n_samples is None:
        return container.pack(header, chunks)
    head = container.pack_header(header)
    body = [container.pack_chunk(header, head, i, chunk) for i, chunk in enumerate(chunks)]
    n_frames = sum(chunk.n_frames for chunk in chunks)
    end = container.pack_end(header, head, len(chunks), n_frames, n_samples)
    return head + b"".join(body) + end


def chunk(n_frames: int, n_channels: int = 1, gain: int = 0, n_bytes: int = 3) -> Chunk:
    payloads = tuple(bytes([channel + 1] * n_bytes) for channel in range(n_channels))
    return Chunk(n_frames, payloads, gain)


def made_up() -> dict[str, bytes]:
    """Return files of shapes that an encoder seldom makes."""
    offsets = (-67, 61, 0)
    return {
        "every-field": packed(
            Header(
                255, 0xBEEF, 3, 161, 2_475_375, 123_001, 3, step_index=3, step_offsets=offsets
            ),
            [chunk(80, 3, 120), chunk(80, 3, -120, 200), chunk(1, 3)],
        ),
        "every-field-streamed": packed(
            Header(240, 1, 3, None, None, 123_001, 16, step_index=3, step_offsets=offsets),
            [chunk(5, 16, 1), chunk(80, 16, 0, 0), chunk(1, 16, -1, 20), chunk(80, 16, 7, 130)],
            n_samples=2_552_200,
        ),
        "many-chunks": packed(
            Header(1, 0, 1, 800, 1_599_999), [chunk(80, 1, i, 30 * i) for i in range(10)]
        ),
        "largest-payload": packed(
            Header(1, 0, 255, 80, 160_000), [chunk(80, 1, 0, 102_008)]
        ),
    }  # fmt: skip


def sound_files() -> dict[str, bytes]:
    """Return all of them by name."""
    found = {name: make() for name, make in make_dumps().FILES.items()} | made_up()
    for folder in ("valid", "unusual"):
        for path in sorted((VECTORS / folder).glob("*.hzc")):
            found[f"{folder}/{path.stem}"] = path.read_bytes()
    return found


SOUND = sound_files()
