"""Training in miniature: the loop, its parts, the prior, the export."""

from __future__ import annotations

import csv
import json
import math
import os
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hzc
from hzc import cli, container
from hzc.coding.prior import MEAN_FRACTIONS, TABLE_SUM, Prior
from hzc.errors import TrainingError
from hzc.train import prior_fit, prior_tables
from hzc.train.checkpoint import load_averages, load_checkpoint
from hzc.train.config import (
    DataConfig,
    OptimiserConfig,
    PriorConfig,
    RateConfig,
    TrainConfig,
)
from hzc.train.control import RateController
from hzc.train.data import Corpus, Crops, find_audio, load_corpus, pause_factor
from hzc.train.ema import Ema
from hzc.train.export import (
    PRIOR_FILE,
    Target,
    choose_step_index,
    export,
    load_prior,
    measure,
    save_prior,
)
from hzc.train.loop import is_hidden
from hzc.train.losses import SpectralDistance, mel_filters
from hzc.train.optimiser import Optimiser, learning_rate_factor
from hzc.train.prior_data import base_step, collect
from hzc.train.prior_fit import FittedPrior, FrameSampler
from hzc.train.prior_network import ContextNetwork, gaussian_kl_bits
from hzc.train.rate_distortion import RateDistortionTrainer as Trainer

RATE_HZ = 16_000
COLUMNS = [
    "step", "train_s", "audio_h", "loss", "distortion", "bits_per_frame", "lmbda", "grad_norm",
    "lr",
]  # fmt: skip


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(two) and all(torch.equal(one[k], two[k]) for k in one)


# --- data -----------------------------------------------------------------------------------


def test_load_corpus_brings_every_file_to_mono_at_the_rate(corpus):
    assert [Path(name).name for name in corpus.names] == [
        "sine.wav", "noise0.wav", "noise1.wav", "noise2.wav", "voice.flac",
    ]  # fmt: skip
    assert np.diff(corpus.starts).tolist() == [24_000, 24_000, 24_500, 25_000, 40_000]
    assert corpus.samples.dtype == np.int16
    assert corpus.starts[-1] == len(corpus.samples)
    assert [len(samples) for _, samples in corpus.files()] == np.diff(corpus.starts).tolist()
    sine = corpus.samples[2_000:22_000] / 32_768
    assert np.sqrt(np.mean(sine**2)) == pytest.approx(0.2 / math.sqrt(2), rel=0.01)


def test_load_corpus_with_a_cache_reads_the_files_once(tmp_path, speech, monkeypatch):
    data = DataConfig(folders=(str(speech),), cache=str(tmp_path / "deep" / "cache.npy"))
    first = load_corpus(data, RATE_HZ)
    with monkeypatch.context() as patch:
        patch.setattr("hzc.audio.sources.open_source", None)
        again = load_corpus(data, RATE_HZ)
        with pytest.raises(TypeError):
            load_corpus(data, 8_000)
    assert again.names == first.names
    assert np.array_equal(again.samples, first.samples)
    assert np.array_equal(again.starts, first.starts)


@pytest.fixture
def cached(tmp_path, sound) -> DataConfig:
    """Two files, decoded and kept."""
    for i, name in enumerate("ab"):
        soundfile.write(tmp_path / f"{name}.wav", sound(4_000, seed=i), RATE_HZ)
    data = DataConfig(folders=(str(tmp_path),), cache=str(tmp_path / "cache.npy"))
    load_corpus(data, RATE_HZ)
    return data


