"""A miniature run of the rate–distortion stage, which most tests of training start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from hzc.train import prior_fit
from hzc.train.checkpoint import load_averages
from hzc.train.config import (
    DataConfig,
    DistortionConfig,
    OptimiserConfig,
    PriorConfig,
    TrainConfig,
)
from hzc.train.data import load_corpus
from hzc.train.export import save_prior
from hzc.train.prior_data import collect
from hzc.train.prior_fit import FrameSampler
from hzc.train.rate_distortion import RateDistortionTrainer

RATE_HZ = 16_000


@pytest.fixture(autouse=True, scope="module")
def threads_as_they_were():
    """Undo what runs set for the whole process."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def numbers_as_they_were():
    """Undo what runs do to the smallest floats, before and after every test."""
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def speech(tmp_path_factory, sound):
    """A folder of noise and sine recordings at two sample rates."""
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for i in range(3):
        soundfile.write(folder / f"noise{i}.wav", rng.normal(0, 0.05, 24_000 + 500 * i), RATE_HZ)
    (folder / "below").mkdir()
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 32_000)
    soundfile.write(folder / "below" / "sine.wav", np.stack([tone, tone]).T, 32_000)
    soundfile.write(folder / "voice.flac", sound(40_000), RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def config(speech):
    return TrainConfig(
        model="tiny",
        n_steps=8,
        data=DataConfig(folders=(str(speech),), crop_s=0.5, batch_size=2),
        bf16=False,
        optimiser=OptimiserConfig(lr=2e-3, warmup_steps=1, decay_steps=1),
        distortion=DistortionConfig(windows=(256, 512), scales_per_step=2),
        prior=PriorConfig(
            n_steps=30, batch_frames=256, hidden=16, context_frames=2, n_groups=4, n_scales=32
        ),
    )


@pytest.fixture(scope="module")
def corpus(config):
    return load_corpus(config.data, RATE_HZ)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, config, corpus):
    """The folder of a finished run, its prior fitted."""
    folder = tmp_path_factory.mktemp("run")
    RateDistortionTrainer(replace(config, n_steps=2), folder, corpus).run()
    averages = load_averages(folder, config)
    latents, starts, _ = collect(averages.weights, config, corpus)
    fitted = prior_fit.fit_prior(FrameSampler(latents, starts, config.prior))
    save_prior(fitted, folder, averages.step)
    return folder
