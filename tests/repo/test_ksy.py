"""formats/hzc.ksy: the parser made from it reads every vector as hzc.container does.

Needs node and the packages that tests/kaitai/compile.js names.
"""

import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from kaitaistruct import KaitaiStructError

from hzc import container
from hzc.container import Chunk, Header

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "formats" / "vectors"
MANIFEST = json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))["vectors"]
LEFT_TO_READERS = {"H6", "H7", "H10", "M1", "M2", "R5", "R6", "E3", "E4", "E6", "P1"}
"""Checks of section 11 that the description does not make: checksums and contradictions."""


@pytest.fixture(scope="module")
def ksy() -> ModuleType:
    command = ["node", str(ROOT / "tests" / "kaitai" / "compile.js")]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("kaitai-struct-compiler is not installed")
    module = ModuleType("hzc_ksy")
    exec(made, vars(module))
    return module


@pytest.mark.parametrize("name", [e["file"] for e in MANIFEST if "error" not in e])
def test_parser_reads_every_field(ksy, name):
    data = (VECTORS / name).read_bytes()
    file, parsed = container.unpack(data), ksy.Hzc.from_bytes(data)
    head = parsed.header
    length = parsed.parts[-1].end if file.is_streamed else head
    offsets = tuple(head.step_offsets) if head.has_step_offsets else None
    assert file.header == Header(
        head.model_id, head.fingerprint, head.n_latent, length.n_frames.value, length.n_samples,
        head.sample_rate_hz, head.n_channels, head.step_index, offsets,
    )  # fmt: skip
    if file.is_streamed:
        parts = parsed.parts[:-1]
        found = [(p.n_frames, [p.first, *(o.record for o in p.others)]) for p in parts]
    else:
        found = [(chunk.n_frames, chunk.records) for chunk in parsed.chunks]
    assert file.chunks == tuple(
        Chunk(n_frames, tuple(record.payload for record in records), records[0].gain)
        for n_frames, records in found
    )


@pytest.mark.parametrize("name", [
    e["file"] for e in MANIFEST if "error" in e and e["check"] not in LEFT_TO_READERS
])  # fmt: skip
def test_parser_refuses_what_is_out_of_range(ksy, name):
    with pytest.raises((KaitaiStructError, EOFError)):
        ksy.Hzc.from_bytes((VECTORS / name).read_bytes())
