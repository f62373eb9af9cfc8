"""The range coder: pinned bytes. The second decoder codes and decodes the same of any others."""

from __future__ import annotations

import numpy as np
import pytest

from hzc.coding.entropy import PayloadDecoder, PayloadEncoder, coder_counts
from hzc.errors import CorruptError

TABLE = np.array([1, 99, 900, 9_000, 45_536, 9_000, 900, 100], dtype=np.uint16)
ROW = coder_counts(TABLE)[None]
GOLDEN = {
    (): "",
    (4,): "28",
    (0,): "",
    (7,): "ff9c",
    (3, 4, 5, 2, 4, 4, 4, 6, 1, 0, 7): "1e01a350bf2257",
    tuple(range(8)) * 4: "0000000153f7056ede9db85109df17de9034154c94e30001461542",
}


@pytest.mark.parametrize(("entries", "expected"), GOLDEN.items())
def test_fixed_entries_give_the_golden_bytes_and_zeros_follow_for_ever(entries, expected):
    counts, coder = np.tile(ROW[0], (len(entries), 1)), PayloadEncoder()
    coder.put(np.array(entries, dtype=np.int32), counts)
    assert coder.finish().hex() == expected
    for n_zeros in range(9):
        payload = bytes.fromhex(expected) + bytes(n_zeros)
        assert tuple(PayloadDecoder(payload).take(counts)) == entries


def test_values_between_entries_give_the_golden_bytes():
    coder, written = PayloadEncoder(), ((7, -32768), (4, None), (7, 32767), (7, -1))
    for entry, value in written:
        coder.put(np.array([entry], dtype=np.int32), ROW)
        if value is not None:
            coder.put_value(value)
    payload = coder.finish()
    assert payload.hex() == "ff9c0054bb1953fab288"
    decoder = PayloadDecoder(payload)
    for entry, value in written:
        assert decoder.take(ROW).tolist() == [entry]
        assert value is None or decoder.take_value() == value


@pytest.mark.parametrize("take", [lambda d: d.take(ROW), PayloadDecoder.take_value])
def test_point_beyond_the_last_quantile_raises_corrupt(take):
    with pytest.raises(CorruptError, match="not a coded stream"):
        take(PayloadDecoder(b"\xff" * 8))
