"""The training loop: a run stops, goes on, starts from others, and refuses what does not fit."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hzc.coding.quantize import STEP_INDEXES_PER_OCTAVE
from hzc.errors import TrainingError
from hzc.train.checkpoint import load_averages, load_checkpoint
from hzc.train.config import OptimiserConfig, merged
from hzc.train.export import Target, export
from hzc.train.model import CodecModel
from hzc.train.optimiser import learning_rate_factor
from hzc.train.trainer import Trainer


def tensors(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Return copies of the weights, the averages and the discriminators."""
    networks = {"model": trainer.model, "ema": trainer.averages.module}
    if trainer.opponent:
        networks["opponent"] = trainer.opponent.networks
    return {
        f"{part}.{name}": value.clone()
        for part, network in networks.items()
        for name, value in network.state_dict().items()
    }


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert set(before) == set(after)
    return {name for name in before if not torch.equal(before[name], after[name])}


# --- the model ------------------------------------------------------------------------------


def test_quantiser_adds_even_noise_or_rounds_and_passes_the_gradient(config):
    scaled = torch.linspace(-3, 3, 10_000).requires_grad_()
    noisy = CodecModel(config()).quantised(scaled) - scaled
    assert noisy.abs().max() <= 0.5
    assert noisy.var().item() == pytest.approx(1 / 12, rel=0.05)
    rounded = CodecModel(config(rounding="hard")).quantised(scaled)
    assert torch.equal(rounded, scaled.round())
    rounded.sum().backward()
    assert (scaled.grad == 1).all()


def test_step_doubles_with_every_octave_of_the_index(config):
    model = CodecModel(config())
    step = model.step(torch.tensor([0.0, float(STEP_INDEXES_PER_OCTAVE), -5.0]))
    base = model.log_sigma.exp() * math.sqrt(12)
    assert torch.allclose(step, torch.stack([base, 2 * base, 2 ** (-5 / 8) * base]))


# --- steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("with_adversary", [False, True])
def test_steps_on_one_repeated_batch_lower_the_distortion(
    tmp_path, config, corpus, adversary, with_adversary
):
    extra = {"adversary": adversary} if with_adversary else {}
    trainer = Trainer(config(n_steps=100, **extra), tmp_path, corpus)
    batch = trainer.crops.batch()
    trainer.crops.batch = lambda: batch
    rows = [trainer.train_step() for _ in range(12)]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert rows[-1]["distortion"] < 0.97 * rows[0]["distortion"]
    assert [row["step"] for row in rows] == list(range(1, 13))


@pytest.mark.parametrize("repulsion", [0.0, 0.5])
def test_loss_is_distortion_less_spread_and_bits_weighed_by_the_step(
    tmp_path, config, corpus, repulsion
):
    rate = {"step_index_range": (8, 8), "lmbda": 1e-3}
    settings = config(rate=rate, distortion={"repulsion": repulsion})
    row = Trainer(settings, tmp_path, corpus).train_step()
    expected = row["distortion"] - repulsion * row["spread"] + 2e-3 * row["bits_per_frame"]
    assert row["loss"] == pytest.approx(expected, rel=1e-5)
    assert (row["spread"] > 0) == (repulsion > 0)


def test_gradients_of_the_prior_do_not_depend_on_how_much_bits_weigh(tmp_path, config, corpus):
    found = []
    for name, extra in (("light", {"rate": {"lmbda": 1e-6}}), ("usual", {})):
        settings = config(rounding="hard", optimiser={"clip_norm": 1e9}, **extra)
        trainer = Trainer(settings, tmp_path / name, corpus)
        trainer.optimiser.step = lambda factor: None
        trainer.train_step()
        found.append(trainer.model.prior.w3.grad)
    assert torch.allclose(*found, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("frozen", [(), ("analysis", "prior", "log_sigma")])
def test_frozen_parts_and_their_averages_stay_and_all_others_move(
    tmp_path, config, corpus, adversary, frozen
):
    trainer = Trainer(config(frozen=frozen, adversary=adversary), tmp_path, corpus)
    before = tensors(trainer)
    for _ in range(2):
        trainer.train_step()
    moved = changed(before, tensors(trainer))
    of_model = {n for n in before if not n.startswith("opponent.")}
    assert moved & of_model == {n for n in of_model if n.split(".")[1] not in frozen}
    assert {n.split(".")[1] for n in moved - of_model} == {"spectra", "periods"}


def test_gradient_that_is_not_finite_ends_the_run(tmp_path, config, corpus):
    trainer = Trainer(config(), tmp_path, corpus)
    with torch.no_grad():
        trainer.model.synthesis.head.bias.fill_(math.nan)
    with pytest.raises(TrainingError, match="not finite at step 0"):
        trainer.run()
    assert not trainer.checkpoint_path.exists()


# --- stop and go on -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [{}, {"optimiser": {"name": "adamw"}, "precision": "auto"}, {"rounding": "hard"}, None],
    ids=["muon", "adamw", "hard", "adversary"],
)
def test_resumed_run_equals_one_that_never_stopped(tmp_path, config, corpus, adversary, extra):
    settings = config(**({"adversary": adversary} if extra is None else extra))
    straight = Trainer(settings, tmp_path / "straight", corpus)
    start = tensors(straight)
    straight.run()
    first = Trainer(settings, tmp_path / "halves", corpus)
    first.train_step()
    first.train_step()
    first.save()
    torch.manual_seed(99)
    second = Trainer(settings, tmp_path / "halves", corpus)
    assert second.step == 2
    second.run()
    assert second.step == straight.step == 4
    assert not changed(tensors(second), tensors(straight))
    assert changed(start, tensors(straight))
    assert second.crops.rng.bit_generator.state == straight.crops.rng.bit_generator.state


