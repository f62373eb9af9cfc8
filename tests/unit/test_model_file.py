"""Weight files: what is saved comes back, and what is not one is refused."""

from __future__ import annotations

import dataclasses
import json
import stat
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hzc.coding import prior
from hzc.container import Header
from hzc.errors import DesyncError, UnknownModelError, WeightsError
from hzc.model import registry
from hzc.model.config import CONFIGS
from hzc.model.file import METADATA_KEY, open_for_id, open_model, open_registered, save_model
from hzc.model.load import load_analysis, load_synthesis

METADATA = {
    "model_id": 240, "name": "tiny", "default_step_index": 0,
    "config": CONFIGS["tiny"].to_json(), "prior_shifts": [5, 12, 15, 18],
}  # fmt: skip


@pytest.fixture
def arrays(tiny_model):
    return load_file(tiny_model)


def write(path: Path, arrays: dict[str, np.ndarray], metadata: object = METADATA) -> Path:
    save_file(arrays, path, metadata={METADATA_KEY: json.dumps(metadata)})
    return path


# --- there and back -------------------------------------------------------------------------


def test_open_model_returns_what_was_saved(tmp_path, tiny_prior):
    saved = tiny_prior(3, n_groups=4, group_size=8)
    step = np.linspace(0.1, 1.0, 32, dtype=np.float32)
    arrays = {
        "analysis.a.weight": np.ones((2, 3), dtype=np.float16),
        "synthesis.b": np.zeros(4, dtype=np.float32).reshape(2, 2).T,
        "base_step": step,
        "mixture_scales": np.full((6, 2), 0.5, dtype=np.float32),
        "mixture_weights": np.full((6, 2), 0.25, dtype=np.float32),
    }
    metadata = {"model_id": 241, "name": "there", "default_step_index": -5, "note": "kept"}
    path = tmp_path / "m.safetensors"
    save_model(path, metadata, CONFIGS["tiny"], saved, arrays)
    found = open_model(path)
    assert (found.path, found.model_id, found.name) == (path, 241, "there")
    assert found.default_step_index == -5
    assert found.config == CONFIGS["tiny"]
    assert found.metadata["note"] == "kept"
    assert found.prior.fingerprint == saved.fingerprint
    for name in (*prior.ARRAYS, "tables"):
        assert np.array_equal(getattr(found.prior, name), getattr(saved, name))
    assert found.prior.shifts == saved.shifts
    assert np.array_equal(found.base_step, step)
    assert found.mixtures[0].tolist() == [[0.5, 0.5]] * 6
    assert found.mixtures[1].tolist() == [[0.25, 0.25]] * 6
    assert set(found.arrays("analysis.")) == {"a.weight"}
    assert found.arrays("synthesis.")["b"].tolist() == [[0.0, 0.0]] * 2


def test_save_model_overwrites_and_everybody_may_read(tmp_path, static_prior, write_tiny_model):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"something else")
    write_tiny_model(path, static_prior)
    assert open_model(path).name == "tiny"
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444


def test_save_model_twice_gives_the_same_bytes(tmp_path, static_prior, write_tiny_model):
    one = write_tiny_model(tmp_path / "one.safetensors", static_prior).read_bytes()
    assert write_tiny_model(tmp_path / "two.safetensors", static_prior).read_bytes() == one


@pytest.mark.parametrize("as_text", [False, True])
def test_open_model_of_a_path_takes_either_kind(tiny_model, as_text):
    found = open_model(str(tiny_model) if as_text else tiny_model)
    assert found.name == "tiny"


def test_load_networks_gives_the_stored_weights_ready_for_inference(tiny_model):
    file = open_model(tiny_model)
    for part, load in (("analysis.", load_analysis), ("synthesis.", load_synthesis)):
        network = load(file, "cpu")
        assert not network.training
        stored = file.arrays(part)
        weights = network.state_dict()
        assert set(weights) == set(stored)
        for name, value in weights.items():
            assert np.array_equal(value.numpy(), stored[name].astype(np.float32))


# --- what belongs together ------------------------------------------------------------------


def test_check_of_a_header_made_with_these_tables_returns(tiny_model):
    file = open_model(tiny_model)
    header = Header(
        model_id=240, fingerprint=file.prior.fingerprint, n_latent=32, n_frames=1, n_samples=1
    )
    file.check(header)
    for changes in ({"fingerprint": file.prior.fingerprint ^ 0x8000}, {"n_latent": 16}):
        with pytest.raises(DesyncError, match="other tables") as caught:
            file.check(dataclasses.replace(header, **changes))
        assert caught.value.hint


