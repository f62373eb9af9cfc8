"""Links that lose packets: as many as they say, in bursts where they say so."""

from __future__ import annotations

import numpy as np
import pytest

from hzc_bench.packets import Channel


@pytest.mark.parametrize(("burst", "longest"), [(1 / 0.9, 4), (3.0, 30)])
def test_channel_loses_its_share_in_bursts_of_their_length(burst, longest):
    lost = Channel("", 0.1, burst).lost(5_000)
    assert abs(lost.mean() - 0.1) < 0.002
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(int)))
    lengths = edges[1::2] - edges[::2]
    assert abs(lengths.mean() - burst) < 0.3
    assert lengths.max() <= longest
