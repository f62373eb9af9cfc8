"""Latents of a whole corpus under a finished analysis transform: what the prior is fitted on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from hzc import audio
from hzc.codec import CORE_FRAMES, TARGET_LEVEL_DB
from hzc.model.config import CONFIGS
from hzc.model.transforms import Analysis
from hzc.model.windows import WindowPlan, run_windowed
from hzc.train.config import TrainConfig
from hzc.train.data import Corpus

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
    """Return the step of every dimension, σ √12, float32 [D]: see `hzc.train.loop`."""
    sigma: FloatArray = np.exp(weights["log_sigma"].float().cpu().numpy()[:, 0])
    return sigma * np.float32(math.sqrt(12.0))


def collect(
    weights: dict[str, torch.Tensor], config: TrainConfig, corpus: Corpus
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return latents in units of the base step, and where each recording starts.

    Args:
        weights: Averaged weights of a rate–distortion run.
        config: The run's configuration.
        corpus: Recordings to go through.

    Returns:
        latents: float32 [frame, D], all recordings end to end.
        starts: First frame of each frame's recording, int64 [frame].
    """
    model_config = CONFIGS[config.model]
    analysis = Analysis(model_config).to(config.device).eval()
    # Rounded to half precision like the weights that will be shipped.
    halves = {k: torch.from_numpy(v) for k, v in split_weights(weights, "analysis.").items()}
    analysis.load_state_dict(halves)
    step = base_step(weights)
    plan = WindowPlan(
        CORE_FRAMES, model_config.analysis_context_frames, model_config.hop_length, n_out=1
    )
    rng = np.random.default_rng(config.seed)

    @torch.inference_mode()
    def run(x: FloatArray) -> FloatArray:
        y: torch.Tensor = analysis(torch.from_numpy(x).to(config.device))
        return y.cpu().numpy()

    pieces: list[FloatArray] = []
    starts: list[npt.NDArray[np.int64]] = []
    n_frames = 0
    for _, samples in tqdm(list(corpus.files()), desc="analyse", unit="file", disable=None):
        whole = len(samples) // model_config.hop_length * model_config.hop_length
        x = samples[None, :whole].astype(np.float32) / np.float32(32768.0)
        level_db = audio.survey(audio.array_source(x, model_config.sample_rate_hz)).level_db
        gain_db = TARGET_LEVEL_DB - level_db + rng.uniform(-LEVEL_JITTER_DB, LEVEL_JITTER_DB)
        x *= np.float32(10.0 ** (gain_db / 20.0))
        y = np.concatenate(list(run_windowed(run, iter([x]), plan)), axis=-1)[0].T / step
        pieces.append(y.astype(np.float32))
        starts.append(np.full(len(y), n_frames, dtype=np.int64))
        n_frames += len(y)
    return np.concatenate(pieces), np.concatenate(starts)


def checkpoint_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the averaged weights in a checkpoint."""
    from hzc.train.loop import load_checkpoint

    weights: dict[str, torch.Tensor] = load_checkpoint(path)["ema"]
    return weights
