"""Latents of a whole corpus under a finished analysis transform: what the prior is fitted on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from hzc.audio import level, sources
from hzc.blocks import FloatArray
from hzc.model.config import ModelConfig
from hzc.model.transforms import Analysis
from hzc.train.config import TrainConfig
from hzc.train.data import Corpus, pause_factor, weight_of

WINDOW_FRAMES = 480
"""Frames analysed at once, a minute."""
LEVEL_JITTER_DB = 4.0
"""Spread of the level about the target that the codec brings recordings to."""


def split_weights(weights: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    """Return the weights of one part of the model, float16 arrays by name."""
    return {
        name.removeprefix(prefix): value.half().cpu().numpy()
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def base_step(weights: dict[str, Tensor]) -> FloatArray:
    """Return the step of every dimension, σ √12, float32 [D]: see `hzc.train.model`."""
    sigma: FloatArray = np.exp(weights["log_sigma"].float().cpu().numpy()[:, 0])
    return sigma * np.float32(math.sqrt(12.0))


@dataclass(frozen=True)
class LatentSet:
    """Latents of a corpus in units of the base step, all recordings end to end."""

    latents: FloatArray
    """float32 [frame, D]."""
    starts: npt.NDArray[np.int64]
    """First frame of the recording that each frame belongs to, int64 [frame]."""
    weights: npt.NDArray[np.float64]
    """How much more often than others each frame is to be drawn, float64 [frame]."""


def collect(weights: dict[str, Tensor], config: TrainConfig, corpus: Corpus) -> LatentSet:
    """Return the latents of a corpus under the averaged weights of a run.

    They are rounded to half precision first, like the weights that will be shipped.
    """
    sizes, rng = config.model, np.random.default_rng(config.seed)
    analysis = Analysis(sizes).to(config.device).eval()
    halves = {k: torch.from_numpy(v) for k, v in split_weights(weights, "analysis.").items()}
    analysis.load_state_dict(halves)
    step = base_step(weights)
    latents, starts, factors, n_frames = [], [], [], 0
    for name, samples in tqdm(list(corpus.files()), desc="analyse", unit="file", disable=None):
        x = levelled(samples.astype(np.float32) / np.float32(32768.0), config, rng)
        whole = np.pad(x, (0, -len(x) % sizes.hop_length))
        y = analysed(analysis, whole, sizes, config.device) / step
        latents.append(y)
        starts.append(np.full(len(y), n_frames, dtype=np.int64))
        factors.append(np.full(len(y), weight_of(name, config.data)))
        n_frames += len(y)
    return LatentSet(np.concatenate(latents), np.concatenate(starts), np.concatenate(factors))


def levelled(x: FloatArray, config: TrainConfig, rng: np.random.Generator) -> FloatArray:
    """Return samples about as loud as the codec makes them, now and then with digital silence."""
    sample_rate_hz = config.model.sample_rate_hz
    if rng.random() < config.data.pause_probability and len(x) > config.model.hop_length:
        # Else the prior has never met digital silence, and pays for it.
        x = x * pause_factor(len(x), sample_rate_hz, rng)
    level_db = level.survey(sources.array_source(x, sample_rate_hz)).level_db
    gain_db = level.gain_for(level_db) / 2.0
    gain_db += rng.uniform(-LEVEL_JITTER_DB, LEVEL_JITTER_DB)
    return x * np.float32(10.0 ** (gain_db / 20.0))


@torch.inference_mode()
def analysed(analysis: Analysis, x: FloatArray, sizes: ModelConfig, device: str) -> FloatArray:
    """Return the latent of float32 [sample], whole frames: float32 [frame, D].

    It is computed in windows with the transform's reach on either side, which is thrown away.
    """
    reach, n_frames = sizes.analysis_context_frames, len(x) // sizes.hop_length
    parts = []
    for start in range(0, n_frames, WINDOW_FRAMES):
        end = min(start + WINDOW_FRAMES, n_frames)
        first, last = max(0, start - reach), min(n_frames, end + reach)
        window = torch.from_numpy(x[first * sizes.hop_length : last * sizes.hop_length])
        y = analysis(window[None].to(device))[0].T.cpu().numpy()
        parts.append(y[start - first : end - first])
    return np.concatenate(parts)
