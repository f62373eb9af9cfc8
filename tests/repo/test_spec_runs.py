"""The specification's overview, formulas and pseudo-code, run as they stand on the page."""

from __future__ import annotations

import re
from functools import cache
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sound_files import SOUND, make_dumps
from spec_page import SECTIONS, plain, table

from hzc import container
from hzc.coding import entropy
from hzc.container import Chunk, Header, header
from hzc.errors import CorruptError
from hzc.model.file import open_registered
from hzc.model.registry import find_id

Names = dict[str, Any]

# --- the overview, section 4 ----------------------------------------------------------------

CONDITIONS = {
    "streamed": lambda env: env["flags"] & 1,
    "not streamed": lambda env: not env["flags"] & 1,
    "explicit steps": lambda env: env["flags"] & 2,
    "rate_code is 0": lambda env: env["rate_code"] == 0,
}
LINE = re.compile(r" *(?:(\w+) +)?(\w+)(?:\[(\w*)\])?( \{)? *(?://.*)?")


class Overview:
    """Reads a file as the overview says."""

    def __init__(self, data: bytes) -> None:
        self.data, self.half = data, 0
        self.env: Names = {}
        self.records: list[Names] = []
        (text,) = SECTIONS["4"].fenced
        lines = text.splitlines()
        assert lines[0] == "file {"
        end = self.block(lines, 1)
        assert end == len(lines)
        assert self.half == 2 * len(data)

    def block(self, lines: list[str], at: int) -> int:
        """Read what the lines up to the closing brace say; return the line after it."""
        while lines[at].strip() != "}":
            found = LINE.fullmatch(lines[at])
            assert found is not None, lines[at]
            kind, name, size, is_block = found.groups()
            condition = re.search(r"only if ([\w ]+)", lines[at])
            is_there = condition is None or CONDITIONS[condition[1]](self.env)
            if is_block:
                at = self.blocks(lines, at + 1, name, size, bool(is_there))
                continue
            if is_there:
                self.env[name] = self.value(kind, size)
            at += 1
        return at + 1

    def blocks(self, lines: list[str], at: int, name: str, size: str | None, there: bool) -> int:
        """Read a block as often as it is there; return the line after it."""
        depth, end = 1, at
        while depth:
            depth += lines[end].endswith("{") or "{ " in lines[end]
            depth -= lines[end].strip() == "}"
            end += 1
        if name == "chunk":
            n_chunks = 0
            while self.has_chunk(n_chunks):
                self.block(lines, at)
                n_chunks += 1
        elif name == "record":
            for _ in range(self.env[size] + 1):  # less 1 in the header
                self.block(lines, at)
                self.records.append(dict(self.env))
        elif there:
            self.block(lines, at)
        return end

    def has_chunk(self, n_chunks: int) -> bool:
        if self.env["flags"] & 1:
            return self.data[self.half // 2] != 0
        (n_frames,) = re.findall(r"// ceil\(F / (\d+)\) of them", SECTIONS["4"].fenced[0])
        return n_chunks < -(-self.env["n_frames"] // int(n_frames))

    def value(self, kind: str, size: str | None) -> Any:
        if size is not None:
            n = int(size) if size.isdigit() else self.env[{"D": "n_latent"}.get(size, size)]
            return [self.value(kind, None) for _ in range(n)]
        if kind == "vlq":
            return self.vlq()
        n_halves = int(kind[1:]) // 4
        value = 0
        for _ in range(n_halves):
            byte = self.data[self.half // 2]
            value = value << 4 | (byte & 15 if self.half % 2 else byte >> 4)
            self.half += 1
        return value - (value >> 7 << 8) if kind == "s8" else value

    def vlq(self) -> int:
        value = shift = 0
        while True:
            byte = self.value("u8", None)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7


@pytest.mark.parametrize("name", sorted(SOUND))
def test_overview_reads_every_file_as_the_container_does(name):
    file, overview = container.unpack(SOUND[name]), Overview(SOUND[name])
    env, expected = overview.env, file.header
    rate_hz = env.get("sample_rate") or header.SAMPLE_RATES_HZ[env["rate_code"]]
    assert bytes(env["magic"]) == header.MAGIC
    assert env["version"] == header.VERSION
    assert expected == Header(
        model_id=env["model_id"],
        fingerprint=env["fingerprint"],
        n_latent=env["n_latent"],
        n_frames=expected.n_frames if not file.is_streamed else env["n_frames"],
        n_samples=env["n_frames"] * rate_hz // 8 - env["trim"],
        sample_rate_hz=rate_hz,
        n_channels=env["channels"] + 1,
        step_index=env["step_index"],
        step_offsets=tuple(env["step_offsets"]) if env["flags"] & 2 else None,
    )
    n_channels, frames = expected.n_channels, [chunk.n_frames for chunk in file.chunks]
    found = []
    for first in range(0, len(overview.records), n_channels):
        records = overview.records[first : first + n_channels]
        n_frames = records[0]["n_frames"] if file.is_streamed else frames[len(found)]
        payloads = tuple(bytes(record["payload"]) for record in records)
        assert all(record["length"] == len(record["payload"]) for record in records)
        found.append(Chunk(n_frames, payloads, records[0]["gain"]))
    assert tuple(found) == file.chunks


# --- formulas and pseudo-code ---------------------------------------------------------------


@cache
def as_python(text: str) -> str:
    """Return a formula or a line of pseudo-code as Python."""
    text = plain(text).translate({0x2265: ">=", 0x2264: "<="})
    text = re.sub(r"floor\((.+) / (\w+)\)", r"(\1) // \2", text)
    text = re.sub(r"ceil\((.+?) / (.+)\)", r"-(-(\1) // (\2))", text)
    text = re.sub(r"sum over i of (\w+)\[i\] \* ([\w\[\] +]+)\)", sum_as_python, text)
    text = text.replace(" mod ", " % ")
    text = re.sub(r"the (first|second|next) word", "word()", text)
    text = re.sub(r"the entry with (.+)", r"next(e for e in indexes(f) if \1)", text)
    text = text.replace("the payload is faulty (Corrupt)", "raise CorruptError('q')")
    text = text.replace("the answer is e", "answer = e")
    text = re.sub(
        r"( *)k = the smallest number >= 0 for which (.+)\n *with (m = .+)",
        r"\1k = 0\n\1while True:\n\1    \3\n\1    if \2: break\n\1    k += 1",
        text,
    )
    return re.sub(r"the payload is m, as k bytes, .*", "payload = m.to_bytes(k, 'big')", text)


def sum_as_python(found: re.Match[str]) -> str:
    return f"sum({found[1]}[i] * {found[2]} for i in range(len({found[1]}))))"


def parts_of(number: str) -> dict[str, str]:
    """Return the parts of a section's pseudo-code by what stands before the first comma."""
    (block,) = SECTIONS[number].indented
    found = re.findall(r"^(\w[^\n]*):\n((?:(?: +[^\n]*)?\n)+)", block, re.M)
    return {title.split(",")[0]: as_python(dedent(body)) for title, body in found}


DECODER, ENCODER = parts_of("7.3"), parts_of("7.4")


def test_pseudo_code_has_the_parts_that_are_run():
    assert list(DECODER) == ["start", "next entry"]
    assert list(ENCODER) == ["start", "every entry", "end"]


def indexes(values: list[int]) -> range:
    """Return the indexes of a list; the page has a number called range."""
    return range(len(values))


class PageDecoder:
    """The range decoder of section 7.3."""

    def __init__(self, payload: bytes) -> None:
        words = iter(range(0, 10**9, 4))

        def word() -> int:
            start = next(words)
            return int.from_bytes(payload[start : start + 4].ljust(4, b"\0"), "big")

        self.names: Names = {"word": word, "indexes": indexes, "CorruptError": CorruptError}
        exec(DECODER["start"], self.names)

    def take(self, f: list[int], c: list[int]) -> int:
        self.names.update(f=f, c=c)
        exec(DECODER["next entry"], self.names)
        return self.names["answer"]


class PageEncoder:
    """The range coder of section 7.4."""

    def __init__(self) -> None:
        self.names: Names = {}
        exec(ENCODER["start"], self.names)

    def put(self, f: int, c: int) -> None:
        self.names.update(f=f, c=c)
        exec(ENCODER["every entry"], self.names)

    def finish(self) -> bytes:
        exec(ENCODER["end"], self.names)
        return self.names["payload"]


def frequencies(row: list[int] | None) -> tuple[list[int], list[int]]:
    """Return what section 7.1 says of a table row, or of a byte: frequencies and cumulatives."""
    _, n_entries, frequency, cumulative = table("7.1").rows[0 if row else 1]
    n = len(row) if row else int(n_entries)
    sums = as_python(cumulative).replace("(row[0] + … + row[e - 1])", "sum(row[:e])")
    of_entry, before_entry = (compile(s, s, "eval") for s in (as_python(frequency), sums))
    f = [eval(of_entry, {"row": row, "e": e}) for e in range(n)]
    c = [eval(before_entry, {"row": row, "e": e}) for e in range(n)]
    return f, c


def context(names: Names, step_index: int, symbols: np.ndarray) -> list[int]:
    """Return the context of section 6.4; symbols int [frame, D], names t, g and the sizes."""
    found = [step_index]
    assert table("6.4").column("index in c")[0] == "0"
    for index, value in table("6.4").rows[1:]:
        expression, condition = as_python(index).split(", for ")
        frame = re.fullmatch(r"the symbol of frame (.+) in dimension d, clamped", as_python(value))
        assert frame is not None
        ks = range(names["K"]) if condition == "k = 0 … K - 1" else [0]
        n = names["D"] if condition == "k = 0 … K - 1" else eval(condition[4:], dict(names))
        for k in ks:
            for d in range(int(n)):
                env = {**names, "k": k, "d": d}
                assert eval(expression, env) == len(found)
                t = eval(frame[1], env)
                found.append(int(np.clip(symbols[t, d], -127, 127)) if t >= 0 else 0)
    return found


def network(names: Names) -> Names:
    """Run the formulas of section 6.5."""
    names = {**names, "clamp": lambda x, low, high: max(low, min(high, x))}
    for line in "".join(SECTIONS["6.5"].indented).splitlines():
        found = re.fullmatch(r"(\w+)\[(j|d)\] *= (.+?)(?:   .*)?", line)
        assert found is not None, line
        size = names["H" if found[2] == "j" else "n"]
        code = compile(as_python(found[3]), line, "eval")
        names[found[1]] = [eval(code, {**names, found[2]: i}) for i in range(size)]
    return names


def sizes(prior) -> Names:
    names: Names = {name: getattr(prior, name).tolist() for name in ("w1", "w2", "w3", "tables")}
    names |= {name: getattr(prior, name).tolist() for name in ("b1", "b2", "b3")}
    names |= dict(zip(("s1", "s2", "s3", "s4"), prior.shifts, strict=True))
    scales, _, entries = prior.tables.shape
    names |= {"D": prior.n_latent, "G": prior.n_groups, "n": prior.group_size, "S": scales}
    return names | {"K": prior.context_frames, "H": prior.w1.shape[2], "E": entries,
                    "R": eval("E // 2 - 1", {"E": entries})}  # fmt: skip


def page_decoded(prior, payload: bytes, n_frames: int, step_index: int) -> tuple:
    """Return symbols [D, F], and the payload that they make, by the page alone."""
    coder, again = PageDecoder(payload), PageEncoder()
    names = sizes(prior)
    n, e_max = names["n"], names["E"] - 1
    symbols = np.zeros((n_frames, names["D"]), dtype=np.int64)
    (_, plain_symbol), (escape, _) = table("6.6").rows
    assert eval(as_python(escape), names) == e_max

    def take(row: list[int] | None) -> int:
        f, c = frequencies(row)
        entry = coder.take(f, c)
        again.put(f[entry], c[entry])
        return entry

    for t in range(n_frames):
        for g in range(names["G"]):
            env = {**names, "t": t, "g": g}
            env = network({**env, "c": context(env, step_index, symbols)})
            entries = [take(row) for row in env["row"]]
            for d, e in enumerate(entries):
                if e == e_max:
                    symbols[t, g * n + d] = take(None) * 256 + take(None) - 32768
                else:
                    whole = {**env, "whole": env["whole"][d], "e": e}
                    symbols[t, g * n + d] = eval(as_python(plain_symbol), whole)
    return symbols.T, again.finish()


@pytest.mark.parametrize("spread", [0, 3, 40, 20_000])
@pytest.mark.parametrize(("seed", "step_index"), [(1, 0), (2, -64), (3, 64)])
def test_page_decodes_and_encodes_as_the_prior_does(tiny_prior, seed, step_index, spread):
    prior = tiny_prior(seed)
    rng = np.random.default_rng(seed)
    symbols = np.rint(rng.normal(0.0, spread, (prior.n_latent, 7)))
    symbols = np.clip(symbols, entropy.MIN_VALUE, entropy.MAX_VALUE).astype(np.int32)
    payload = prior.encode(symbols, step_index)
    found, again = page_decoded(prior, payload, 7, step_index)
    np.testing.assert_array_equal(found, symbols)
    assert again == payload


@pytest.mark.parametrize("name", ["smallest", "streamed"])
def test_page_decodes_the_examples(name):
    prior = open_registered(find_id(1)).prior
    file = container.unpack(SOUND[name])
    for chunk in file.chunks:
        (payload,) = chunk.payloads
        step_index = file.header.step_index
        found, again = page_decoded(prior, payload, chunk.n_frames, step_index)
        (expected,) = prior.decode([payload], [chunk.n_frames], step_index)
        np.testing.assert_array_equal(found, expected)
        assert again == payload == prior.encode(expected, step_index)


def test_payload_that_is_no_coded_stream_is_found_faulty(tiny_prior):
    with pytest.raises(CorruptError):
        page_decoded(tiny_prior(1), b"\xff" * 40, 2, 0)
    with pytest.raises(CorruptError):
        tiny_prior(1).decode([b"\xff" * 40], [2], 0)


def test_check_values_of_the_coder():
    text = re.sub(r"\s+", " ", SECTIONS["7.4"].text)
    is_told = (
        r"the four bytes `(\w\w \w\w \w\w \w\w)`.*is `([\w ]+)`\. "
        r"That of `(00 00 00 00)` is (empty)\. That of `([\w ]+)` is `([\w ]+)`\."
    )
    found = re.search(is_told, text)
    assert found is not None
    cases = {found[1]: found[2], found[3]: "", found[5]: found[6]}
    for coded, expected in cases.items():
        by_page, by_package = PageEncoder(), entropy.PayloadEncoder()
        f, c = frequencies(None)
        values = bytes.fromhex(coded)
        for value in values:
            by_page.put(f[value], c[value])
        for i in range(0, 4, 2):
            by_package.put_value(int.from_bytes(values[i : i + 2], "big") + entropy.MIN_VALUE)
        assert by_page.finish() == by_package.finish() == bytes.fromhex(expected)


def test_frequencies_of_the_page_are_those_of_the_coder(tiny_prior):
    for row in tiny_prior(1).tables[0]:
        counts = entropy.coder_counts(row)
        assert frequencies(row.tolist())[0] == [int(count) + 1 for count in counts]
        assert sum(frequencies(row.tolist())[0]) == 2**entropy.PRECISION_BITS
    assert frequencies(None)[0] == [int(n) + 1 for n in entropy._BYTE_COUNTS]


def test_network_of_the_page_gives_the_check_values():
    prior = open_registered(find_id(1)).prior
    group = prior.n_groups - 1
    whole_context = [3, *((7 * i % 11) - 5 for i in range(1, prior.w1.shape[1]))]
    c = whole_context[: len(whole_context) - prior.group_size]
    assert (
        f"for i = 1 … {len(c) - 1}; the group is the last one, g = {group}." in SECTIONS["6.5"].text
    )
    found = network({**sizes(prior), "c": c, "g": group})
    values = table("6.5", 1)
    for name, said in values.rows:
        assert [int(plain(value)) for value in said.split(", ")] == found[name][:4], name
    mean, index = prior.predict(group, np.array([whole_context], dtype=np.float64))
    assert mean[0].tolist() == found["whole"]
    rows = [8 * s + f for s, f in zip(found["scale"], found["fraction"], strict=True)]
    assert index[0].tolist() == rows
    assert make_dumps().layers(prior, whole_context)["h2"] == found["h2"]


@given(st.integers(1, 2**27), st.integers(1_000, 768_000), st.integers(0, 100_000))
def test_formulas_of_the_length(n_frames, rate, trim):
    length, condition = (as_python(block) for block in SECTIONS["4.5"].indented)
    names: Names = {"F": n_frames, "rate": rate, "trim": trim}
    exec(length.strip(), names)
    fits = names["N"] >= 1 and eval(condition.strip().replace(" = F", " == F"), names)
    like = Header(1, 0, 1, None, None, rate)
    if fits:
        assert header.with_length(like, n_frames, trim).n_samples == names["N"]
        assert 0 <= trim < rate / 8
    else:
        with pytest.raises(CorruptError):
            header.with_length(like, n_frames, trim)