def test_load_corpus_with_a_cache_of_other_contents_reads_the_files_again(tmp_path, cached, sound):
    soundfile.write(tmp_path / "b.wav", sound(5_000), RATE_HZ)
    assert np.diff(load_corpus(cached, RATE_HZ).starts).tolist() == [4_000, 5_000]
    before = (tmp_path / "a.wav").stat()
    loud = np.full(4_000, 0.5)
    soundfile.write(tmp_path / "a.wav", loud, RATE_HZ)
    os.utime(tmp_path / "a.wav", ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    assert (tmp_path / "a.wav").stat().st_size == before.st_size
    assert load_corpus(cached, RATE_HZ).samples[:4_000] == pytest.approx(16_384, abs=1)


def test_load_corpus_takes_a_cache_that_tells_no_sizes_and_times(tmp_path, cached, monkeypatch):
    with np.load(tmp_path / "cache.npz") as stored:
        kept = {name: stored[name] for name in ("names", "starts", "rate")}
    np.savez(tmp_path / "cache.npz", **kept)
    monkeypatch.setattr("hzc.audio.sources.open_source", None)
    assert load_corpus(cached, RATE_HZ).starts.tolist() == [0, 4_000, 8_000]
    (tmp_path / "b.wav").rename(tmp_path / "c.wav")
    with pytest.raises(TypeError):
        load_corpus(cached, RATE_HZ)


def test_load_corpus_cut_off_while_it_writes_the_cache_leaves_none(tmp_path, cached, monkeypatch):
    soundfile.write(tmp_path / "c.wav", np.zeros(4_000), RATE_HZ)
    with monkeypatch.context() as patch:
        patch.setattr("numpy.savez", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            load_corpus(cached, RATE_HZ)
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "b.wav", "c.wav", "cache.npy"}
    assert len(load_corpus(cached, RATE_HZ).names) == 3


def test_load_corpus_without_audio_raises(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(TrainingError, match="no audio"):
        load_corpus(DataConfig(folders=(str(tmp_path),)), RATE_HZ)


def test_load_corpus_with_a_broken_file_names_it(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(TrainingError, match=r"a\.wav"):
        load_corpus(DataConfig(folders=(str(tmp_path),)), RATE_HZ)


@pytest.mark.parametrize("rate_hz", [8_000, RATE_HZ])
def test_load_corpus_with_a_file_without_samples_names_it(tmp_path, rate_hz):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), rate_hz)
    with pytest.raises(TrainingError, match=r"a\.wav: the recording has no samples") as caught:
        load_corpus(DataConfig(folders=(str(tmp_path),)), RATE_HZ)
    assert "remove the file" in caught.value.hint


def test_crops_have_the_shape_and_levels_asked_for(corpus, config):
    data = replace(config.data, batch_size=40, level_db=(-40.0, -30.0), pause_probability=0.5)
    batch = Crops(corpus, data, RATE_HZ, seed=1).batch()
    assert batch.shape == (40, 8_000)
    assert batch.dtype == np.float32
    level_db = 10 * np.log10(np.mean(batch.astype(np.float64) ** 2, axis=1))
    assert level_db.min() > -40.1
    assert level_db.max() < -29.9
    assert np.ptp(level_db) > 5
    n_paused = int((np.abs(batch) < 1e-9).sum(axis=1).__gt__(500).sum())
    assert 5 < n_paused < 35


def test_crops_never_exceed_full_scale(corpus, config):
    data = replace(config.data, batch_size=20, level_db=(0.0, 6.0))
    assert np.abs(Crops(corpus, data, RATE_HZ, 1).batch()).max() < 1.0


def test_crops_of_one_seed_are_the_same_and_of_another_are_not(corpus, config):
    one, two, three = (Crops(corpus, config.data, RATE_HZ, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.batch(), two.batch())
    assert not np.array_equal(one.batch(), three.batch())


def test_crops_weighted_to_one_file_come_from_it_alone(corpus, config):
    # The last pattern that matches counts.
    data = replace(
        config.data, weights={"*": 0.0, "sine*": 1.0}, equalise_db=0.0, pause_probability=0.0
    )
    batch = Crops(corpus, data, RATE_HZ, 1).batch()
    spectrum = np.abs(np.fft.rfft(batch * np.hanning(8_000), axis=1))
    assert (spectrum.argmax(axis=1) == 220).all()


def test_crops_of_files_that_are_all_too_short_raises(corpus, config):
    with pytest.raises(TrainingError, match="longer than a crop"):
        Crops(corpus, replace(config.data, crop_s=3.0), RATE_HZ, 1)


# --- the loop -------------------------------------------------------------------------------


def test_train_step_on_one_repeated_batch_lowers_the_loss(tmp_path, config, corpus):
    trainer = Trainer(replace(config, n_steps=100), tmp_path, corpus)
    batch = trainer.crops.batch()
    trainer.crops.batch = lambda: batch
    rows = [trainer.train_step() for _ in range(12)]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert rows[-1]["distortion"] < 0.97 * rows[0]["distortion"]
    assert rows[-1]["loss"] < 0.97 * rows[0]["loss"]
    assert [row["step"] for row in rows] == list(range(1, 13))


def test_train_step_in_half_precision_is_finite(tmp_path, config, corpus):
    trainer = Trainer(replace(config, bf16=True), tmp_path, corpus)
    assert all(math.isfinite(v) for _ in range(2) for v in trainer.train_step().values())


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_run_resumed_from_a_checkpoint_equals_one_that_never_stopped(
    tmp_path, config, corpus, optimiser
):
    config = replace(config, n_steps=4, optimiser=replace(config.optimiser, name=optimiser))
    straight = Trainer(config, tmp_path / "straight", corpus)
    straight.run()
    first = Trainer(config, tmp_path / "halves", corpus)
    start = {name: value.clone() for name, value in first.model.state_dict().items()}
    first.train_step()
    first.train_step()
    first.save()
    torch.manual_seed(99)
    second = Trainer(config, tmp_path / "halves", corpus)
    assert second.step == 2
    second.run()
    assert second.step == straight.step == 4
    assert not same(second.model.state_dict(), start)
    assert same(second.model.state_dict(), straight.model.state_dict())
    assert same(second.ema.state_dict(), straight.ema.state_dict())
    assert second.controller == straight.controller
    assert second.crops.rng.bit_generator.state == straight.crops.rng.bit_generator.state


def test_run_resumed_with_other_steps_and_rates_goes_on_with_them(tmp_path, config, corpus):
    Trainer(replace(config, n_steps=2), tmp_path, corpus).run()
    optimiser = replace(
        config.optimiser, lr=1e-4, decay_steps=3, weight_decay=0.5, betas=(0.5, 0.6)
    )
    changed = Trainer(replace(config, n_steps=4, optimiser=optimiser), tmp_path, corpus)
    assert changed.step == 2
    decayed, plain = changed.optimiser.parts[0].param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.5, 0.0)
    assert decayed["betas"] == (0.5, 0.6)
    assert changed.train_step()["lr"] == pytest.approx(1e-4 * 2 / 3)
    assert all(state["step"] == 3 for state in changed.optimiser.parts[0].state.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "base"}, "model was 'tiny', is 'base'"),
        ({"optimiser": OptimiserConfig(name="muon")}, "optimiser.name was 'adamw', is 'muon'"),
        (
            {"prior": PriorConfig(hidden=8, context_frames=2, n_groups=8)},
            "prior.hidden was 16, is 8; prior.n_groups was 4, is 8",
        ),
    ],
)
def test_run_resumed_with_what_does_not_fit_says_what_and_leaves_the_run_alone(
    tmp_path, config, corpus, finished, changes, message
):
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes((finished / "checkpoint.pt").read_bytes())
    before = checkpoint.read_bytes()
    with pytest.raises(TrainingError, match=message) as caught:
        Trainer(replace(config, **changes), tmp_path, corpus)
    assert caught.value.path == checkpoint
    assert "another run folder" in caught.value.hint
    assert checkpoint.read_bytes() == before


def test_run_resumed_from_weights_of_an_early_version_says_which_do_not_fit(
    tmp_path, config, corpus, finished
):
    state = load_checkpoint(finished / "checkpoint.pt")
    del state["config"]["prior"]
    state["model"]["prior.w1"] = torch.stack(
        [state["model"].pop(f"prior.w1.{i}") for i in range(4)]
    )
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match=r"5 weights .*prior.w1 .*expected none") as caught:
        Trainer(config, tmp_path, corpus)
    assert "another run folder" in caught.value.hint


def test_run_of_a_finished_run_does_nothing(tmp_path, config, corpus):
    config = replace(config, n_steps=1)
    Trainer(config, tmp_path, corpus).run()
    again = Trainer(config, tmp_path, corpus)
    before = {name: value.clone() for name, value in again.model.state_dict().items()}
    again.run()
    assert again.step == 1
    assert same(again.model.state_dict(), before)


