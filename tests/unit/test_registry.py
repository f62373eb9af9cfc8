"""The list of shipped models: ids, names, refusals."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path

import pytest

from hzc.errors import UnknownModelError, WeightsError
from hzc.model import registry
from hzc.model.registry import PRIVATE_IDS, ModelSpec

ENTRY = {
    "model_id": 7, "name": "seven", "file": "seven.safetensors", "sha256": "0" * 64,
    "fingerprint": 12, "n_latent": 32, "n_parameters": {"analysis": 1, "synthesis": 2, "prior": 3},
    "measured_kbps": 0.97, "measured_on": "dev", "date": "2026-01-31",
}  # fmt: skip


@pytest.fixture
def clear():
    """Forget what was read, before and after."""

    def forget() -> None:
        registry._registry.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def folder(tmp_path, monkeypatch, clear):
    """A weights folder of its own; write `registry.json` into it."""
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    return tmp_path


def write(folder: Path, *entries: dict[str, object], default: str = "seven") -> None:
    text = json.dumps({"default": default, "models": list(entries)})
    (folder / "registry.json").write_text(text, encoding="utf-8")


# --- what ships -----------------------------------------------------------------------------


def test_shipped_models_have_ids_names_and_files_of_their_own():
    specs = registry.models()
    assert specs
    for name in ("model_id", "name", "file", "sha256"):
        values = [getattr(spec, name) for spec in specs]
        assert len(set(values)) == len(values)


def test_shipped_models_have_public_ids():
    ids = [spec.model_id for spec in registry.models()]
    assert all(1 <= i <= 255 for i in ids)
    assert not set(ids) & set(PRIVATE_IDS)
    assert ids == sorted(ids)


def test_shipped_models_have_plausible_figures():
    for spec in registry.models():
        assert re.fullmatch(r"[0-9a-f]{64}", spec.sha256)
        assert re.fullmatch(r"[a-z][a-z0-9-]*", spec.name)
        assert spec.file == f"{spec.name}.safetensors"
        assert 0 <= spec.fingerprint <= 0xFFFF
        assert 1 <= spec.n_latent <= 255
        assert set(spec.n_parameters) == {"analysis", "synthesis", "prior"}
        assert min(spec.n_parameters.values()) > 0
        assert 0 < spec.measured_kbps < 10
        assert spec.measured_on
        date.fromisoformat(spec.date)


def test_default_model_is_one_that_ships():
    assert registry.find_name(registry.default_name()).name == registry.default_name()


def test_shipped_entries_hold_the_fields_of_a_spec_and_no_others():
    stored = json.loads((registry.WEIGHTS / "registry.json").read_text(encoding="utf-8"))
    assert set(stored) == {"default", "models"}
    for entry in stored["models"]:
        assert set(entry) == {field.name for field in fields(ModelSpec)}


# --- look-ups -------------------------------------------------------------------------------


def test_find_by_name_and_by_id_give_the_same_model():
    for spec in registry.models():
        assert registry.find_name(spec.name) is spec
        assert registry.find_id(spec.model_id) is spec


def test_find_name_of_an_unknown_model_names_the_known_ones():
    with pytest.raises(UnknownModelError, match="unknown model 'nonesuch'") as caught:
        registry.find_name("nonesuch")
    for spec in registry.models():
        assert spec.name in caught.value.hint


@pytest.mark.parametrize("model_id", [0, 200, 239, 256])
def test_find_id_of_a_later_model_asks_for_an_update(model_id):
    with pytest.raises(UnknownModelError, match=f"needs model {model_id}") as caught:
        registry.find_id(model_id)
    assert caught.value.hint == "update hzc"


@pytest.mark.parametrize("model_id", [240, 255])
def test_find_id_of_a_private_model_asks_for_its_file(model_id):
    with pytest.raises(UnknownModelError) as caught:
        registry.find_id(model_id)
    assert "--model" in caught.value.hint


def test_models_in_any_order_come_sorted_by_id(folder):
    write(folder, ENTRY, {**ENTRY, "model_id": 2, "name": "two"})
    assert [spec.model_id for spec in registry.models()] == [2, 7]
    assert registry.find_id(7).path == folder / "seven.safetensors"


def test_models_round_trip_through_their_entries(folder):
    write(folder, ENTRY)
    assert asdict(registry.find_name("seven")) == ENTRY
    assert registry.default_name() == "seven"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "look_up", [registry.models, registry.default_name, lambda: registry.find_id(1)]
)
def test_missing_list_raises_weights_error(look_up):
    with pytest.raises(WeightsError, match="cannot read the package's list of models") as caught:
        look_up()
    assert caught.value.hint == "reinstall hzc"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"default": "a"}', '{"default": "a", "models": [{}]}', "\0"]
)
def test_damaged_list_raises_weights_error(folder, text):
    (folder / "registry.json").write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match="cannot read the package's list of models"):
        registry.models()
