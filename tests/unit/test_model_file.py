"""Weight files: what is saved comes back, and anything else is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch
from sizes import TINY

from hzc.coding.prior import ARRAYS, DTYPES
from hzc.errors import WeightsError
from hzc.model.config import ModelConfig
from hzc.model.file import METADATA_KEY, Model, open_model

CONFIG = TINY.to_json()
METADATA = {"model_id": 240, "name": "tiny", "default_step_index": 0, "config": CONFIG,
            "prior_shifts": [5, 12, 15, 18]}  # fmt: skip
ABSENT = object()
NOT_OURS = "not the weights of an hzc model"


def changed(values: dict, changes: dict) -> dict:
    return {key: value for key, value in {**values, **changes}.items() if value is not ABSENT}


def look_at(path: Path) -> Model:
    model = open_model(path)
    _ = model.prior, model.base_step, model.mixtures
    return model


def assert_refused(path: Path, message: str | None = None) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        look_at(path)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.safetensors"


def test_open_model_returns_what_was_saved(path, tiny_prior, write_tiny_model):
    saved = tiny_prior(3, n_groups=4, group_size=8)
    path.write_bytes(b"something else")
    step = np.linspace(0.1, 1.0, 32, dtype=np.float32)
    changes = {"synthesis.t": np.arange(4.0).reshape(2, 2).T, "base_step": step, "name": "there"}
    write_tiny_model(path, saved, model_id=241, default_step_index=-5, **changes)
    data = path.read_bytes()
    assert write_tiny_model(path, saved, model_id=241, default_step_index=-5, **changes) == path
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444
    found = look_at(str(path))
    assert (found.path, found.model_id, found.name) == (path, 241, "there")
    assert (found.default_step_index, found.config) == (-5, TINY)
    assert (found.prior.fingerprint, found.prior.shifts) == (saved.fingerprint, saved.shifts)
    for name in DTYPES:
        assert np.array_equal(getattr(found.prior, name), getattr(saved, name))
    assert np.array_equal(found.base_step, step)
    assert found.arrays("synthesis.")["t"].tolist() == [[0.0, 2.0], [1.0, 3.0]]
    path.unlink()
    with pytest.raises(WeightsError, match="cannot read the weights"):
        found.arrays("prior.")


TEXTS = ["[]", "null", "5", '"text"', "{", "[" * 200_000, "[" * 200_000 + "]" * 200_000]


@pytest.mark.parametrize("text", [None, *TEXTS], ids=range(1 + len(TEXTS)))
def test_metadata_that_is_no_object_is_refused(path, tiny_model, text):
    save_file(load_file(tiny_model), path, metadata=None if text is None else {METADATA_KEY: text})
    assert_refused(path, NOT_OURS)


POSITIVE = ("base_step", "mixture_scales", "mixture_weights")
SHAPES = {"base_step": [(31,), (32, 1), (1,)], "mixture_scales": [(5, 1), (6,), (6, 2)],
          "mixture_weights": [(7, 1), (6, 1, 1)]}  # fmt: skip
REFUSED = [
    *(({}, {name: ABSENT}, f"lack {name}") for name in POSITIVE),
    *(({}, {f"prior.{name}": ABSENT}, "prior is incomplete") for name in (*ARRAYS, "tables")),
    *(({}, {name: np.full((6, 1), value)}, f"{name} is not finite and positive")
      for name in POSITIVE for value in (0.0, -1.0, np.nan, np.inf)),
    *(({}, {name: np.ones(shape)}, r"the shape of \w+ is .* \(expected")
      for name, shapes in SHAPES.items() for shape in shapes),
    *(({name: ABSENT}, {}, name if name != "prior_shifts" else "incomplete") for name in METADATA),
    *(({"model_id": n}, {}, NOT_OURS) for n in ("x", None, 0, 256, -1, np.inf, np.nan)),
    *(({"default_step_index": n}, {}, NOT_OURS) for n in ([1], -65, 65, -np.inf)),
    *(({"config": value}, {}, NOT_OURS) for value in (None, [], "", 5, {"name": "tiny"})),
    *(({"prior_shifts": shifts}, {}, "prior")
      for shifts in (None, 5, [], [1, 2, 3], [1, 2, 3, 64], [1.0, 2, 3, 4])),
]  # fmt: skip


@pytest.mark.parametrize(("metadata", "arrays", "message"), REFUSED, ids=range(len(REFUSED)))
def test_impossible_metadata_and_arrays_are_refused(path, tiny_model, metadata, arrays, message):
    text = json.dumps(changed(METADATA, metadata))
    save_file(changed(load_file(tiny_model), arrays), path, metadata={METADATA_KEY: text})
    assert_refused(path, message)


def test_numbers_that_do_not_fit_or_that_numpy_lacks_are_refused(
    path, tiny_prior, write_tiny_model
):
    write_tiny_model(path, tiny_prior(1, n_groups=4, group_size=4))
    assert_refused(path, r"n_latent is 16 \(expected 32\)")
    weights = {"prior.w1": torch.zeros(3, dtype=torch.bfloat16)}
    save_torch(weights, path, metadata={METADATA_KEY: json.dumps(METADATA)})
    assert_refused(path)  # numpy has this type where onnx has been imported


SIZES = [
    {"colour": "blue"}, {"name": 5}, {"kind": "other"}, {"sees_step_index": 1}, {"name": ABSENT},
    {"stft_hop": 125}, {"sample_rate_hz": 24_000}, {"n_fft": 1_001}, {"kernel_frames": 6},
    {"strides": [2, 2]}, {"analysis_widths": [16] * 5}, {"synthesis_blocks": []},
    {"synthesis_widths": [65_536] * 4}, {"expansion": 65_536}, {"analysis_widths": ABSENT},
    *({"n_latent": value} for value in (0, -1, 65_537, 1e999, 3.0, "3", True, None, [3])),
    *({"analysis_widths": [16, 16, 24, value]} for value in (0, 2**63, 2.0, "x", None, [24])),
    *({"strides": value} for value in (8, None, "222", {"2": 2})),
]  # fmt: skip


@pytest.mark.parametrize("changes", SIZES, ids=range(len(SIZES)))
def test_impossible_sizes_are_refused(changes):
    assert ModelConfig.from_json(json.loads(json.dumps(CONFIG))) == TINY
    with pytest.raises(WeightsError):
        ModelConfig.from_json(changed(CONFIG, changes))