def test_run_logs_every_twentieth_step_with_named_columns(tmp_path, config, corpus):
    config = replace(config, n_steps=40, data=replace(config.data, crop_s=0.25, batch_size=1))
    trainer = Trainer(config, tmp_path, corpus)
    trainer.run()
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [int(row["step"]) for row in rows] == [20, 40]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert float(rows[1]["audio_h"]) == pytest.approx(40 * 0.25 / 3600, rel=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "checkpoint.pt"}


def test_trainer_back_at_a_checkpoint_forgets_what_was_logged_after_it(tmp_path, config, corpus):
    trainer = Trainer(config, tmp_path, corpus)
    row = trainer.train_step()
    trainer.save()
    for step in (1, 2, 20_000):
        trainer._log({**row, "step": step})
    Trainer(config, tmp_path, corpus)
    assert [
        line.split(",")[0] for line in (tmp_path / "log.csv").read_text("utf-8").splitlines()
    ] == ["step", "1"]


def test_trainer_started_from_another_run_takes_its_averages(tmp_path, config, corpus, finished):
    config = replace(config, init_from=str(finished / "checkpoint.pt"))
    trainer = Trainer(config, tmp_path, corpus)
    averages = load_averages(finished, config).weights
    assert trainer.step == 0
    assert same(dict(trainer.model.named_parameters()), averages)
    assert same(trainer.ema.state_dict(), averages)
    assert trainer.fresh_parts == ()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_trainer_started_from_weights_with_another_prior_starts_it_fresh(
    tmp_path, config, corpus, finished, suffix
):
    export(
        config,
        finished,
        Target(240, "mine", tmp_path, 5.0, False, "noise"),
        [Path(corpus.names[0])],
    )
    path = {"pt": finished / "checkpoint.pt", "safetensors": tmp_path / "mine.safetensors"}[suffix]
    prior = replace(config.prior, hidden=8)
    trainer = Trainer(replace(config, prior=prior, init_from=str(path)), tmp_path / "run", corpus)
    assert trainer.fresh_parts == ("prior.",)
    averages = load_averages(finished, config).weights
    found = dict(trainer.model.named_parameters())
    for name, value in averages.items():
        if not name.startswith("prior."):
            assert torch.allclose(found[name], value, rtol=1e-3, atol=1e-6), name
    assert found["prior.w1.0"].shape[1] == 8
    trainer.train_step()


def test_trainer_started_from_weights_of_other_transforms_raises(
    tmp_path, config, corpus, finished
):
    state = load_checkpoint(finished / "checkpoint.pt")
    del state["ema"]["analysis.head.bias"]
    torch.save(state, tmp_path / "less.pt")
    state["ema"]["analysis.head.bias"] = torch.zeros(31)
    torch.save(state, tmp_path / "other.pt")
    for name, found in (("less", "none"), ("other", r"\(31,\)")):
        path = tmp_path / f"{name}.pt"
        message = rf"analysis.head.bias .*found {found}, expected \(32,\)"
        with pytest.raises(TrainingError, match=message) as caught:
            Trainer(replace(config, init_from=str(path)), tmp_path / "run", corpus)
        assert caught.value.path == path
        assert "model tiny" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_from": "nowhere.pt"}, "not a checkpoint"),
        ({"device": "cup"}, "no device 'cup'"),
        ({"device": "cuda:99"}, "no device 'cuda:99'"),
    ],
)
def test_trainer_of_an_impossible_configuration_raises(tmp_path, config, corpus, changes, message):
    with pytest.raises(TrainingError, match=message):
        Trainer(replace(config, **changes), tmp_path, corpus)


def test_trainer_of_a_broken_checkpoint_raises(tmp_path, config, corpus):
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        Trainer(config, tmp_path, corpus)


def test_trainer_of_a_file_of_torch_that_is_no_checkpoint_raises(tmp_path, config, corpus):
    for state in ({"model": {}}, [1, 2]):
        torch.save(state, tmp_path / "checkpoint.pt")
        with pytest.raises(TrainingError, match="not a checkpoint of hzc train"):
            Trainer(config, tmp_path, corpus)


def test_train_step_with_a_gradient_that_is_not_finite_raises(tmp_path, config, corpus):
    trainer = Trainer(config, tmp_path, corpus)
    with torch.no_grad():
        trainer.model.synthesis.head.bias.fill_(math.nan)
    with pytest.raises(TrainingError, match="not finite at step 0"):
        trainer.train_step()


# --- its parts ------------------------------------------------------------------------------


def test_controller_moves_lambda_towards_the_target():
    config = RateConfig(target_bits_per_frame=100.0, lmbda=1e-2)
    for bits, sign in ((150.0, 1), (50.0, -1), (100.0, 0)):
        controller = RateController.start(config)
        assert controller.lmbda == pytest.approx(1e-2)
        controller.update(bits)
        assert np.sign(round(controller.lmbda - 1e-2, 9)) == sign


def test_controller_far_from_the_target_moves_by_its_gain_at_most():
    controller = RateController.start(RateConfig(lmbda=1e-2, gain=0.02))
    controller.update(1e9)
    assert math.log(controller.lmbda / 1e-2) == pytest.approx(0.02)


def test_controller_stays_in_its_range():
    for bits, end in ((1e6, 1e-1), (1.0, 1e-4)):
        controller = RateController.start(RateConfig(lmbda_range=(1e-4, 1e-1)))
        for _ in range(1_000):
            controller.update(bits)
        assert controller.lmbda == pytest.approx(end)


def test_controller_smooths_what_it_is_told():
    controller = RateController.start(RateConfig())
    controller.update(100.0)
    controller.update(200.0)
    assert controller.smoothed_bits == pytest.approx(105.0)


def test_ema_follows_the_weights_at_its_decay():
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(1.0)
    ema = Ema(module, decay=0.9)
    with torch.no_grad():
        module.weight.fill_(3.0)
    assert ema.state_dict()["weight"].tolist() == [[1.0, 1.0]]
    ema.update(module, step=10_000)
    assert ema.state_dict()["weight"].flatten().tolist() == pytest.approx([1.2, 1.2])
    ema.update(module, step=1)  # warmed up: a decay of 2 / 11
    assert ema.state_dict()["weight"].flatten().tolist() == pytest.approx([3 - 1.8 * 2 / 11] * 2)