def test_open_for_id_without_a_name_looks_the_id_up():
    for spec in registry.models():
        assert open_for_id(spec.model_id).name == spec.name
    with pytest.raises(UnknownModelError):
        open_for_id(199)


def test_open_for_id_with_a_file_wants_that_id_in_it(tiny_model):
    assert open_for_id(240, tiny_model).model_id == 240
    with pytest.raises(UnknownModelError, match=r"needs model 1, not tiny \(model 240\)"):
        open_for_id(1, tiny_model)


def test_open_model_by_name_and_by_default_open_the_registered_file():
    assert open_model().name == registry.default_name()
    for spec in registry.models():
        assert open_model(spec.name).path == spec.path


def test_open_model_of_an_unknown_name_raises():
    with pytest.raises(UnknownModelError, match="'tinny'"):
        open_model("tinny")


@pytest.fixture
def spec(tmp_path, monkeypatch, static_prior, write_tiny_model):
    """A registered model in a weights folder of its own."""
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    path = write_tiny_model(tmp_path / "tiny.safetensors", static_prior, model_id=9)
    return registry.ModelSpec(
        model_id=9, name="tiny", file=path.name, sha256=sha256(path.read_bytes()).hexdigest(),
        fingerprint=static_prior.fingerprint, n_latent=32, n_parameters={}, measured_kbps=1.0,
        measured_on="nothing", date="2026-01-01",
    )  # fmt: skip


def test_open_registered_with_the_right_checksum_opens(spec):
    assert open_registered(spec).model_id == 9


def test_open_registered_with_one_bit_changed_raises(spec):
    data = bytearray(spec.path.read_bytes())
    data[-1] ^= 1
    spec.path.write_bytes(data)
    with pytest.raises(WeightsError, match="not the registered ones") as caught:
        open_registered(spec)
    assert spec.sha256[:12] in str(caught.value)
    assert caught.value.hint == "reinstall hzc"


def test_open_registered_of_a_missing_file_raises(spec):
    spec.path.unlink()
    with pytest.raises(WeightsError, match="cannot read the weights") as caught:
        open_registered(spec)
    assert caught.value.path == spec.path


# --- what is no weight file -----------------------------------------------------------------


def test_open_model_of_a_missing_file_raises(tmp_path):
    with pytest.raises(WeightsError, match="not the weights of an hzc model"):
        open_model(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_open_model_of_other_bytes_raises(tmp_path, data):
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="not the weights of an hzc model") as caught:
        open_model(path)
    assert caught.value.path == path
    assert caught.value.hint


def test_open_model_of_a_truncated_file_raises(tmp_path, tiny_model):
    path = tmp_path / "m.safetensors"
    path.write_bytes(tiny_model.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="not the weights of an hzc model"):
        open_model(path)


@pytest.mark.parametrize("field", METADATA)
def test_open_model_without_a_field_raises(tmp_path, arrays, field):
    metadata = {key: value for key, value in METADATA.items() if key != field}
    path = write(tmp_path / "m.safetensors", arrays, metadata)
    with pytest.raises(WeightsError) as caught:
        _ = open_model(path).prior
    assert caught.value.path == path


@pytest.mark.parametrize(
    "changes",
    [
        {"model_id": "x"},
        {"model_id": None},
        {"default_step_index": [1]},
        {"config": {**METADATA["config"], "more": 1}},
        {"config": {"name": "tiny"}},
        {"config": None},
        {"prior_shifts": [1, 2, 3]},
        {"prior_shifts": None},
        {"prior_shifts": [1, 2, 3, 99]},
    ],
)
def test_open_model_with_an_impossible_field_raises(tmp_path, arrays, changes):
    path = write(tmp_path / "m.safetensors", arrays, {**METADATA, **changes})
    with pytest.raises(WeightsError) as caught:
        _ = open_model(path).prior
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_id": 0}, r"model id 0 \(expected 1 … 255\)"),
        ({"model_id": 256}, r"model id 256 \(expected 1 … 255\)"),
        ({"default_step_index": -65}, r"default step index -65 \(expected ±64\)"),
        (
            {"config": {**METADATA["config"], "stft_hop": 125}},
            r"hop length 1000 at 16000 Hz \(expected 2000\)",
        ),
        (
            {"config": {**METADATA["config"], "sample_rate_hz": 24_000}},
            r"hop length 2000 at 24000 Hz \(expected 3000\)",
        ),
    ],
)
def test_open_model_that_files_cannot_be_made_with_raises(tmp_path, arrays, changes, message):
    path = write(tmp_path / "m.safetensors", arrays, {**METADATA, **changes})
    with pytest.raises(WeightsError, match=message) as caught:
        open_model(path)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metadata", [[], None, "text", 5])
