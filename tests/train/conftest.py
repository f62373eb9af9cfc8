"""A miniature run, which most tests of training start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hzc.train.checkpoint import load_averages
from hzc.train.config import TrainConfig, load_config, merged
from hzc.train.data import load_corpus
from hzc.train.export import save_prior
from hzc.train.prior_data import collect
from hzc.train.prior_fit import FrameSampler, fit_prior
from hzc.train.trainer import Trainer

RATE_HZ = 16_000
SMOKE = Path(__file__).resolve().parents[2] / "training" / "smoke.toml"
MINIATURE = {
    "n_steps": 4,
    "data": {"crop_s": 0.5, "batch_size": 2},
    "augment": dict.fromkeys(("tone", "gate", "speed", "rumble", "telephone", "clip"), 0.0),
    "optimiser": {"warmup_steps": 1, "decay_steps": 1},
    "distortion": {"windows": (256, 512), "complex_weight": 0.0},
    "prior_fit": {"n_steps": 30, "n_scales": 32},
}


@pytest.fixture(autouse=True)
def torch_as_it_was():
    """Undo what runs set for the whole process."""
    n_threads = torch.get_num_threads()
    torch.set_flush_denormal(False)
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def config():
    """Factory of miniature settings: `config(n_steps=2, data={"crop_s": 1.0})`."""
    smallest = merged(load_config(SMOKE).model_dump(), MINIATURE)

    def make(**changes) -> TrainConfig:
        return TrainConfig.model_validate(merged(smallest, changes))

    return make


@pytest.fixture(scope="session")
def adversary():
    """The settings of small discriminators."""
    return {"windows": (128, 256), "n_channels": 4, "periods": (2, 3), "segment_s": 0.3}


@pytest.fixture(scope="session")
def speech(tmp_path_factory, sound):
    """A folder of five recordings at two sample rates."""
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    for i in range(3):
        soundfile.write(folder / f"noise{i}.wav", rng.normal(0, 0.05, 24_000 + 500 * i), RATE_HZ)
    (folder / "below").mkdir()
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 32_000)
    soundfile.write(folder / "below" / "sine.wav", np.stack([tone, tone]).T, 32_000)
    soundfile.write(folder / "voice.flac", sound(40_000), RATE_HZ)
    return folder


@pytest.fixture(scope="session")
def corpus(speech):
    return load_corpus([str(speech)], RATE_HZ)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, config, corpus):
    """The folder of a finished run of two steps, its prior fitted."""
    folder, settings = tmp_path_factory.mktemp("run"), config(n_steps=2)
    Trainer(settings, folder, corpus).run()
    averages = load_averages(folder, settings.model)
    latents = collect(averages.weights, settings, corpus)
    save_prior(fit_prior(FrameSampler(latents, settings.prior_fit), settings), folder, 2)
    return folder
