"""From a finished run to a model that encodes and decodes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hzc
from hzc.errors import TrainingError
from hzc.train.checkpoint import load_averages
from hzc.train.data import find_audio
from hzc.train.export import Target, export, measure
from hzc.train.trainer import Trainer


@pytest.fixture
def target(tmp_path) -> Target:
    folder = tmp_path / "models"
    folder.mkdir()
    return Target(241, "mine", folder, 2.0, False, "noise")


@pytest.fixture
def recordings(corpus) -> list[Path]:
    return [Path(corpus.names[0])]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_exported_model_encodes_decodes_and_holds_the_averages(config, target, speech, finished):
    found = find_audio([str(speech)])
    spec = export(config(), finished, target, found)
    path = target.folder / "mine.safetensors"
    entries = json.loads((target.folder / "registry.json").read_text(encoding="utf-8"))
    assert entries == {"default": "mine", "models": [json.loads(json.dumps(asdict(spec)))]}
    assert (spec.model_id, spec.name, spec.file) == (241, "mine", "mine.safetensors")
    assert spec.sha256 == sha256(path.read_bytes()).hexdigest()
    assert spec.measured_on == "noise"
    codec = hzc.load(path)
    assert codec.model.prior.fingerprint == spec.fingerprint
    samples, rate_hz = soundfile.read(speech / "voice.flac", dtype="float32")
    decoded, _ = codec.decode(codec.encode(samples, rate_hz), rate_hz)
    assert decoded.shape == samples.shape
    averages = load_averages(finished, config().model).weights
    for name, array in codec.model.arrays("analysis.").items():
        assert array.dtype == np.float16
        assert np.array_equal(array, averages[f"analysis.{name}"].half().numpy())
    # The default step index is the finest under the target.
    at = measure(codec, found, codec.model.default_step_index)
    assert round(at.bitrate_kbps, 4) == spec.measured_kbps <= 2.0
    assert measure(codec, found, codec.model.default_step_index - 1).bitrate_kbps > 2.0


@pytest.mark.parametrize(("model_id", "name"), [(7, "other"), (8, "mine"), (7, "mine")])
def test_ids_and_names_in_use_are_refused(config, target, recordings, finished, model_id, name):
    registered = replace(target, model_id=7)
    export(config(), finished, registered, recordings)
    before = contents(target.folder)
    other = replace(target, model_id=model_id, name=name)
    with pytest.raises(TrainingError, match=r"id 7 belongs to model mine|mine exists already"):
        export(config(), finished, other, recordings)
    assert contents(target.folder) == before
    if other == registered:
        export(config(), finished, replace(other, replace=True), recordings)


@pytest.mark.parametrize(
    "broken", ["hzc.train.export.choose_step_index", "pathlib.Path.write_text"]
)
def test_export_that_fails_leaves_the_folder_as_it_was(
    config, target, recordings, finished, monkeypatch, broken
):
    for model_id, name in ((242, "second"), (241, "mine")):
        export(config(), finished, replace(target, model_id=model_id, name=name), recordings)
    entries = json.loads((target.folder / "registry.json").read_text(encoding="utf-8"))
    assert entries["default"] == "second"
    assert [entry["name"] for entry in entries["models"]] == ["mine", "second"]
    before = contents(target.folder)
    monkeypatch.setattr(broken, lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(config(), finished, replace(target, target_kbps=3.0), recordings)
    assert contents(target.folder) == before


def test_runs_that_cannot_be_exported_are_refused(
    tmp_path, config, target, corpus, recordings, finished
):
    with pytest.raises(TrainingError, match="no checkpoint"):
        export(config(), tmp_path / "nowhere", target, recordings)
    with pytest.raises(TrainingError, match=r"model\.n_latent was 32, is 16"):
        export(config(model={"n_latent": 16}), finished, target, recordings)
    Trainer(config(n_steps=1), tmp_path / "run", corpus).run()
    with pytest.raises(TrainingError, match="no prior in this run"):
        export(config(), tmp_path / "run", target, recordings)
    assert not contents(target.folder)


def test_synthesis_trained_alone_changes_no_bit_of_any_file(
    tmp_path, config, target, corpus, recordings, finished, sound
):
    export(config(), finished, target, recordings)
    settings = config(
        start_from=str(finished), frozen=("analysis", "prior", "log_sigma"), rounding="hard",
        optimiser={"lr": 1e-2, "ema_decay": 0.1},
    )  # fmt: skip
    run = tmp_path / "run"
    Trainer(settings, run, corpus).run()
    with np.load(finished / "prior.npz") as stored:
        np.savez(run / "prior.npz", **{**stored, "step": 4})
    later = replace(target, folder=tmp_path)
    export(settings, run, later, recordings)
    old, new = (hzc.load(folder / "mine.safetensors") for folder in (target.folder, tmp_path))
    data = new.encode(sound(20_000), 16_000)
    assert data == old.encode(sound(20_000), 16_000)
    assert np.abs(new.decode(data)[0] - old.decode(data)[0]).max() > 1e-4