def test_finished_run_can_be_lengthened_with_other_rates(tmp_path, config, corpus):
    first = Trainer(config(n_steps=2), tmp_path, corpus)
    first.run()
    again = Trainer(config(n_steps=2), tmp_path, corpus)
    again.run()
    assert not changed(tensors(first), tensors(again))
    longer = Trainer(config(optimiser={"lr": 1e-4, "weight_decay": 0.5}), tmp_path, corpus)
    weight_decays = [group["weight_decay"] for group in longer.optimiser.parts[0].param_groups]
    assert weight_decays == [0.5, 0.0]
    longer.run()
    assert longer.step == 4
    assert all(state["step"] == 4 for state in longer.optimiser.parts[0].state.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_run_after_a_step_with_a_checkpoint(
    tmp_path, config, corpus, monkeypatch, number
):
    class Ended(Exception):
        pass

    def end(*_):
        raise Ended

    def interrupted(trainer: Trainer, step=Trainer.train_step):
        signal.raise_signal(number)
        return step(trainer)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    before = signal.signal(number, end)
    try:
        with pytest.raises(Ended):
            Trainer(config(), tmp_path, corpus).run()
        assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1
        signal.signal(number, signal.SIG_IGN)  # as under nohup
        Trainer(config(), tmp_path, corpus).run()
        assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 4
    finally:
        signal.signal(number, before)


def test_checkpoints_are_written_wholly_or_not_at_all(tmp_path, config, corpus, monkeypatch):
    trainer = Trainer(config(checkpoint_every_s=0.0), tmp_path, corpus)
    trainer.train_step()
    trainer.save()
    before = trainer.checkpoint_path.read_bytes()
    monkeypatch.setattr(torch, "save", lambda state, path: (Path(path).touch(), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        trainer.run()
    assert trainer.checkpoint_path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_log_has_every_twentieth_step_and_forgets_what_came_after_a_checkpoint(
    tmp_path, config, corpus
):
    settings = config(n_steps=40, data={"crop_s": 0.25, "batch_size": 1})
    Trainer(settings, tmp_path, corpus).run()
    log, checkpoint = tmp_path / "log.csv", tmp_path / "checkpoint.pt"
    rows = list(csv.DictReader(log.read_text("utf-8").splitlines()))
    assert {"step", "train_s", "audio_h", "loss", "distortion", "bits_per_frame"} < rows[0].keys()
    assert [int(row["step"]) for row in rows] == [20, 40]
    assert float(rows[1]["audio_h"]) == pytest.approx(40 * 0.25 / 3600, rel=1e-4)
    torch.save({**load_checkpoint(checkpoint), "step": 30}, checkpoint)
    Trainer(settings, tmp_path, corpus)
    lines = log.read_text("utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "20"]


def test_checkpoints_of_other_settings_are_refused_and_left_alone(
    tmp_path, config, corpus, finished, adversary
):
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes((finished / "checkpoint.pt").read_bytes())
    for changes, message in (
        ({"model": {"n_latent": 16}}, "weights do not fit the model"),
        ({"prior": {"hidden": 8}}, r"weights do not fit the model, prior\."),
        ({"optimiser": {"name": "adamw"}}, "optimiser does not fit"),
        ({"frozen": ("analysis",)}, "optimiser does not fit"),
        ({"adversary": adversary}, "differ in: opponent"),
    ):
        with pytest.raises(TrainingError, match=message) as caught:
            Trainer(config(**changes), tmp_path, corpus)
        assert caught.value.path == checkpoint
        assert "another run folder" in caught.value.hint
    assert checkpoint.read_bytes() == (finished / "checkpoint.pt").read_bytes()


@pytest.mark.parametrize("state", [{"model": {}}, [1, 2], None])
def test_files_that_are_no_checkpoints_are_refused_in_one_line(tmp_path, config, corpus, state):
    torch.save(state, tmp_path / "checkpoint.pt")
    if state is None:
        (tmp_path / "checkpoint.pt").write_bytes(b"text")
    with pytest.raises(TrainingError, match="not a checkpoint") as caught:
        Trainer(config(), tmp_path, corpus)
    assert "\n" not in str(caught.value)


# --- starting from others -------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["run", "run with another prior", "exported model"])
def test_run_starts_with_the_averages_of_another(tmp_path, config, corpus, finished, capfd, origin):
    start = finished
    if origin == "exported model":
        start = tmp_path / "mine.safetensors"
        target = Target(240, "mine", tmp_path, 5.0, False, "noise")
        export(config(), finished, target, [Path(corpus.names[0])])
    prior = {"hidden": 8} if origin == "run with another prior" else {}
    settings = config(start_from=str(start), prior=prior)
    trainer = Trainer(settings, tmp_path / "run", corpus)
    for name, value in load_averages(finished, settings.model).weights.items():
        if origin == "run" or not name.startswith("prior."):
            for network in (trainer.model, trainer.averages.module):
                found = network.state_dict()[name]
                assert torch.allclose(found, value, rtol=1e-3 * (start != finished), atol=1e-6)
    assert ("a fresh one" in capfd.readouterr().err) == (origin != "run")
    assert trainer.train_step()["step"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_from": "nowhere"}, "nowhere.checkpoint.pt: no checkpoint"),
        ({"start_from": "RUN", "model": {"n_latent": 16}}, "model.n_latent was 32, is 16"),
        ({"device": "cup"}, "no device 'cup'"),
        ({"device": "cuda:99"}, "no device 'cuda:99'"),
    ],
)
def test_impossible_starts_are_refused(tmp_path, config, corpus, finished, changes, message):
    changes = {k: str(finished) if v == "RUN" else v for k, v in changes.items()}
    with pytest.raises(TrainingError, match=message):
        Trainer(config(**changes), tmp_path / "run", corpus)


# --- schedule, averages, optimisers ---------------------------------------------------------


def test_learning_rate_warms_up_holds_and_decays_to_zero():
    config = OptimiserConfig(warmup_steps=4, decay_steps=5)
    factors = [learning_rate_factor(config, step, 20) for step in range(21)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[14:] == pytest.approx([1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0])


# --- several processes ----------------------------------------------------------------------

SHARED = {"n_steps": 3, "data": {"batch_size": 4}}
ROWS = """
import json, sys
from pathlib import Path
from hzc.train import processes
from hzc.train.config import TrainConfig
from hzc.train.data import load_corpus
from hzc.train.trainer import Trainer
speech, *settings = sys.argv[1:]
with processes.joined("cpu"):
    for name in settings:
        config = TrainConfig.model_validate_json(Path(name).read_text())
        trainer = Trainer(config, Path(name).with_suffix(""), load_corpus([speech], 16_000))
        rows = [trainer.train_step() for _ in range(3)]
        trainer.save()
        if processes.rank() == 0:
            Path(name).with_suffix(".rows").write_text(json.dumps(rows))
"""


def test_two_processes_learn_what_one_does_with_the_whole_batch(
    tmp_path, config, speech, corpus, adversary
):
    """The same losses at every step, which follow from the weights of the step before."""
    changes = {
        "adamw": {},
        "muon": {"optimiser": {"name": "muon"}},
        "gan": {"adversary": adversary},
    }
    (tmp_path / "run.py").write_text(ROWS)
    expected, names = {}, []
    for name, change in changes.items():
        settings = config(rounding="hard", precision="fp32", **merged(SHARED, change))
        (tmp_path / f"{name}.json").write_text(settings.model_dump_json())
        names.append(f"{name}.json")
        trainer = Trainer(settings, tmp_path / "one" / name, corpus)
        expected[name] = [trainer.train_step() for _ in range(3)]
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "run.py"]
    subprocess.run([*words, str(speech), *names], cwd=tmp_path, check=True)
    for name, rows in expected.items():
        # The feature loss is a ratio of means over a batch.
        rel, near = (0.1, 0.05) if name == "gan" else (2e-3, 1e-4)
        for row, found in zip(
            rows, json.loads((tmp_path / f"{name}.rows").read_text()), strict=True
        ):
            assert found == pytest.approx({**row, "train_s": 0.0}, rel=rel, abs=near), name
        assert (tmp_path / name / "checkpoint.pt").exists()
