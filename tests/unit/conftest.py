"""What the tests of encoder, decoder and codec share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hzc.coding.prior import Prior

if TYPE_CHECKING:
    from hzc.codec import Codec


@pytest.fixture(scope="session")
def minute(sound: Callable[..., np.ndarray]) -> np.ndarray:
    """A minute at 16 kHz and a bit, float32 [sample]: six chunks and a frame."""
    return sound(60 * 16_000 + 777)


@pytest.fixture(scope="session")
def static_codec(
    tmp_path_factory: pytest.TempPathFactory,
    static_prior: Prior,
    write_tiny_model: Callable[..., Path],
) -> Codec:
    """The tiny networks with a prior that fits them."""
    from hzc.codec import Codec

    path = tmp_path_factory.mktemp("static") / "static.safetensors"
    return Codec.load(write_tiny_model(path, static_prior))