def test_ema_loaded_is_a_copy():
    module = torch.nn.Linear(2, 1)
    ema, other = Ema(module, 0.5), {n: p.detach() + 1 for n, p in module.named_parameters()}
    ema.load_state_dict(other)
    assert same(ema.state_dict(), other)
    other["weight"].zero_()
    assert not same(ema.state_dict(), other)


def test_learning_rate_warms_up_holds_and_decays_to_zero():
    config = OptimiserConfig(warmup_steps=4, decay_steps=5)
    factors = [learning_rate_factor(config, step, 20) for step in range(21)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[14:] == pytest.approx([1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0])


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest(tmp_path, config, corpus):
    model = Trainer(config, tmp_path, corpus).model
    optimiser = Optimiser(model, OptimiserConfig(name="muon"), is_hidden)
    names = {id(p): name for name, p in model.named_parameters()}
    adamw, muon = (
        [names[id(p)] for group in part.param_groups for p in group["params"]]
        for part in optimiser.parts
    )
    assert sorted(adamw + muon) == sorted(names.values())
    assert all(".stages." in name or name.startswith(("prior.w1.", "prior.w2.")) for name in muon)
    assert "prior.w2.0" in muon
    assert not [name for name in adamw if name.endswith("expand.weight")]


def test_run_begun_from_exported_weights_has_their_transforms_and_steps(
    tmp_path, config, corpus, finished
):
    target = Target(240, "mine", tmp_path, 5.0, False, "noise")
    export(config, finished, target, [Path(corpus.names[0])])
    begun = replace(config, init_from=str(tmp_path / "mine.safetensors"))
    found = Trainer(begun, tmp_path / "run", corpus).ema.state_dict()
    wanted = load_averages(finished, config).weights
    for name, value in wanted.items():
        if not name.startswith("prior."):
            assert torch.allclose(found[name], value, rtol=1e-3, atol=1e-6), name


def test_distance_of_equal_sounds_is_zero_and_grows_with_the_difference(config):
    distance = SpectralDistance(config.distortion, RATE_HZ)
    x = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 4_000))).float()
    noise = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (2, 4_000))).float()
    found = [float(distance(x, x + a * noise, [256, 512])) for a in (0.0, 0.1, 1.0)]
    assert found[0] == 0.0
    assert 0.0 < found[1] < found[2]


def test_distance_between_two_resolutions_is_their_mean(config):
    distance = SpectralDistance(config.distortion, RATE_HZ)
    x = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 4_000))).float()
    parts = [float(distance(x, 0.5 * x, [size])) for size in (256, 512)]
    assert float(distance(x, 0.5 * x, [256, 512])) == pytest.approx(sum(parts) / 2, rel=1e-5)


def test_spread_is_half_the_distance_of_the_draws_and_none_for_equal_ones(config):
    torch.manual_seed(1)
    distance = SpectralDistance(config.distortion, RATE_HZ)
    x, one, two = (0.1 * torch.randn(2, 4_000) for _ in range(3))
    windows = [256, 512]
    to_x, spread = distance.with_spread(x, (one, two), windows, 0.0)
    expected = (distance(x, one, windows) + distance(x, two, windows)) / 2.0
    assert to_x.item() == pytest.approx(expected.item(), rel=1e-5)
    assert spread.item() == pytest.approx(distance(one, two, windows).item() / 2.0, rel=1e-5)
    assert distance.with_spread(x, (one, one), windows, 0.0)[1].item() == 0.0


def test_spread_counts_from_a_frequency_on(config):
    torch.manual_seed(2)
    distance = SpectralDistance(config.distortion, RATE_HZ)
    time_s = torch.arange(48_000) / RATE_HZ
    one = 0.01 * torch.randn(1, 48_000)
    low = one + 0.3 * torch.sin(2.0 * torch.pi * 1_000.0 * time_s)
    high = one + 0.3 * torch.sin(2.0 * torch.pi * 6_000.0 * time_s)

    def spread(two: torch.Tensor, lowest_hz: float) -> float:
        return distance.with_spread(one, (one, two), [512], lowest_hz)[1].item()

    assert spread(low, 4_000.0) < 0.2 * spread(high, 4_000.0)
    # The energy of whole frames counts from 0 Hz only.
    assert 0.0 < spread(high, 4_000.0) < spread(high, 100.0) < spread(high, 0.0)
    assert spread(low, 9_000.0) == spread(high, 9_000.0) == 0.0


@pytest.mark.parametrize(("n_bins", "n_mels"), [(65, 16), (65, 60), (1_025, 128)])
def test_mel_filters_have_weights_that_sum_to_one(n_bins, n_mels):
    filters = mel_filters(n_bins, n_mels, RATE_HZ)
    assert filters.shape == (n_bins, n_mels)
    assert filters.min() >= 0
    assert filters.sum(0).tolist() == pytest.approx([1.0] * n_mels, abs=1e-5)


def test_kl_bits_equal_those_of_torch():
    torch.manual_seed(0)
    y, prior_mean, scale_index = 5.0 * torch.rand(3, 100).double()
    scale = prior_tables.SMALLEST_SCALE * 2.0 ** (scale_index / prior_tables.SCALES_PER_OCTAVE)
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(y, 12.0**-0.5), torch.distributions.Normal(prior_mean, scale)
    )
    found = gaussian_kl_bits(y, prior_mean, scale_index)
    assert found.tolist() == pytest.approx((wanted / math.log(2)).tolist())


def test_context_network_sees_the_past_and_earlier_groups_only():
    torch.manual_seed(0)
    network = ContextNetwork(6, PriorConfig(n_groups=3, context_frames=2, hidden=8))
    for layer in (network.w3, network.b1):
        torch.nn.init.normal_(layer)
    symbols = torch.randn(1, 6, 9)

    def predict(x: torch.Tensor) -> torch.Tensor:
        return torch.stack(network(network.contexts(x))).transpose(1, 2)  # [2, D, F]

    changed = symbols.clone()
    changed[0, 2, 4] += 10.0  # the first dimension of the second group
    touched = (predict(changed) != predict(symbols)).any(0)
    assert not touched[:, :4].any()
    assert not touched[:4, 4].any()
    assert touched[4:, 4].all()
    assert touched[:, 5:7].all()
    assert not touched[:, 7:].any()


