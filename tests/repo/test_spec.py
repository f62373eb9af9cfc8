"""The specification's tables and dumps say what the code does.

What the page gives as a formula or pseudo-code is run in test_spec_runs.py.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import struct
from binascii import crc_hqx
from functools import cache
from typing import Any

import numpy as np
import pytest
from raw_files import FAULTS, raw_file, vlq, with_faults
from sound_files import SOUND, VECTORS, chunk, make_dumps, packed
from spec_page import ROOT, SECTIONS, TEXT, cells, limits, number, plain, table

from hzc import container, errors
from hzc.coding import entropy, prior, quantize
from hzc.container import Chunk, Header, chunks, fields, header
from hzc.errors import FormatError
from hzc.model import registry
from hzc.model.file import open_registered

BLOCKS = {
    "1": "table", "2": "table", "3": "table table", "4": "fence", "4.1": "table", "4.2": "table",
    "4.3": "table", "4.4": "table", "4.5": "formula formula", "5": "table", "5.1": "table",
    "5.2": "table", "5.3": "table", "6.1": "table table table table", "6.3": "table",
    "6.4": "table", "6.5": "table table formula formula", "6.6": "table", "7.1": "table",
    "7.3": "formula", "7.4": "formula", "8": "table", "11": "table table", "12": "table",
    "15": "table", "16": "table table", "17.1": "fence", "17.2": "fence", "18": "table table",
    "20": "table",
}  # fmt: skip
"""Every table, fenced block and formula of the page; each but those of `PROSE` has a test."""
PROSE = {"1", "15"}


def test_page_has_no_block_without_a_test():
    found = {
        name: " ".join(
            ["table"] * len(s.tables) + ["fence"] * len(s.fenced) + ["formula"] * len(s.indented)
        )
        for name, s in SECTIONS.items()
        if s.tables or s.fenced or s.indented
    }
    assert found == BLOCKS
    parts = [p.read_text("utf-8") for p in (ROOT / "tests" / "repo").glob("test_spec*.py")]
    named = set(re.findall(r"[(\[]\"([\d.]+)\"[,)\]]", "".join(parts)))
    assert set(BLOCKS) - PROSE <= named


def test_made_blocks_are_up_to_date():
    assert make_dumps().filled(TEXT) == TEXT, "run bin/make-dumps"


def test_references_to_sections_lead_somewhere():
    for reference in re.findall(r"sections? (\d+(?:\.\d+)?)(?![\w.]*\d)", TEXT):
        assert reference in SECTIONS, reference
    for path in sorted((ROOT / "hzc").rglob("*.py")):
        told = re.findall(r"hzc-1\.md,\s+section\s+([\d.]*\d)", path.read_text("utf-8"))
        assert set(told) <= set(SECTIONS), path


# --- sections 2 and 3 -----------------------------------------------------------------------


def test_words_tell_the_ranges_of_the_code():
    said = table("2").pairs("word", "meaning")
    assert limits(said["symbol"].split("; ")[1]) == (entropy.MIN_VALUE, entropy.MAX_VALUE)
    assert said["chunk"].startswith(f"1 … {header.CHUNK_FRAMES} consecutive frames")
    assert said["frame"].endswith(f"1/{header.FRAME_RATE_HZ} s")


def test_varints_are_those_of_the_code():
    for value, said in table("3", 1).rows:
        assert fields.varint(int(value)) == bytes.fromhex(said.strip("`"))


def test_bits_are_counted_from_the_lowest():
    assert table("3").pairs("subject", "rule")["bit 0"] == "the lowest bit of a field"


def test_checksum_is_that_of_the_code():
    rule = table("3").pairs("subject", "rule")["CRC-16"]
    assert "polynomial 0x1021, not reflected, no final XOR; stored as u16" in rule
    text = SECTIONS["3"].text
    assert "`123456789`, is\n0x29B1" in text
    assert "starts from 0xFFFF" in text
    assert crc_hqx(b"123456789", 0xFFFF) == 0x29B1
    register = 0xFFFF
    for byte in b"123456789":
        register ^= byte << 8
        for _ in range(8):
            register = register << 1 ^ (0x11021 if register >> 15 else 0)
    assert register == 0x29B1


# --- section 4 ------------------------------------------------------------------------------


def test_first_ten_bytes():
    rows = table("4.1")
    at = 0
    for offset, n_bytes in zip(rows.column("offset"), rows.column("bytes"), strict=True):
        assert int(offset) == at
        at += int(n_bytes)
    assert at == header.FIXED_BYTES
    ranges = rows.pairs("name", "range")
    assert bytes.fromhex(ranges["magic"].strip("`")) == header.MAGIC
    flags = header.FLAG_STREAMED | header.FLAG_EXPLICIT_STEPS
    assert ranges["version and flags"] == f"`{header.VERSION << 4:02X}` … `{0x10 | flags:02X}`"
    last_code = len(header.SAMPLE_RATES_HZ) - 1
    assert ranges["rate and channels"] == f"`00` … `{last_code << 4 | 15:02X}`"


@pytest.mark.parametrize(
    ("name", "field", "n_bits"),
    [("model id", "model_id", 8), ("step index", "step_index", 8), ("D", "n_latent", 8)],
)
def test_header_ranges_are_those_that_are_refused_outside(name, field, n_bits):
    low, high = limits(table("4.1").pairs("name", "range")[name])
    for value in {low, high, (low + high) // 2}:
        made = Header(**{**vars(Header(1, 0, 1, 1, 2_000)), field: value})
        assert container.read_header(container.pack_header(made))[0] == made
    for value in (low - 1, high + 1):
        if -(2**n_bits) // 2 <= value < 2**n_bits:
            with pytest.raises(FormatError):
                container.unpack(raw_file(**{field: value}))
        with pytest.raises(ValueError, match="outside"):
            container.pack_header(Header(**{**vars(Header(1, 0, 1, 1, 2_000)), field: value}))


def test_fingerprint_has_its_place_and_range():
    assert limits(table("4.1").pairs("name", "range")["fingerprint"]) == (0, 2**16 - 1)
    for value in (0, 0x1234, 2**16 - 1):
        data = container.pack_header(Header(1, value, 1, 1, 2_000))
        assert data[5:7] == value.to_bytes(2, "big")


def test_flags():
    names = {"streamed": header.FLAG_STREAMED, "explicit steps": header.FLAG_EXPLICIT_STEPS}
    reserved = 0
    for bit, name, meaning in table("4.2").rows:
        if name == "reserved":
            assert meaning == "MUST be 0"
            reserved |= 1 << int(bit)
        else:
            assert names.pop(name) == 1 << int(bit)
    assert (names, reserved) == ({}, header.RESERVED_FLAGS)


def test_rest_of_the_header():
    rows = table("4.3")
    present = rows.pairs("field", "present")
    assert present == {
        "sample rate": "rate code 0", "step offsets": "explicit steps", "n_frames": "not streamed",
        "trim": "not streamed", "crc": "always",
    }  # fmt: skip
    ranges, sizes = rows.pairs("field", "range"), rows.pairs("field", "bytes")
    rates = (header.MIN_SAMPLE_RATE_HZ, header.MAX_SAMPLE_RATE_HZ)
    assert limits(ranges["sample rate"]) == rates
    assert limits(ranges["n_frames"]) == (1, header.MAX_FRAMES)
    assert limits(sizes["n_frames"]) == (1, len(fields.varint(header.MAX_FRAMES)))
    longest_trim = -(-header.MAX_SAMPLE_RATE_HZ // header.FRAME_RATE_HZ) - 1
    assert limits(sizes["trim"]) == (1, len(fields.varint(longest_trim)))
    assert (sizes["sample rate"], sizes["step offsets"]) == ("4", "D")
    assert limits(ranges["step offsets"].removesuffix(" each")) == (-128, 127)
    most_index = f"step index + offset is in −{header.MAX_STEP_INDEX} … {header.MAX_STEP_INDEX} for"
    assert most_index in rows.pairs("field", "meaning")["step offsets"]
    assert int(sizes["crc"]) == header.CRC_BYTES
    least = container.pack_header(Header(1, 0, 1, None, None))
    most = container.pack_header(
        Header(
            1, 0, 255, header.MAX_FRAMES, (header.MAX_FRAMES - 1) * 95_999 + 1, 767_992,
            step_offsets=(0,) * 255,
        )
    )  # fmt: skip
    assert f"A header has {len(least)} to {len(most)} bytes." in SECTIONS["4.3"].text


def test_rate_codes():
    codes = table("4.4").pairs("code", "Hz")
    assert codes.pop("0") == "told in the header"
    assert codes.pop("15") == "reserved; MUST be refused"
    assert {int(code): int(rate) for code, rate in codes.items()} == {
        code: rate for code, rate in enumerate(header.SAMPLE_RATES_HZ) if code
    }


# --- section 5 ------------------------------------------------------------------------------


def test_number_and_length_of_chunks():
    rows = {row[0]: row[1:] for row in table("5").rows}
    assert rows["number of chunks"][0] == f"ceil(F / {header.CHUNK_FRAMES})"
    assert rows["frames of a chunk"][0].startswith(f"{header.CHUNK_FRAMES}; in the last")
    assert rows["frames of a chunk"][1].startswith(f"1 … {header.CHUNK_FRAMES}, any")
    for n_frames in (1, 79, 80, 81, 160, 161):
        lengths = [80] * ((n_frames - 1) // 80) + [(n_frames - 1) % 80 + 1]
        assert len(lengths) == -(-n_frames // 80)
        made = [chunk(n) for n in lengths]
        data = packed(Header(1, 0, 32, n_frames, 2_000 * n_frames), made)
        assert container.unpack(data).chunks == tuple(made)
    assert f"together are at most {header.MAX_FRAMES}." in SECTIONS["5"].text


def test_records():
    rows = table("5.1")
    ranges, sizes = rows.pairs("field", "range"), rows.pairs("field", "bytes")
    assert rows.pairs("field", "present")["n_frames"] == "streamed"
    assert limits(ranges["n_frames"]) == (1, header.CHUNK_FRAMES)
    assert limits(ranges["gain"]) == (-header.MAX_GAIN_HALF_DB, header.MAX_GAIN_HALF_DB)
    for n, n_latent in ((1, 1), (80, 32), (80, 255)):
        like = Header(1, 0, n_latent, None, None)
        most = chunks.max_payload_bytes(like, n)
        assert limits(ranges["length"], names={"n": n, "D": n_latent}) == (0, most)
    assert limits(sizes["length"]) == (1, len(fields.varint(most)))
    assert (sizes["n_frames"], sizes["gain"], int(sizes["crc"])) == ("1", "1", header.CRC_BYTES)
    assert f"A record's payload is at most {most} bytes." in SECTIONS["19"].text
    overview = SECTIONS["4"].fenced[0].partition("record[channels] {")[2].partition("}")[0]
    names = re.findall(r"^ *(?:u8|s8|vlq|u16) +(\w+)", overview, re.M)
    assert rows.column("field") == names


def test_end_record():
    rows = table("5.2")
    sizes = rows.pairs("field", "bytes")
    assert (sizes["mark"], int(sizes["crc"])) == ("1", header.CRC_BYTES)
    assert rows.pairs("field", "range")["mark"] == str(chunks.END_MARK)
    for name in ("n_frames", "trim"):
        for column in ("bytes", "range"):
            assert rows.pairs("field", column)[name] == table("4.3").pairs("field", column)[name]
    overview = SECTIONS["4"].fenced[0].partition("end {")[2].partition("}")[0]
    assert rows.column("field") == re.findall(r"^ *(?:u8|vlq|u16) +(\w+)", overview, re.M)


@pytest.mark.parametrize("name", sorted(SOUND))
def test_checksums_of_records_start_from_their_places(name):
    rows = table("5.3")
    assert rows.column("part") == ["header's CRC-16", "chunk", "channel", "record"]
    *n_bytes, everything = rows.column("bytes")
    assert everything == "all"
    for n, meaning in zip(n_bytes[1:], rows.column("meaning")[1:], strict=False):
        assert meaning.startswith(f"u{8 * int(n)}; ")
        assert "counted from 0" in meaning
    data = SOUND[name]
    file = container.unpack(data)
    head = data[: file.header_bytes]
    at = len(head)
    for index, piece in enumerate(file.chunks):
        for channel, payload in enumerate(piece.payloads):
            end = at + file.is_streamed + 1 + len(fields.varint(len(payload))) + len(payload)
            values = (int.from_bytes(head[-2:], "big"), index, channel)
            place = b"".join(
                v.to_bytes(int(n), "big") for v, n in zip(values, n_bytes, strict=True)
            )
            assert crc_hqx(place + data[at:end], 0xFFFF).to_bytes(2, "big") == data[end : end + 2]
            at = end + 2
    if file.is_streamed:
        place = head[-2:] + len(file.chunks).to_bytes(int(n_bytes[1]), "big") + b"\0"
        assert crc_hqx(place + data[at:-2], 0xFFFF).to_bytes(2, "big") == data[-2:]


# --- section 6 ------------------------------------------------------------------------------

MODEL = registry.find_id(1)


@cache
def weight_file() -> tuple[dict[str, Any], bytes]:
    """Return description and arrays of model 1, read as section 6.1 says."""
    data = MODEL.path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == MODEL.sha256
    offsets, sizes = table("6.1").column("offset"), table("6.1").column("bytes")
    assert (offsets, sizes) == (["0", "8", "8 + L"], ["8", "L", "the rest"])
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def array(name: str) -> np.ndarray:
    described, data = weight_file()
    entry = described[name]
    start, end = entry["data_offsets"]
    dtypes = {"I16": "<i2", "I32": "<i4", "U16": "<u2", "F32": "<f4"}
    return np.frombuffer(data[start:end], dtypes[entry["dtype"]]).reshape(entry["shape"])


def test_weight_file_is_as_described():
    described, _ = weight_file()
    told = json.loads(described["__metadata__"]["hzc"])
    kinds = {"integer": int, "string": str, "object": dict, "list of four integers": list}
    for key, value, _meaning in table("6.1", 1).rows:
        assert isinstance(told[key], kinds[value]), key
    assert told["config"]["n_latent"] == MODEL.n_latent
    assert told["config"]["sample_rate_hz"] == 16_000
    assert (told["model_id"], told["name"]) == (MODEL.model_id, MODEL.name)
    assert len(told["prior_shifts"]) == 4


def test_arrays_are_as_described():
    described, _ = weight_file()
    letters = table("6.1", 3).pairs("letter", "model 1")
    values = {letter: int(value) for letter, value in letters.items()}
    assert values["R"] == values["E"] // 2 - 1 == open_registered(MODEL).prior.max_residual
    for name, dtype, shape, of_model in table("6.1", 2).rows:
        entry = described[name]
        assert entry["dtype"] == dtype
        python = plain(shape).replace("/", "//")
        assert (
            list(eval(f"({python},)", {}, values)) == entry["shape"] == json.loads(f"[{of_model}]")
        )
    named = set(table("6.1", 2).column("array"))
    rest = [name for name in described if name not in named and name != "__metadata__"]
    assert all(name.startswith(("analysis.", "synthesis.", "mixture_")) for name in rest)
    tables = array("prior.tables").astype(np.int64)
    assert tables.min() >= 1
    assert (tables.sum(axis=2) == prior.TABLE_SUM).all()


def test_fingerprint_is_made_as_described():
    described, _ = weight_file()
    shifts = json.loads(described["__metadata__"]["hzc"])["prior_shifts"]
    data = b""
    for part, n_bytes in table("6.3").rows:
        if part == "s1, s2, s3, s4":
            data += b"".join(shift.to_bytes(int(n_bytes), "big") for shift in shifts)
        else:
            values = array(part)
            assert values.dtype.itemsize == int(n_bytes)
            data += values.astype(values.dtype.newbyteorder(">")).tobytes()
    assert crc_hqx(data, 0xFFFF) == MODEL.fingerprint


def test_context_is_that_of_the_code():
    """What the indexes of section 6.4 mean is run in test_spec_runs.py."""
    assert table("6.4").column("index in c")[0] == "0"
    assert f"clamp(symbol, −{prior.CONTEXT_CLIP}, {prior.CONTEXT_CLIP})" in SECTIONS["6.4"].text


def test_bounds_of_the_sums():
    sizes = {letter: int(v) for letter, v in table("6.1", 3).pairs("letter", "model 1").items()}
    most = {"D": 1, "K": 2**20 - 2, "H": 2**20}
    assert "1 + (K + 1) × D is at most 2^20" in table("6.1", 3).pairs("letter", "rule")["H"]
    for _, formula, of_model, of_any in table("6.5").rows:
        value, power = of_model.split(" < ")
        assert eval(plain(formula), {}, sizes) == int(value) < number(power)
        assert eval(plain(formula), {}, most) < number(of_any.removeprefix("< ")) < 2**53
    for constant in (prior.ACTIVATION_MAX, prior.MEAN_CLIP):
        assert f", {constant})" in "".join(SECTIONS["6.5"].indented)


def test_worst_sums_of_the_shipped_weights_are_within_the_bounds():
    bounds = [int(cell.split(" < ")[0]) for cell in table("6.5").column("model 1")]
    inputs = np.r_[header.MAX_STEP_INDEX, np.full(array("prior.w1").shape[1] - 1, 127)]
    for layer, bound in zip((1, 2, 3), bounds, strict=True):
        weights = np.abs(array(f"prior.w{layer}").astype(np.int64))
        x = inputs if layer == 1 else np.full(weights.shape[1], prior.ACTIVATION_MAX)
        biases = np.abs(array(f"prior.b{layer}").astype(np.int64))
        assert ((x[None, :, None] * weights).sum(axis=1) + biases).max() <= bound


def test_entries(tiny_prior):
    model = tiny_prior(1)
    (spelled, meaning), (escape, _) = table("6.6").rows
    last = model.tables.shape[2] - 1
    names = {"E": last + 1, "R": model.max_residual}
    assert limits(spelled, names=names) == (0, last - 1)
    assert eval(plain(escape), {}, names) == last
    whole = np.array([[-3, 0, 5, 127]], dtype=np.int32)
    for e in range(last):
        symbols = np.array([[eval(plain(meaning), {"whole": w, "e": e}, names) for w in whole[0]]])
        entries, escaped = model._to_entries(symbols, whole)
        assert (entries == e).all()
        assert not escaped.any()
    for beyond in (-model.max_residual - 1, model.max_residual + 1):
        entries, escaped = model._to_entries(whole + beyond, whole)
        assert (entries == last).all()
        assert escaped.all()


# --- sections 7 and 8 -----------------------------------------------------------------------


def test_frequencies_sum_to_the_precision():
    """What the cells of section 7.1 mean is run in test_spec_runs.py."""
    assert table("7.1").column("entries") == ["E", "256"]
    assert "sum to 2^24" in SECTIONS["7.1"].text


def test_limits():
    modules = (header, fields, chunks, prior, entropy, quantize)
    for name, value, _ in table("8").rows:
        homes = [module for module in modules if hasattr(module, name)]
        assert homes, name
        assert all(getattr(module, name) == number(value) for module in homes), name
    constants = {
        name
        for module in modules
        for name, value in vars(module).items()
        if name.startswith(("MAX_", "MIN_")) and isinstance(value, int)
    }
    assert constants <= set(table("8").column("name"))


# --- section 11 -----------------------------------------------------------------------------

CLASSES = table("11").pairs("class", "error of hzc")


def error_of(name: str) -> type[errors.HzcError]:
    return getattr(errors, CLASSES[name])


def test_classes_of_errors():
    for name, error, code, _ in table("11").rows:
        assert error == f"{name}Error"
        assert error_of(name).exit_code == int(code)
    of_format = {error.__name__ for error in FormatError.__subclasses__()}
    assert set(CLASSES.values()) == of_format | {"UnknownModelError", "DesyncError"}


CHECKS = table("11", 1).pairs("check", "class")
OF_FILES = [check for check in CHECKS if check not in ("M1", "M2", "P1")]


def test_every_check_has_a_faulty_file():
    assert set(FAULTS) == set(OF_FILES)
    assert all(name in CLASSES for name in CHECKS.values())


@pytest.mark.parametrize("is_streamed", [False, True])
def test_raw_files_without_a_fault_are_sound(is_streamed):
    container.unpack(raw_file(is_streamed=is_streamed))


@pytest.mark.parametrize("check", OF_FILES)
def test_check_gives_its_class(check):
    for fault in FAULTS[check]:
        with pytest.raises(FormatError) as caught:
            container.unpack(with_faults(fault))
        assert type(caught.value) is error_of(CHECKS[check]), fault


@pytest.mark.parametrize("first", OF_FILES)
def test_first_check_that_fails_decides(first):
    for second in OF_FILES[OF_FILES.index(first) + 1 :]:
        for faults in itertools.product(FAULTS[first], FAULTS[second]):
            data = with_faults(*faults)
            is_late = faults[0].get("n_frames", (81, 0))[0] == 1 and first == "R1"
            if data is not None and not is_late:  # in the second record, after the other fault
                with pytest.raises(FormatError) as caught:
                    container.unpack(data)
                assert type(caught.value) is error_of(CHECKS[first]), faults


def test_checks_of_the_model():
    model = open_registered(MODEL)
    sound = Header(1, MODEL.fingerprint, MODEL.n_latent, 1, 2_000)
    model.check(sound)
    with pytest.raises(error_of(CHECKS["M1"])):
        registry.find_id(239)
    for change in ({"fingerprint": MODEL.fingerprint ^ 1}, {"n_latent": 31}):
        with pytest.raises(error_of(CHECKS["M2"])):
            model.check(Header(**{**vars(sound), **change}))


def test_check_of_payloads(tiny_prior):
    with pytest.raises(error_of(CHECKS["P1"])):
        tiny_prior(1).decode([b"\xff" * 40], [2], 0)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_file_that_ends_early_is_truncated(is_streamed):
    data = raw_file(is_streamed=is_streamed)
    assert "the class is\nTruncated" in SECTIONS["11"].text
    for end in range(len(data)):
        with pytest.raises(FormatError) as caught:
            container.unpack(data[:end])
        assert type(caught.value) is error_of("Truncated" if end else "NotHzc")


# --- section 12 -----------------------------------------------------------------------------


def test_integrity_is_as_described():
    noticed = table("12").pairs("damage", "noticed")
    assert list(noticed.values()).count("always") == 3
    for name in ("smallest", "streamed", "every-field"):
        data = SOUND[name]
        for end in range(len(data)):
            with pytest.raises(FormatError):
                container.unpack(data[:end])
        for bit in range(8 * len(data)):
            flipped = int.from_bytes(data, "big") ^ 1 << bit
            with pytest.raises(FormatError):
                container.unpack(flipped.to_bytes(len(data), "big"))
        with pytest.raises(FormatError):
            container.unpack(data + b"\0")


def test_bursts_in_payloads_are_noticed():
    data = SOUND["every-field"]
    start = data.index(b"\x01" * 200)
    rng = np.random.default_rng(1)
    for _ in range(2_000):
        damage = int(rng.integers(1, 2**16)) << int(rng.integers(8 * 190))
        damage <<= 8 * (len(data) - start - 200)
        damaged = (int.from_bytes(data, "big") ^ damage).to_bytes(len(data), "big")
        with pytest.raises(errors.CorruptError):
            container.unpack(damaged)


def test_record_of_a_file_with_an_equal_header_is_not_noticed():
    noticed = table("12").pairs("damage", "noticed")
    exchange = "a record exchanged for that of the same place in a file with an equal header"
    assert noticed[exchange] == "never"
    like = Header(1, 0, 32, None, None)
    one, other = (
        packed(like, [chunk(80, 1, 0, n), chunk(5, 1, 0, 4)], n_samples=170_000) for n in (30, 40)
    )
    container.unpack(other[: 12 + 2 + 1 + 40 + 2] + one[12 + 2 + 1 + 30 + 2 :])
    with pytest.raises(FormatError):  # a record that is repeated in the next place
        container.unpack(one[: 12 + 35] + one[12 : 12 + 35] + one[12 + 35 :])


# --- sections 16, 17, 20 --------------------------------------------------------------------


def test_model_ids():
    meanings = table("16").pairs("id", "meaning")
    assert meanings.pop("0") == "invalid"
    ranges = {meaning.split(" ")[0]: limits(ids) for ids, meaning in meanings.items()}
    private = (registry.PRIVATE_IDS[0], registry.PRIVATE_IDS[-1])
    assert ranges == {"registered": (1, private[0] - 1), "private": private}
    assert private[1] == 255
    rows = table("16", 1)
    assert [int(i) for i in rows.column("id")] == [spec.model_id for spec in registry.models()]
    for spec, row in zip(registry.models(), rows.rows, strict=True):
        said = dict(zip(rows.head, row, strict=True))
        assert said["name"] == spec.name
        assert int(said["D"]) == spec.n_latent
        assert int(said["fingerprint"], 16) == spec.fingerprint
        assert said["weight file"] == f"`{spec.file}`"
        assert said["SHA-256"] == f"`{spec.sha256}`"


@pytest.mark.parametrize(("section", "name"), [("17.1", "smallest"), ("17.2", "streamed")])
def test_dumps(section, name):
    (block,) = SECTIONS[section].fenced
    data = b""
    for line in block.splitlines():
        found = re.fullmatch(r"([0-9A-F]{4})  ((?:[0-9A-F]{2} ){1,8}) *(\S.*)?", line + " ")
        assert found is not None, line
        assert int(found[1], 16) == len(data)
        data += bytes.fromhex(found[2])
    assert data == SOUND[name]
    file = container.unpack(data)
    assert file.header.fingerprint == MODEL.fingerprint
    text = SECTIONS[section].text
    assert f"{file.header.n_samples} samples" in text
    assert f"{file.header.sample_rate_hz} Hz" in text


def test_smallest_file_is_the_smallest():
    least = container.pack(Header(1, 0, 1, 1, 125, 1_000), [Chunk(1, (b"",))])
    assert len(SOUND["smallest"]) <= len(least)
    for name, data in SOUND.items():
        assert len(data) >= len(SOUND["smallest"]), name


def test_smallest_file_is_the_vector_that_the_page_names():
    found = re.search(r"the vector `([\w/.-]+)`", SECTIONS["17.1"].text)
    assert found is not None
    assert (VECTORS / found[1]).read_bytes() == SOUND["smallest"]


MANIFEST = json.loads((VECTORS / "MANIFEST.json").read_text(encoding="utf-8"))


def test_vectors_are_as_described():
    folders = table("18").column("folder")
    assert {f"vectors/{entry['file'].split('/')[0]}" for entry in MANIFEST["vectors"]} == set(
        folders
    )
    required = table("18", 1).pairs("of", "required")
    (least,) = {entry["min_snr_db"] for entry in MANIFEST["vectors"] if "min_snr_db" in entry}
    assert required["a reader of sound"].endswith(f"of at least {least} dB")


def test_faulty_vectors_name_checks_and_classes_of_the_page():
    faulty = [entry for entry in MANIFEST["vectors"] if entry["file"].startswith("faulty/")]
    for entry in faulty:
        said = CHECKS[entry["check"]] if entry["check"] else "Truncated"
        assert entry["error"] == said, entry["file"]
    assert {entry["check"] for entry in faulty} >= set(CHECKS)


def test_history_ends_with_this_version():
    assert table("20").column("version")[-1] == str(header.VERSION)


# --- the reader of the page -----------------------------------------------------------------


def test_cells_and_numbers_of_the_page_are_read():
    assert cells("| a | `b` |  |") == ("a", "`b`", "")
    assert [number(cell) for cell in ("−64", "2^27", "0x9396")] == [-64, 134_217_728, 0x9396]
    assert limits("0 … n × 2", names={"n": 4}) == (0, 8)
    assert vlq(300) == bytes.fromhex("AC02")
