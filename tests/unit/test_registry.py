"""The list of shipped models: ids, names, refusals."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import date

import pytest

from hzc.errors import UnknownModelError, WeightsError
from hzc.model import registry

ENTRY = {
    "model_id": 7, "name": "seven", "file": "seven.safetensors", "sha256": "0" * 64,
    "fingerprint": 12, "n_latent": 32, "n_parameters": {"analysis": 1, "synthesis": 2, "prior": 3},
    "measured_kbps": 0.97, "measured_on": "dev", "date": "2026-01-31",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A weights folder of its own; write `registry.json` into it."""
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    registry._registry.cache_clear()
    yield tmp_path
    registry._registry.cache_clear()


def test_shipped_models_are_distinct_public_and_found_by_name_and_id():
    specs = registry.models()
    assert registry.default_name() in [spec.name for spec in specs]
    for name in ("model_id", "name", "file", "sha256"):
        assert len({getattr(spec, name) for spec in specs}) == len(specs)
    for spec in specs:
        assert registry.find_name(spec.name) is registry.find_id(spec.model_id) is spec
        assert spec.model_id in range(1, 240)
        assert re.fullmatch(r"[0-9a-f]{64}", spec.sha256)
        assert re.fullmatch(r"[a-z][a-z0-9-]*", spec.name)
        assert set(spec.n_parameters) == {"analysis", "synthesis", "prior"}
        assert 0 < spec.measured_kbps < 10
        date.fromisoformat(spec.date)


def test_find_name_of_an_unknown_model_names_the_known_ones():
    with pytest.raises(UnknownModelError, match="unknown model 'nonesuch'") as caught:
        registry.find_name("nonesuch")
    assert all(spec.name in caught.value.hint for spec in registry.models())


@pytest.mark.parametrize("model_id", [0, 239, 240, 255, 256])
def test_find_id_of_a_model_that_is_not_listed_says_where_it_may_be(model_id):
    with pytest.raises(UnknownModelError, match=f"needs model {model_id}") as caught:
        registry.find_id(model_id)
    assert ("--model" if model_id in (240, 255) else "update hzc") in caught.value.hint


def test_models_come_sorted_by_id_and_round_trip_through_their_entries(folder):
    entries = {"default": "seven", "models": [ENTRY, {**ENTRY, "model_id": 2, "name": "two"}]}
    (folder / "registry.json").write_text(json.dumps(entries), encoding="utf-8")
    assert [spec.model_id for spec in registry.models()] == [2, 7]
    assert asdict(registry.find_name("seven")) == ENTRY
    assert registry.find_id(7).path == folder / "seven.safetensors"


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"default": "a", "models": [{}]}', "\0"])
def test_missing_or_damaged_list_raises_weights_error(folder, text):
    if text is not None:
        (folder / "registry.json").write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match="cannot read the package's list") as caught:
        registry.models()
    assert caught.value.hint == "reinstall hzc"
