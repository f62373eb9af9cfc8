"""Priors and files that two decoders are compared on: random ones, extreme ones, faulty ones."""

from __future__ import annotations

import json
from binascii import crc_hqx
from functools import lru_cache

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save
from second_decoder.prior import Prior as SecondPrior
from second_decoder.weights import read_weights

from hzc.coding.prior import ARRAYS, Prior

# --- priors ---------------------------------------------------------------------------------

PRIVATE_ID = 241


def weight_file(prior: Prior, model_id: int = PRIVATE_ID) -> bytes:
    """Return the bytes of a weight file with nothing in it but the prior."""
    metadata = {
        "model_id": model_id,
        "config": {"n_latent": prior.n_latent},
        "prior_shifts": prior.shifts,
    }
    arrays = {f"prior.{name}": getattr(prior, name) for name in (*ARRAYS, "tables")}
    return save(arrays, metadata={"hzc": json.dumps(metadata)})


@lru_cache(maxsize=64)
def random_prior(
    seed: int, n_groups: int, group: int, n_past: int, hidden: int, n_entries: int, is_wild: bool
) -> tuple[Prior, SecondPrior]:
    """Return a prior for each of the two; a wild one has numbers from the whole of their types."""
    rng = np.random.default_rng(seed)
    n_rows, n_scales = 1 + (n_past + 1) * n_groups * group, 5

    def numbers(dtype: type[np.signedinteger], bits: int, *shape: int) -> np.ndarray:
        limit = 2 ** (np.iinfo(dtype).bits - 1 if is_wild else bits)
        found = rng.integers(-limit, limit, shape)
        if is_wild:
            found = np.where(rng.random(shape) < 0.3, -limit, found)
            found = np.where(rng.random(shape) < 0.3, limit - 1, found)
        return found.astype(dtype)

    # With tame numbers these shifts spread means and scales over their ranges.
    shifts = tuple(int(s) for s in rng.integers(0, 64, 4)) if is_wild else (4, 9, 11, 17)
    first = Prior(
        w1=numbers(np.int16, 9, n_groups, n_rows, hidden),
        b1=numbers(np.int32, 15, n_groups, hidden),
        w2=numbers(np.int16, 11, n_groups, hidden, hidden),
        b2=numbers(np.int32, 19, n_groups, hidden),
        w3=numbers(np.int16, 8, n_groups, hidden, 2 * group),
        b3=numbers(np.int32, 19, n_groups, 2 * group),
        shifts=shifts,
        tables=random_tables(rng, n_scales, n_entries),
    )
    return first, SecondPrior(read_weights(weight_file(first)))


def random_tables(rng: np.random.Generator, n_scales: int, n_entries: int) -> np.ndarray:
    """Return tables with rows of every shape: spread, and all but a few units on one entry."""
    tables = np.ones((n_scales, 8, n_entries), np.int64)
    for row in tables.reshape(-1, n_entries):
        peaks = rng.choice(n_entries, int(rng.integers(1, n_entries + 1)), replace=False)
        row[peaks] += rng.multinomial(65536 - n_entries, rng.dirichlet(np.ones(len(peaks))))
    return tables.astype(np.uint16)


priors = st.builds(
    random_prior,
    seed=st.integers(0, 1),
    n_groups=st.integers(1, 3),
    group=st.integers(1, 2),
    n_past=st.sampled_from([0, 1, 3]),
    hidden=st.sampled_from([1, 5]),
    n_entries=st.sampled_from([2, 4, 26]),
    is_wild=st.booleans(),
)

step_indexes = st.integers(-64, 64)

# --- files with odd fields ------------------------------------------------------------------

FIELDS = ("magic", "version", "model", "rate", "step", "latent", "offsets", "frames", "trim", "crc")
RECORD_FIELDS = ("n_frames", "gain", "length", "payload", "crc", "place", "end", "count", "tail")


def vlq(value: int, n_bytes: int = 1) -> bytes:
    """Return a varint of at least so many bytes."""
    out = bytearray()
    while value >= 0x80 or len(out) + 1 < n_bytes:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


