"""Latents of a whole corpus under a finished analysis transform: what the prior is fitted on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from hzc.audio import level, sources
from hzc.encoder import CORE_FRAMES, MAX_GAIN_HALF_DB, gain_for
from hzc.model.load import run
from hzc.model.transforms import Analysis
from hzc.model.windows import WindowPlan, run_windowed
from hzc.train.config import TrainConfig
from hzc.train.data import Corpus, pause_factor, weight_of

FloatArray = npt.NDArray[np.float32]

LEVEL_JITTER_DB = 4.0
"""Spread of the level about the target that the codec brings recordings to."""


def split_weights(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, Any]:
    """Return the weights of one part of the model, float16 arrays by name."""
    return {
        name.removeprefix(prefix): value.half().cpu().numpy()
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def base_step(weights: dict[str, torch.Tensor]) -> FloatArray:
    """Return the step of every dimension, σ √12, float32 [D]: see `hzc.train.rate_distortion`."""
    sigma: FloatArray = np.exp(weights["log_sigma"].float().cpu().numpy()[:, 0])
    return sigma * np.float32(math.sqrt(12.0))


def collect(
    weights: dict[str, torch.Tensor], config: TrainConfig, corpus: Corpus
) -> tuple[FloatArray, npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return latents in units of the base step, and where each recording starts.

    Args:
        weights: Averaged weights of a rate–distortion run.
        config: The run's configuration.
        corpus: Recordings to go through.

    Returns:
        latents: float32 [frame, D], all recordings end to end.
        starts: First frame of each frame's recording, int64 [frame].
        weights: How much more often than others each frame is to be drawn, float64 [frame].
    """
    sizes = config.model_config
    analysis = Analysis(sizes).to(config.device).eval()
    # Rounded to half precision like the weights that will be shipped.
    halves = {k: torch.from_numpy(v) for k, v in split_weights(weights, "analysis.").items()}
    analysis.load_state_dict(halves)
    step = base_step(weights)
    plan = WindowPlan(CORE_FRAMES, sizes.analysis_context_frames, sizes.hop_length, n_out=1)
    rng = np.random.default_rng(config.seed)

    def analyse(x: FloatArray) -> FloatArray:
        return run(analysis, x, config.device)

    pieces: list[FloatArray] = []
    starts: list[npt.NDArray[np.int64]] = []
    factors: list[npt.NDArray[np.float64]] = []
    n_frames = 0
    for name, samples in tqdm(list(corpus.files()), desc="analyse", unit="file", disable=None):
        x = samples[None].astype(np.float32) / np.float32(32768.0)
        if rng.random() < config.data.pause_probability and len(samples) > sizes.hop_length:
            # Else the prior has never met digital silence, and pays for it.
            x *= pause_factor(len(samples), sizes.sample_rate_hz, rng)
        level_db = level.survey(sources.array_source(x, sizes.sample_rate_hz)).level_db
        gain_db = gain_for(level_db, MAX_GAIN_HALF_DB) / 2.0
        gain_db += rng.uniform(-LEVEL_JITTER_DB, LEVEL_JITTER_DB)
        x *= np.float32(10.0 ** (gain_db / 20.0))
        # Filled up to a whole frame, as in the codec.
        whole = np.pad(x, ((0, 0), (0, -len(samples) % sizes.hop_length)))
        y = np.concatenate(list(run_windowed(analyse, iter([whole]), plan)), axis=-1)[0].T / step
        pieces.append(y.astype(np.float32))
        starts.append(np.full(len(y), n_frames, dtype=np.int64))
        factors.append(np.full(len(y), weight_of(name, config.data)))
        n_frames += len(y)
    return np.concatenate(pieces), np.concatenate(starts), np.concatenate(factors)
