"""The list of shipped models."""

from __future__ import annotations

import re
from datetime import date

import pytest

from hzc.errors import WeightsError
from hzc.model import registry


def test_shipped_models_are_distinct_public_and_found_by_name_and_id():
    specs = registry.models()
    assert registry.default_name() in [spec.name for spec in specs]
    for name in ("model_id", "name", "file", "sha256"):
        assert len({getattr(spec, name) for spec in specs}) == len(specs)
    for spec in specs:
        assert registry.find_name(spec.name) is registry.find_id(spec.model_id) is spec
        assert spec.model_id in range(1, 240)
        assert re.fullmatch(r"[a-z][a-z0-9-]*", spec.name)
        date.fromisoformat(spec.date)


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"default": "a", "models": [{}]}', "\0"])
def test_missing_or_damaged_list_raises_weights_error(tmp_path, monkeypatch, text):
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    registry._registry.cache_clear()
    if text is not None:
        (tmp_path / "registry.json").write_text(text, encoding="utf-8")
    try:
        with pytest.raises(WeightsError, match="cannot read the package's list") as caught:
            registry.models()
    finally:
        registry._registry.cache_clear()
    assert caught.value.hint == "reinstall hzc"
