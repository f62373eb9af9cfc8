"""The synthesis stage in miniature: the adversary, the loop, and an export that moves no bit."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import hzc
from hzc.errors import TrainingError
from hzc.model.file import open_model
from hzc.train.adversary import (
    Adversary,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from hzc.train.checkpoint import load_averages
from hzc.train.config import AdversaryConfig, OptimiserConfig
from hzc.train.export import Target, export
from hzc.train.rate_distortion import RateDistortionTrainer
from hzc.train.synthesis import SynthesisTrainer

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def base(tmp_path_factory, config, finished, corpus):
    """The exported model of the miniature run."""
    folder = tmp_path_factory.mktemp("base")
    target = Target(240, "mine", folder, 5.0, False, "noise")
    export(config, finished, target, [Path(corpus.names[0])])
    return folder / "mine.safetensors"


@pytest.fixture(scope="module")
def stage(config, base):
    """The configuration of a run from that model."""
    return replace(
        config,
        stage="synthesis",
        init_from=str(base),
        n_steps=4,
        adversary=AdversaryConfig(windows=(128, 256), n_channels=4, periods=(2, 3), segment_s=0.3),
    )


def state(trainer: SynthesisTrainer) -> dict[str, torch.Tensor]:
    networks = {"model": trainer.model, "adversary": trainer.adversary}
    return {
        f"{part}.{name}": value.clone()
        for part, network in networks.items()
        for name, value in network.state_dict().items()
    }


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert set(before) == set(after)
    return {name for name in before if not torch.equal(before[name], after[name])}


# --- the adversary --------------------------------------------------------------------------


def test_adversary_hears_only_the_windows_it_is_asked_for(stage):
    adversary = Adversary(stage.adversary)
    x = torch.randn(2, 4_800)
    assert len(adversary(x, [128])) == 3
    assert len(adversary(x, [128, 256])) == 4
    assert len(Adversary(AdversaryConfig(windows=()))(x, [])) == 0
    for stack in adversary(x, [256]):
        assert stack[-1].shape[:2] == (2, 1)
        assert len(stack) == 6


def test_adversary_sees_phase_and_samples_not_magnitudes_alone(stage):
    torch.manual_seed(0)
    adversary = Adversary(stage.adversary)
    x = torch.randn(1, 4_800)
    for one, two in zip(adversary(x, [128, 256]), adversary(-x, [128, 256]), strict=True):
        assert not torch.allclose(one[-1], two[-1], atol=1e-6)


def test_adversary_reaches_every_weight_of_its_own_and_every_sample(stage):
    adversary = Adversary(stage.adversary)
    x = torch.randn(1, 4_802, requires_grad=True)
    adversarial_loss(adversary(x, [128, 256])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in adversary.parameters())
    assert (x.grad[0, 200:-200] != 0).float().mean() > 0.99


def test_spectra_of_silence_have_a_finite_gradient(stage):
    x = torch.zeros(1, 4_800, requires_grad=True)
    adversarial_loss(Adversary(stage.adversary)(x, [128, 256])).backward()
    assert x.grad.isfinite().all()


def verdicts(*values: float) -> list[list[torch.Tensor]]:
    return [[torch.full((1, 4), 2.0 * v), torch.full((1, 1), v)] for v in values]


def test_discriminator_loss_is_the_hinge():
    assert discriminator_loss(verdicts(1.0), verdicts(-1.0)).item() == 0.0
    assert discriminator_loss(verdicts(2.0, 0.5), verdicts(-3.0, 1.0)).item() == pytest.approx(1.25)


def test_adversarial_loss_falls_as_the_verdict_rises():
    assert adversarial_loss(verdicts(0.5, 1.5)).item() == pytest.approx(-1.0)


def test_feature_loss_is_relative_and_leaves_the_verdict_out():
    assert feature_loss(verdicts(3.0), verdicts(3.0)).item() == 0.0
    one = feature_loss(verdicts(3.0), verdicts(1.5)).item()
    assert one == pytest.approx(0.5, rel=1e-3)
    assert feature_loss(verdicts(300.0), verdicts(150.0)).item() == pytest.approx(one, rel=1e-3)


def test_discriminator_learns_to_tell_noise_from_tones(stage):
    torch.manual_seed(0)
    adversary = Adversary(stage.adversary)
    optimiser = torch.optim.AdamW(adversary.parameters(), 2e-3)
    tone = 0.1 * torch.sin(torch.arange(4_800) * torch.tensor([[0.1], [0.2]]))
    noise = 0.07 * torch.randn(2, 4_800)
    losses = []
    for _ in range(20):
        loss = discriminator_loss(adversary(tone, [128, 256]), adversary(noise, [128, 256]))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# --- the loop -------------------------------------------------------------------------------


def test_train_step_moves_the_synthesis_and_the_adversary_and_nothing_else(tmp_path, stage, corpus):
    config = replace(stage, adversary=replace(stage.adversary, windows_per_step=2))
    trainer = SynthesisTrainer(config, tmp_path, corpus)
    before = state(trainer)
    row = trainer.train_step()
    assert all(math.isfinite(value) for value in row.values())
    names = changed(before, state(trainer))
    assert not {n for n in names if not n.startswith(("model.synthesis.", "adversary."))}
    assert {n for n in before if n.startswith("model.synthesis.")} <= names
    # The bias of a verdict stays: recordings pull it up as much as reconstructions pull it down.
    verdict_bias = re.compile(r"adversary\..*\.layers\.5\.bias")
    judging = {n for n in before if n.startswith("adversary.") and not verdict_bias.match(n)}
    assert judging <= names
    frozen = {n: v for n, v in trainer.ema.state_dict().items() if not n.startswith("synthesis.")}
    assert all(torch.equal(v, before[f"model.{n}"]) for n, v in frozen.items())


def test_train_step_with_one_window_leaves_the_other_discriminator_alone(tmp_path, stage, corpus):
    trainer = SynthesisTrainer(stage, tmp_path, corpus)
    before = state(trainer)
    trainer.train_step()
    moved = {n.split(".")[2] for n in changed(before, state(trainer)) if ".spectra." in n}
    assert len(moved) == 1


def test_train_step_without_discriminators_follows_the_distortion_alone(tmp_path, stage, corpus):
    config = replace(stage, adversary=AdversaryConfig(windows=(), distance_weight=3.0))
    trainer = SynthesisTrainer(config, tmp_path, corpus)
    row = trainer.train_step()
    assert row["loss"] == pytest.approx(3.0 * row["distortion"])
    assert row["adversarial"] == row["features"] == row["discriminator"] == 0.0


def test_train_step_with_repulsion_drives_draws_of_the_noise_apart(tmp_path, stage, corpus):
    optimiser = OptimiserConfig(lr=2e-2, warmup_steps=1, decay_steps=1)
    spreads = {}
    for repulsion in (0.01, 1.0):
        adversary = AdversaryConfig(windows=(), repulsion=repulsion)
        config = replace(
            stage, n_steps=100, optimiser=optimiser, adversary=adversary,
            init_fresh=("synthesis.noise_head",),
        )  # fmt: skip
        trainer = SynthesisTrainer(config, tmp_path / str(repulsion), corpus)
        rows = [trainer.train_step() for _ in range(30)]
        assert rows[0]["spread"] > 0.0
        row = rows[-1]
        expected = 15.0 * (row["distortion"] - repulsion * row["spread"])
        assert row["loss"] == pytest.approx(expected, rel=1e-4)
        spreads[repulsion] = row["spread"]
    assert spreads[1.0] > 1.3 * spreads[0.01], spreads


def test_train_step_on_one_repeated_batch_lowers_distortion_and_features(tmp_path, stage, corpus):
    optimiser = OptimiserConfig(lr=2e-3, warmup_steps=1, decay_steps=1)
    judges = replace(stage.adversary, windows_per_step=2, optimiser=optimiser)
    config = replace(stage, n_steps=100, optimiser=optimiser, adversary=judges)
    trainer = SynthesisTrainer(config, tmp_path, corpus)
    batch = trainer.crops.batch()
    trainer.crops.batch = lambda: batch
    rows = [trainer.train_step() for _ in range(12)]
    assert rows[-1]["distortion"] < 0.97 * rows[0]["distortion"]
    assert rows[-1]["discriminator"] < rows[0]["discriminator"]


def test_latent_is_what_the_decoder_of_the_exported_model_gets(tmp_path, stage, base, corpus):
    trainer = SynthesisTrainer(stage, tmp_path, corpus)
    file = open_model(base)
    x = trainer.batch()
    y_hat = trainer.model.latent(x, torch.tensor([0.0, 8.0])).numpy()
    for i, factor in enumerate((1.0, 2.0)):
        symbols = y_hat[i] / (file.base_step * factor)[:, None]
        assert np.abs(symbols - np.rint(symbols)).max() < 1e-4
        assert np.abs(symbols).max() >= 1


def test_step_indexes_are_mostly_the_default_and_stay_in_their_range(tmp_path, stage, corpus):
    prior = replace(stage.prior, default_share=0.7, default_step_index=3, step_index_range=(-8, 8))
    drawn = SynthesisTrainer(replace(stage, prior=prior), tmp_path, corpus)._step_indexes(2_000)
    assert set(drawn.tolist()) == set(range(-8, 9))
    assert (drawn == 3).float().mean().item() == pytest.approx(0.7 + 0.3 / 17, abs=0.05)


def test_run_resumed_from_a_checkpoint_equals_one_that_never_stopped(tmp_path, stage, corpus):
    straight = SynthesisTrainer(stage, tmp_path / "straight", corpus)
    straight.run()
    first = SynthesisTrainer(stage, tmp_path / "halves", corpus)
    first.train_step()
    first.train_step()
    first.save()
    torch.manual_seed(99)
    second = SynthesisTrainer(stage, tmp_path / "halves", corpus)
    assert second.step == 2
    second.run()
    assert not changed(state(straight), state(second))
    averages = (straight.ema.state_dict(), second.ema.state_dict())
    assert not changed(*averages)


def test_run_logs_both_sides(tmp_path, stage, corpus):
    config = replace(stage, n_steps=20, data=replace(stage.data, crop_s=0.5, batch_size=1))
    SynthesisTrainer(config, tmp_path, corpus).run()
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == [
        "step", "train_s", "audio_h", "loss", "distortion", "spread", "adversarial", "features",
        "discriminator", "grad_norm", "lr",
    ]  # fmt: skip


def test_stages_do_not_take_each_others_runs(tmp_path, config, stage, corpus, finished):
    (tmp_path / "a").mkdir()
    checkpoint = (finished / "checkpoint.pt").read_bytes()
    (tmp_path / "a" / "checkpoint.pt").write_bytes(checkpoint)
    with pytest.raises(TrainingError, match="stage was 'rate-distortion', is 'synthesis'"):
        SynthesisTrainer(stage, tmp_path / "a", corpus)
    SynthesisTrainer(replace(stage, n_steps=1), tmp_path / "b", corpus).run()
    with pytest.raises(TrainingError, match="stage was 'synthesis', is 'rate-distortion'"):
        RateDistortionTrainer(config, tmp_path / "b", corpus)
    with pytest.raises(TrainingError, match="stage was 'synthesis', is 'rate-distortion'"):
        load_averages(tmp_path / "b", config)


def test_run_starts_from_a_model_without_a_part_where_that_may_start_fresh(
    tmp_path, stage, base, corpus
):
    weights = load_file(base)
    older = tmp_path / "older.safetensors"
    del weights["synthesis.noise_head.weight"]
    with safe_open(base, "np") as file:
        save_file(weights, older, file.metadata())
    config = replace(stage, init_from=str(older))
    with pytest.raises(TrainingError, match=r"synthesis\.noise_head\.weight for one"):
        SynthesisTrainer(config, tmp_path / "refused", corpus)
    config = replace(config, init_fresh=("synthesis.noise_head",))
    trainer = SynthesisTrainer(config, tmp_path / "run", corpus)
    assert trainer.fresh_parts == ("synthesis.noise_head",)
    assert not trainer.model.synthesis.noise_head.weight.any()
    head = torch.from_numpy(weights["synthesis.head.weight"]).float()
    assert torch.equal(trainer.model.synthesis.head.weight, head)


def test_run_starts_with_the_discriminators_of_another(tmp_path, stage, corpus):
    first = SynthesisTrainer(replace(stage, n_steps=1), tmp_path / "first", corpus)
    first.run()
    adversary = replace(stage.adversary, init_from=str(first.checkpoint_path))
    config = replace(stage, seed=5, adversary=adversary)
    second = SynthesisTrainer(config, tmp_path / "second", corpus)
    judges = {n for n in state(second) if n.startswith("adversary.")}
    assert not judges & changed(state(first), state(second))
    for part, other in (("adversary", replace(adversary, n_channels=5)), ("run", adversary)):
        if part == "run":
            without = torch.load(first.checkpoint_path, weights_only=True)
            del without["adversary"]
            torch.save(without, first.checkpoint_path)
        with pytest.raises(TrainingError, match="do not fit the model") as caught:
            SynthesisTrainer(replace(config, adversary=other), tmp_path / part, corpus)
        assert caught.value.path == first.checkpoint_path


@pytest.mark.parametrize("init_from", [None, "runs/base-rd/checkpoint.pt"])
def test_configuration_of_a_synthesis_run_from_no_exported_model_is_refused(stage, init_from):
    with pytest.raises(TrainingError, match="the synthesis stage cannot start from"):
        replace(stage, init_from=init_from)


def test_configuration_of_a_stage_that_is_not_known_is_refused(stage):
    with pytest.raises(TrainingError, match="unknown stage 'prior'"):
        replace(stage, stage="prior")


# --- the export -----------------------------------------------------------------------------


def test_export_changes_the_sound_and_no_bit_of_any_file(tmp_path, stage, base, corpus, sound):
    optimiser = OptimiserConfig(lr=1e-2, warmup_steps=1, decay_steps=1, ema_decay=0.1)
    run = tmp_path / "run"
    SynthesisTrainer(replace(stage, n_steps=3, optimiser=optimiser), run, corpus).run()
    target = Target(240, "mine", tmp_path, 5.0, False, "noise")
    export(stage, run, target, [Path(corpus.names[0])])
    old, new = hzc.load(base), hzc.load(tmp_path / "mine.safetensors")
    assert new.model.prior.fingerprint == old.model.prior.fingerprint
    assert new.model.default_step_index == old.model.default_step_index
    x = sound(20_000)
    data = new.encode(x, RATE_HZ)
    assert data == old.encode(x, RATE_HZ)
    assert np.abs(new.decode(data)[0] - old.decode(data)[0]).max() > 1e-4


def test_export_after_the_model_it_started_from_was_replaced_raises(
    tmp_path, config, stage, corpus, finished
):
    target = Target(240, "mine", tmp_path, 5.0, True, "noise")
    recordings = [Path(corpus.names[0])]
    export(config, finished, target, recordings)
    path = tmp_path / "mine.safetensors"
    stage = replace(stage, n_steps=1, init_from=str(path))
    SynthesisTrainer(stage, tmp_path / "run", corpus).run()
    other = replace(config, n_steps=4)
    RateDistortionTrainer(other, tmp_path / "other", corpus).run()
    with np.load(finished / "prior.npz") as stored:
        np.savez(tmp_path / "other" / "prior.npz", **{**stored, "step": 4})
    export(other, tmp_path / "other", target, recordings)
    with pytest.raises(TrainingError, match="is not what this run was started with") as caught:
        export(stage, tmp_path / "run", replace(target, folder=tmp_path / "run"), recordings)
    assert caught.value.path == path