varints = st.builds(
    vlq,
    st.sampled_from([0, 1, 80, 81, 125, 2**27, 2**27 + 1, 2**35 - 1, 2**42]),
    st.integers(1, 6),
)


@st.composite
def odd_files(draw: st.DrawFn) -> bytes:
    """Return a file with up to three odd fields; CRCs are right where they are not odd."""
    odd = draw(st.sets(st.sampled_from([*FIELDS, *(f"r-{f}" for f in RECORD_FIELDS)]), max_size=3))

    def pick(name: str, usual: bytes, anything: st.SearchStrategy[bytes]) -> bytes:
        # A field that occurs often is odd in some places only.
        return draw(anything) if name in odd and draw(st.integers(0, 2)) else usual

    def byte_of(*values: int) -> st.SearchStrategy[bytes]:
        likely = st.sampled_from([bytes([value % 256]) for value in values])
        return likely | st.binary(min_size=1, max_size=1)

    streamed, explicit = draw(st.booleans()), draw(st.booleans())
    n_channels, n_latent = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    counts = draw(st.lists(st.integers(1, 80), max_size=2)) if streamed else [80]
    counts += [draw(st.integers(1, 80))]
    head = pick("magic", b"hzc", st.sampled_from([b"hzd", b"xzc", b"HZC"]))
    flags = streamed + 2 * explicit
    head += pick("version", bytes([0x10 | flags]), byte_of(0x14, 0x18, 0x20, 0, 0x10, 0x11, 0x13))
    head += pick("model", b"\1", byte_of(0, 255)) + b"\2\3"
    code = 4 if n_latent != 2 else 0
    head += pick("rate", bytes([code << 4 | n_channels - 1]), byte_of(0, 0xF0, 0x40, 0xE0))
    head += pick("step", b"\x05", byte_of(64, 65, -64, -65))
    head += pick("latent", bytes([n_latent]), byte_of(0, 1, 2))
    rate = (9_000).to_bytes(4, "big")
    rates = [0, 999, 1_000, 8_000, 16_000, 768_000, 768_001, 2**32 - 1]
    likely = st.sampled_from([value.to_bytes(4, "big") for value in rates])
    head += pick("rate", rate, likely) if code == 0 else b""
    offsets = b"\x01" * n_latent if explicit else b""
    head += pick("offsets", offsets, st.binary(min_size=len(offsets), max_size=len(offsets)))
    if not streamed:
        head += pick("frames", vlq(sum(counts)), varints) + pick("trim", vlq(7), varints)
    head += pick("crc", crc_hqx(head, 0xFFFF).to_bytes(2, "big"), st.binary(min_size=2, max_size=2))

    def sealed(record: bytes, chunk: int, channel: int) -> bytes:
        place = pick("r-place", bytes([0, 0, 0, chunk, channel]), st.just(bytes(5)))
        crc = crc_hqx(head[-2:] + place + record, 0xFFFF).to_bytes(2, "big")
        return record + pick("r-crc", crc, st.binary(max_size=2))

    data = head
    for chunk, count in enumerate(counts):
        for channel in range(n_channels):
            payload = draw(st.binary(max_size=4))
            record = pick("r-n_frames", bytes([count]), byte_of(0, 81, 80)) if streamed else b""
            record += pick("r-gain", b"\xf0", byte_of(120, 121, -120, -121))
            record += pick("r-length", vlq(len(payload)), varints)
            record += pick("r-payload", payload, st.binary(max_size=30))
            data += sealed(record, chunk, channel)
    if streamed:
        end = b"\0" + pick("r-count", vlq(sum(counts)), varints) + pick("r-end", vlq(7), varints)
        data += sealed(end, len(counts), 0)
    return data + pick("r-tail", b"", st.binary(max_size=3))


@st.composite
def mutated(draw: st.DrawFn, files: st.SearchStrategy[bytes]) -> bytes:
    """Return a file of which bytes were changed, inserted, left out, repeated or cut off."""
    data = bytearray(draw(files))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "insert", "drop", "repeat", "cut"]))
        if kind == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "drop":
            del data[at : at + draw(st.integers(1, 4))]
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
        elif kind == "cut":
            del data[at:]
    return bytes(data)