def test_contexts_of_latents_equal_those_of_the_sampler():
    config = PriorConfig(context_frames=3)
    whole = np.rint(np.random.default_rng(0).normal(0, 4, (10, 32))).astype(np.float32)
    sampler = FrameSampler(whole, np.zeros(10, np.int64), config)
    frames = np.arange(10)
    wanted, _ = sampler.at(frames, frames, np.zeros(10, np.int64))
    network = ContextNetwork(32, config)
    found = network.contexts(torch.from_numpy(whole.T.copy())[None])
    assert torch.equal(found, wanted)


# --- the prior ------------------------------------------------------------------------------

AR_CONFIG = PriorConfig(
    n_steps=250,
    batch_frames=512,
    optimiser=OptimiserConfig(
        name="muon", lr=6e-3, warmup_steps=10, decay_steps=120, weight_decay=0.1, clip_norm=20.0
    ),
    hidden=32,
    context_frames=2,
    n_groups=4,
)
STEPS_WIDE = 6.0
MEMORY = 0.95


def autoregressive(n_frames: int, seed: int) -> np.ndarray:
    """Return float32 [n_frames, 8]: each dimension follows its past and the one before it."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n_frames, 8))
    noise = rng.normal(0, STEPS_WIDE * math.sqrt(1 - MEMORY**2), (n_frames, 8))
    for t in range(1, n_frames):
        x[t] = MEMORY * x[t - 1] + noise[t]
    x[:, 1::2] = 0.9 * x[:, ::2] + 0.3 * x[:, 1::2]
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> tuple[ContextNetwork, FittedPrior]:
    """The float network and the integer prior made of it, fitted on autoregressive latents."""
    sampler = FrameSampler(autoregressive(20_000, 1), np.zeros(20_000, np.int64), AR_CONFIG)
    network = prior_fit.fit_network(sampler, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior_fit, "fit_network", lambda *_: network)
        result = prior_fit.fit_prior(sampler, seed=1)
    return network, result


def static_bits(seen: np.ndarray, held_out: np.ndarray) -> float:
    """Return the cost of int [frame, D] under one table per dimension, fitted on others."""
    total = 0.0
    for known, coded in zip(seen.T + 63, held_out.T + 63, strict=True):
        counts = np.bincount(known, minlength=127) + 0.5
        total -= np.log2(counts / counts.sum())[coded].sum()
    return total


@pytest.mark.parametrize("step_index", [0, 8])
def test_fitted_prior_beats_static_tables_by_a_fifth(fitted, step_index):
    width = 2.0 ** (step_index / 8)
    seen, held_out = (
        np.rint(autoregressive(n, seed) / width).astype(np.int32)
        for n, seed in ((20_000, 1), (4_000, 2))
    )
    static = static_bits(seen, held_out)
    bits = sum(
        fitted[1].prior.ideal_bits(held_out[start : start + 80].T, step_index)
        for start in range(0, 4_000, 80)
    )
    assert bits < 0.8 * static


@pytest.mark.parametrize("step_index", [0, 8])
def test_integer_prior_costs_what_the_float_network_does(fitted, step_index):
    network, result = fitted
    sampler = FrameSampler(autoregressive(4_000, 2), np.zeros(4_000, np.int64), AR_CONFIG)
    frames = np.arange(4_000)
    context, symbols = sampler.at(frames, frames % 80, np.full(4_000, step_index))
    with torch.no_grad():
        mean, scale = network(context)
        scale = scale.clamp(0.0, AR_CONFIG.n_scales - 1.0)
        float_bits = float(prior_fit.code_length_bits(symbols, mean, scale).sum())
    whole = symbols.numpy().astype(np.int32)
    bits = sum(
        result.prior.ideal_bits(whole[start : start + 80].T, step_index)
        for start in range(0, 4_000, 80)
    )
    # Fitted tables may beat the fixed mixture of the loss by a little.
    assert 0.95 * float_bits <= bits <= 1.01 * float_bits


def test_integer_prior_predicts_what_the_float_network_does(fitted):
    network, result = fitted
    sampler = FrameSampler(autoregressive(500, 3), np.zeros(500, np.int64), AR_CONFIG)
    context, _ = sampler.draw(np.random.default_rng(0), 500)
    with torch.no_grad():
        mean, scale = (part.numpy() for part in network(context))
    for group in range(4):
        columns = slice(2 * group, 2 * group + 2)
        whole, index = result.prior.predict(group, context.numpy().astype(np.float64))
        scale_index, fraction = np.divmod(index, MEAN_FRACTIONS)
        found = whole + (fraction - MEAN_FRACTIONS // 2) / MEAN_FRACTIONS
        assert np.abs(found - mean[:, columns]).max() < 0.2
        assert np.abs(scale_index - np.clip(scale[:, columns], 0, 39)).max() < 1.0


def test_fitted_prior_codes_and_decodes(fitted):
    symbols = np.rint(autoregressive(80, 4)).astype(np.int32).T
    prior = fitted[1].prior
    payload = prior.encode(symbols, 3)
    assert np.array_equal(prior.decode([payload], [80], 3)[0], symbols)


def test_fitted_prior_kept_and_loaded_is_the_same(tmp_path, fitted):
    assert save_prior(fitted[1], tmp_path, 3) == tmp_path / PRIOR_FILE
    found = load_prior(tmp_path, 3)
    assert isinstance(found.prior, Prior)
    assert found.prior.fingerprint == fitted[1].prior.fingerprint
    assert np.array_equal(found.mixtures, fitted[1].mixtures)


def test_sampler_gives_the_context_of_a_frame_and_none_before_its_chunk():
    latents = np.arange(40, dtype=np.float32).reshape(10, 4)
    config = PriorConfig(context_frames=2)
    sampler = FrameSampler(latents, np.zeros(10, np.int64), config)
    context, symbols = sampler.at(np.array([5, 5, 5]), np.array([4, 1, 0]), np.array([0, 8, -8]))
    assert symbols.tolist() == [[20, 21, 22, 23], [10, 10, 11, 12], [40, 42, 44, 46]]
    assert context[:, 0].tolist() == [0, 8, -8]
    assert context[0, 1:].tolist() == [*range(12, 20), 20, 21, 22, 23]
    assert context[1, 1:].tolist() == [0] * 4 + [8, 8, 9, 10] + [10, 10, 11, 12]
    assert context[2, 1:].tolist() == [0] * 8 + [40, 42, 44, 46]


def test_sampler_draws_within_recordings_and_the_range_of_steps():
    latents = np.repeat(np.arange(1, 5, dtype=np.float32), 50)[:, None].repeat(2, axis=1) * 16
    starts = np.repeat(np.arange(4) * 50, 50)
    config = PriorConfig(context_frames=3, step_index_range=(0, 8), default_share=0.5)
    context, symbols = FrameSampler(latents, starts, config).draw(np.random.default_rng(0), 2_000)
    steps = context[:, 0].numpy()
    assert set(np.unique(steps)) == set(range(9))
    assert np.mean(steps == 0) == pytest.approx(0.5 + 0.5 / 9, abs=0.05)
    # All frames of a recording are alike: the past holds its own symbols, or zeros.
    past = context[:, 1:-2].numpy().reshape(2_000, 3, 2)
    assert ((past == 0) | (past == symbols.numpy()[:, None])).all()


# --- tables ---------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    hnp.arrays(np.float64, st.integers(1, 301), elements=st.floats(0, 1, allow_subnormal=False)),
    st.floats(0, 1),
)
def test_to_frequencies_of_any_probabilities_sum_to_the_whole(raw, inside):
    probabilities = raw / raw.sum() * inside if raw.sum() > 0 else raw
    found = prior_tables.to_frequencies(probabilities)
    assert found.dtype == np.uint16
    assert found.shape == (len(raw) + 1,)
    assert int(found.astype(np.int64).sum()) == TABLE_SUM
    assert found.min() >= 1
    exact = np.append(probabilities, max(0.0, 1.0 - probabilities.sum()))
    assert np.abs(found - (1 + exact * (TABLE_SUM - len(exact)))).max() <= 1.01


@pytest.mark.parametrize("scale", [0.1, 1.0, 7.3, 80.0])
def test_bin_probabilities_of_every_width_are_those_of_a_gaussian(scale):
    found = prior_tables.bin_probabilities(scale, 63)
    assert found.shape == (len(prior_tables.RELATIVE_WIDTHS), MEAN_FRACTIONS, 127)
    assert found.min() >= 0
    assert found.sum(axis=2).max() <= 1 + 1e-12
    for width, relative in enumerate(prior_tables.RELATIVE_WIDTHS):
        for fraction in range(MEAN_FRACTIONS):
            offset = (fraction - MEAN_FRACTIONS // 2) / MEAN_FRACTIONS
            edges = (np.arange(-63, 65) - 0.5 - offset) / (scale * relative * math.sqrt(2.0))
            expected = np.diff([0.5 * math.erf(edge) for edge in edges])
            assert found[width, fraction] == pytest.approx(expected, abs=1e-12)


def test_make_tables_gives_a_distribution_for_every_scale_and_fraction():
    found = prior_tables.make_tables(np.full((5, 4), 0.25), max_residual=20)
    assert found.shape == (5, MEAN_FRACTIONS, 42)
    assert (found.astype(np.int64).sum(axis=2) == TABLE_SUM).all()
    assert found.min() >= 1
    centred = found[:, MEAN_FRACTIONS // 2, :-1].astype(np.int64)
    assert np.abs(centred - centred[:, ::-1]).max() <= 1


def test_fit_mixtures_finds_the_width_that_the_data_have():
    n_scales = 9
    counts = np.zeros((n_scales, MEAN_FRACTIONS, 127), dtype=np.int64)
    scale = prior_tables.scales(n_scales)[8]
    counts[8] = np.rint(1e6 * prior_tables.bin_probabilities(4 * scale, 63)[1])
    found = prior_tables.fit_mixtures(counts)
    assert found.sum(axis=1).tolist() == pytest.approx([1.0] * n_scales)
    assert found[8].argmax() == 3
    assert found[8, 3] > 0.9
    # What the data never use stays nearly Gaussian.
    assert (found[:8].argmax(axis=1) == 1).all()


def test_scales_have_four_to_an_octave():
    found = prior_tables.scales(9)
    assert found[0] == prior_tables.SMALLEST_SCALE
    assert found[4:] / found[:5] == pytest.approx(2.0)


# --- latents and export ---------------------------------------------------------------------


def without_pauses(config: TrainConfig) -> DataConfig:
    return replace(config.data, pause_probability=0.0)


def test_collect_fades_a_stretch_of_some_recordings_to_digital_silence(config, finished, sound):
    voice = np.rint(20_000 * sound(64_000)).astype(np.int16)
    silent = Corpus(np.zeros(64_000, np.int16), np.array([0, 64_000]), ("silence",))
    corpus = Corpus(np.tile(voice, 4), 64_000 * np.arange(5), tuple("abcd"))
    weights = load_averages(finished, config).weights
    silence = collect(weights, config, silent)[0][16]

    def n_silent(probability: float) -> list[int]:
        data = replace(config.data, pause_probability=probability)
        latents = collect(weights, replace(config, data=data), corpus)[0].reshape(4, 32, 32)
        return np.isclose(latents, silence, atol=1e-3).all(axis=2).sum(axis=1).tolist()

    assert n_silent(0.0) == [0, 0, 0, 0]
    assert sum(n > 0 for n in n_silent(1.0)) >= 2


def test_pause_factor_is_zero_for_a_stretch_and_changes_slowly():
    rng = np.random.default_rng(1)
    for _ in range(50):
        factor = pause_factor(16_000, RATE_HZ, rng)
        assert factor.shape == (16_000,)
        assert (factor.min(), factor.max()) == (0.0, 1.0)
        assert np.abs(np.diff(factor)).max() <= 1.01 / 320
        assert 900 <= (factor == 0.0).sum() <= 8_000


def test_collect_gives_the_frames_of_every_recording(config, corpus, finished):
    weights = load_averages(finished, config).weights
    latents, starts, _ = collect(weights, config, corpus)
    n_frames = -(-np.diff(corpus.starts) // 2_000)
    assert latents.shape == (n_frames.sum(), 32)
    assert latents.dtype == np.float32
    assert np.isfinite(latents).all()
    first = np.concatenate([[0], np.cumsum(n_frames)[:-1]])
    assert starts.tolist() == np.repeat(first, n_frames).tolist()


def test_collect_gives_the_latents_of_the_codec(config, corpus, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("hzc.train.prior_data.LEVEL_JITTER_DB", 0.0)
    samples = corpus.samples[corpus.starts[4] :]
    one = Corpus(samples, np.array([0, len(samples)]), ("one",))
    weights = load_averages(finished, config).weights
    latents, *_ = collect(weights, replace(config, data=without_pauses(config)), one)
    target = Target(240, "mine", tmp_path, 1e3, False, "test")
    export(config, finished, target, find_audio(config.data.folders))
    codec = hzc.load(tmp_path / "mine.safetensors")
    expected = codec.latents(samples / 32_768, RATE_HZ)[0] / codec.model.base_step[:, None]
    assert np.allclose(latents.T, expected, atol=1e-3)


def test_collect_levels_silence_and_whispers_no_more_than_the_codec(
    config, corpus, finished, monkeypatch, sound
):
    monkeypatch.setattr("hzc.train.prior_data.LEVEL_JITTER_DB", 0.0)
    weights = load_averages(finished, config).weights
    voice = sound(32_000)

    def latents(peak: float) -> np.ndarray:
        samples = np.rint(voice / np.abs(voice).max() * peak).astype(np.int16)
        one = Corpus(samples, np.array([0, len(samples)]), ("one",))
        return collect(weights, replace(config, data=without_pauses(config)), one)[0]

    assert latents(8_000) == pytest.approx(latents(16_000), abs=0.05)
    silent = latents(0)
    # A level under the codec's silence is left alone: next to nothing, not a shout.
    assert np.abs(latents(2) - silent).max() < np.abs(latents(8_000) - silent).max() / 4


def test_collect_of_a_recording_shorter_than_a_frame_gives_one_frame(config, finished, sound):
    samples = np.rint(30_000 * sound(1_500)).astype(np.int16)
    short = Corpus(samples, np.array([0, 1_499, 1_500]), ("short", "a single sample"))
    latents, starts, _ = collect(load_averages(finished, config).weights, config, short)
    assert latents.shape == (2, 32)
    assert np.isfinite(latents).all()
    assert starts.tolist() == [0, 1]


def test_base_step_is_the_posterior_scale_times_the_root_of_twelve():
    found = base_step({"log_sigma": torch.log(torch.tensor([[0.5], [2.0]]))})
    assert found.tolist() == pytest.approx([0.5 * math.sqrt(12), 2 * math.sqrt(12)])


def test_export_writes_a_model_that_loads_and_its_entry(tmp_path, config, speech, finished):
    recordings = find_audio([str(speech)])
    target = Target(241, "mine", tmp_path, 2.0, False, "noise")
    spec = export(config, finished, target, recordings)
    path = tmp_path / "mine.safetensors"
    entries = json.loads((tmp_path / "registry.json").read_text(encoding="utf-8"))
    assert entries == {"default": "mine", "models": [json.loads(json.dumps(asdict(spec)))]}
    assert (spec.model_id, spec.name, spec.file) == (241, "mine", "mine.safetensors")
    assert spec.sha256 == sha256(path.read_bytes()).hexdigest()
    assert spec.measured_on == "noise"
    codec = hzc.load(path)
    assert codec.model.model_id == 241
    assert codec.model.prior.fingerprint == spec.fingerprint
    found = measure(codec, recordings, codec.model.default_step_index)
    assert round(found.bitrate_kbps, 4) == spec.measured_kbps <= 2.0
    finer = measure(codec, recordings, codec.model.default_step_index - 1)
    assert finer.bitrate_kbps > 2.0
    samples, rate_hz = soundfile.read(recordings[0], dtype="float32")
    data = codec.encode(samples.T, rate_hz)
    assert container.read_header(data)[0].step_index == codec.model.default_step_index
    assert len(codec.decode(data, rate_hz)[0]) == len(samples)


def test_export_takes_the_averaged_weights_in_half_precision(tmp_path, config, speech, finished):
    export(
        config,
        finished,
        Target(241, "mine", tmp_path, 2.0, False, "noise"),
        find_audio([str(speech)]),
    )
    stored = hzc.load(tmp_path / "mine.safetensors").model.arrays("analysis.")
    averages = load_averages(finished, config).weights
    for name, array in stored.items():
        assert array.dtype == np.float16
        assert np.array_equal(array, averages[f"analysis.{name}"].half().numpy())


def test_export_of_a_second_model_keeps_the_first_and_the_default(
    tmp_path, config, speech, finished
):
    recordings = find_audio([str(speech)])[:1]
    for model_id, name in ((242, "second"), (241, "first"), (242, "second")):
        export(config, finished, Target(model_id, name, tmp_path, 2.0, False, "noise"), recordings)
    entries = json.loads((tmp_path / "registry.json").read_text(encoding="utf-8"))
    assert entries["default"] == "second"
    assert [entry["name"] for entry in entries["models"]] == ["first", "second"]


@pytest.mark.parametrize(("model_id", "name"), [(241, "other"), (242, "mine")])
def test_export_under_an_id_or_a_name_of_another_model_raises(
    tmp_path, config, speech, finished, model_id, name
):
    recordings = find_audio([str(speech)])[:1]
    export(config, finished, Target(241, "mine", tmp_path, 2.0, False, "noise"), recordings)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TrainingError, match="id 241 belongs to model mine") as caught:
        export(config, finished, Target(model_id, name, tmp_path, 2.0, False, "noise"), recordings)
    assert "never reused" in caught.value.hint
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_export_of_a_run_without_a_prior_raises(tmp_path, config, corpus, speech):
    Trainer(replace(config, n_steps=1), tmp_path, corpus).run()
    target = Target(241, "mine", tmp_path, 2.0, False, "noise")
    with pytest.raises(TrainingError, match="no prior in this run") as caught:
        export(config, tmp_path, target, find_audio([str(speech)]))
    assert "hzc train prior" in caught.value.hint


@pytest.mark.parametrize("kept", [0, 1_000])
def test_export_of_a_damaged_prior_raises(tmp_path, config, speech, finished, kept):
    for name in ("checkpoint.pt", PRIOR_FILE):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    prior_file = tmp_path / PRIOR_FILE
    prior_file.write_bytes(prior_file.read_bytes()[:kept])
    target = Target(241, "mine", tmp_path, 2.0, False, "noise")
    with pytest.raises(TrainingError, match="not a prior") as caught:
        export(config, tmp_path, target, find_audio([str(speech)])[:1])
    assert caught.value.path == prior_file


def test_export_of_a_prior_of_another_step_raises(tmp_path, config, speech, finished):
    state = load_checkpoint(finished / "checkpoint.pt")
    torch.save({**state, "step": 3}, tmp_path / "checkpoint.pt")
    prior_file = tmp_path / PRIOR_FILE
    prior_file.write_bytes((finished / PRIOR_FILE).read_bytes())
    target = Target(241, "mine", tmp_path, 2.0, False, "noise")
    recordings = find_audio([str(speech)])[:1]
    with pytest.raises(TrainingError, match="at step 2, but the checkpoint is of step 3") as caught:
        export(config, tmp_path, target, recordings)
    assert caught.value.path == prior_file
    assert "hzc train prior" in caught.value.hint
    # Early priors do not tell the step.
    with np.load(finished / PRIOR_FILE) as stored:
        np.savez(prior_file, **{name: stored[name] for name in stored if name != "step"})
    export(config, tmp_path, target, recordings)


def test_export_of_a_run_of_another_model_raises(tmp_path, config, speech, finished):
    target = Target(241, "mine", tmp_path, 2.0, False, "noise")
    with pytest.raises(TrainingError, match="model was 'tiny', is 'base'"):
        export(replace(config, model="base"), finished, target, find_audio([str(speech)]))


@pytest.mark.parametrize(
    "broken", ["hzc.train.export.choose_step_index", "pathlib.Path.write_text"]
)
def test_export_that_fails_leaves_the_folder_as_it_was(
    tmp_path, config, speech, finished, monkeypatch, broken
):
    recordings = find_audio([str(speech)])[:1]
    target = Target(241, "mine", tmp_path, 2.0, False, "noise")
    export(config, finished, target, recordings)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(broken, lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(config, finished, replace(target, target_kbps=3.0), recordings)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_export_of_a_run_that_never_was_raises(tmp_path, config, speech):
    target = Target(241, "mine", tmp_path, 2.0, False, "noise")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        export(config, tmp_path / "nowhere", target, find_audio([str(speech)]))


def test_choose_step_index_finds_the_finest_at_or_under_the_target(monkeypatch):
    class AtRate:
        bitrate_kbps = 0.0

        def __init__(self, step_index: int) -> None:
            self.bitrate_kbps = 2.0 ** (-step_index / 8)

    monkeypatch.setattr("hzc.train.export.measure", lambda codec, recordings, i: AtRate(i))
    cases = ((1.0, 0), (0.99, 1), (2.0**-8, 64), (2.0, -8), (250.0, -63), (300.0, -64))
    for target, expected in cases:
        index, found = choose_step_index(None, [], target)
        assert index == expected
        assert found.bitrate_kbps == 2.0 ** (-expected / 8)
    with pytest.raises(TrainingError, match=r"the coarsest steps cost 0\.004 kbit/s"):
        choose_step_index(None, [], 0.9 * 2.0**-8)


def test_stages_from_the_command_line_end_in_a_model_that_encodes(tmp_path, speech, capsys):
    path = tmp_path / "small.toml"
    path.write_text(
        f'model = "tiny"\nn_steps = 2\nbf16 = false\n'
        f'[data]\nfolders = ["{speech.as_posix()}"]\ncrop_s = 0.5\nbatch_size = 2\n'
        "[prior]\nn_steps = 5\nbatch_frames = 128\nhidden = 16\nn_groups = 4\n",
        encoding="utf-8",
    )
    run, folder = str(tmp_path / "run"), str(tmp_path)
    options = ["--id", "250", "--name", "mine", "--folder", folder, "--measure-on", str(speech)]
    for stage in (
        [str(path), "--run", run],
        ["prior", str(path), "--run", run],
        ["export", str(path), "--run", run, *options, "--kbps", "3"],
    ):
        cli.group.main(["train", *stage], standalone_mode=False)
    assert "mine: " in capsys.readouterr().err
    codec = hzc.load(tmp_path / "mine.safetensors")
    samples, rate_hz = soundfile.read(speech / "voice.flac", dtype="float32")
    decoded, _ = codec.decode(codec.encode(samples, rate_hz), rate_hz)
    assert decoded.shape == samples.shape
    again = tmp_path / "again.toml"
    start = f'init_from = "{(tmp_path / "mine.safetensors").as_posix()}"\n'
    again.write_text(start + path.read_text(encoding="utf-8"), encoding="utf-8")
    cli.group.main(["train", str(again), "--run", str(tmp_path / "two")], standalone_mode=False)
    assert "prior starts fresh" in capsys.readouterr().err


def test_export_over_a_registered_model_is_refused_unless_told_to(tmp_path, config, finished):
    recordings = find_audio(config.data.folders)
    target = Target(7, "mine", tmp_path, 2.0, False, "noise")
    export(config, finished, target, recordings)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TrainingError, match="model mine exists already"):
        export(config, finished, target, recordings)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    export(config, finished, replace(target, replace=True), recordings)


def test_prior_frames_are_drawn_by_their_weights(config):
    latents = np.repeat(np.arange(4, dtype=np.float32), 100)[:, None].repeat(32, axis=1)
    starts = np.repeat(np.arange(4) * 100, 100)
    weights = np.repeat([0.0, 1.0, 3.0, 0.0], 100)
    prior = replace(config.prior, default_share=1.0, default_step_index=0)
    sampler = FrameSampler(latents, starts, prior, weights)
    _, symbols = sampler.draw(np.random.default_rng(1), 4_000)
    drawn = np.bincount(symbols[:, 0].numpy().astype(int), minlength=4) / 4_000
    assert drawn == pytest.approx([0.0, 0.25, 0.75, 0.0], abs=0.03)