def test_open_model_with_metadata_that_is_no_object_raises(tmp_path, arrays, metadata):
    path = write(tmp_path / "m.safetensors", arrays, metadata)
    with pytest.raises(WeightsError):
        open_model(path)


def test_open_model_of_another_safetensors_file_raises(tmp_path, arrays):
    path = tmp_path / "m.safetensors"
    save_file(arrays, path)
    with pytest.raises(WeightsError, match="not the weights of an hzc model"):
        open_model(path)


@pytest.mark.parametrize("name", ["prior.w1", "prior.b3", "prior.tables"])
def test_prior_without_an_array_raises(tmp_path, arrays, name):
    del arrays[name]
    file = open_model(write(tmp_path / "m.safetensors", arrays))
    with pytest.raises(WeightsError, match="prior is incomplete"):
        _ = file.prior


@pytest.mark.parametrize("name", ["base_step", "mixture_scales", "mixture_weights"])
def test_model_without_an_array_raises(tmp_path, arrays, name):
    del arrays[name]
    file = open_model(write(tmp_path / "m.safetensors", arrays))
    with pytest.raises(WeightsError, match=f"lack {name}"):
        _ = file.base_step, file.mixtures


def test_prior_for_another_number_of_dimensions_raises(tmp_path, tiny_prior, write_tiny_model):
    path = write_tiny_model(tmp_path / "m.safetensors", tiny_prior(1, n_groups=4, group_size=4))
    with pytest.raises(WeightsError, match=r"n_latent is 16 \(expected 32\)") as caught:
        _ = open_model(path).prior
    assert caught.value.path == path


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["base_step", "mixture_scales", "mixture_weights"])
def test_array_with_a_value_that_is_not_finite_and_positive_raises(tmp_path, arrays, name, value):
    arrays[name].flat[1] = value
    file = open_model(write(tmp_path / "m.safetensors", arrays))
    with pytest.raises(WeightsError, match=f"{name} is not finite and positive") as caught:
        _ = file.base_step, file.mixtures
    assert caught.value.path == file.path


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("base_step", (31,)),
        ("base_step", (32, 1)),
        ("base_step", (1,)),
        ("mixture_scales", (5, 1)),
        ("mixture_scales", (6,)),
        ("mixture_scales", (6, 2)),
        ("mixture_weights", (7, 1)),
        ("mixture_weights", (6, 1, 1)),
    ],
)
def test_array_of_another_shape_raises(tmp_path, arrays, name, shape):
    arrays[name] = np.ones(shape, dtype=np.float32)
    file = open_model(write(tmp_path / "m.safetensors", arrays))
    with pytest.raises(WeightsError, match=r"the shape of \w+ is .* \(expected") as caught:
        _ = file.base_step, file.mixtures
    assert caught.value.path == file.path


@pytest.mark.parametrize("part", ["analysis", "synthesis"])
def test_networks_that_do_not_fit_the_config_raise(tmp_path, arrays, part):
    load = {"analysis": load_analysis, "synthesis": load_synthesis}[part]
    missing = {name: value for name, value in arrays.items() if name != f"{part}.head.bias"}
    wrong = {**arrays, f"{part}.head.bias": np.zeros(3, dtype=np.float16)}
    extra = {**arrays, f"{part}.head.more": np.zeros(3, dtype=np.float16)}
    for changed in (missing, wrong, extra):
        path = write(tmp_path / "m.safetensors", changed)
        with pytest.raises(WeightsError, match="do not fit the config") as caught:
            load(open_model(path), "cpu")
        assert caught.value.path == path


def test_arrays_of_a_file_that_vanished_raise(tmp_path, tiny_model):
    path = tmp_path / "m.safetensors"
    path.write_bytes(tiny_model.read_bytes())
    file = open_model(path)
    path.unlink()
    with pytest.raises(WeightsError, match="cannot read the weights"):
        file.arrays("prior.")
