"""What a lost frame may have been: the context prior's guess."""

from __future__ import annotations

import numpy as np

from hzc.blocks import FloatArray
from hzc.coding.entropy import IntArray
from hzc.coding.prior import CONTEXT_CLIP, MEAN_FRACTIONS, Prior


def predicted(prior: Prior, past: IntArray, step_index: int, n_frames: int) -> FloatArray:
    """Return the means that the prior expects, one frame after the other.

    Args:
        prior: Of the model.
        past: Symbols of the frames before, int32 [D, n]; the last K of them are looked at.
        step_index: Of those symbols.
        n_frames: How many to guess.

    Returns:
        float32 [D, n_frames], in steps.
    """
    k, d, size = prior.context_frames, prior.n_latent, prior.group_size
    context = np.zeros((1, 1 + (k + 1) * d))
    context[0, 0] = step_index
    frames = np.zeros((k, d))
    if n_known := min(k, past.shape[1]):
        frames[k - n_known :] = np.clip(past.T[-n_known:], -CONTEXT_CLIP, CONTEXT_CLIP)
    means = np.zeros((n_frames, d), np.float32)
    for mean in means:
        context[0, 1 : 1 + k * d] = frames.reshape(-1)
        now = context[0, 1 + k * d :]
        for group in range(prior.n_groups):
            columns = slice(group * size, (group + 1) * size)
            whole, index = prior.predict(group, context)
            fraction = index[0] % MEAN_FRACTIONS - MEAN_FRACTIONS // 2
            mean[columns] = whole[0] + fraction / np.float32(MEAN_FRACTIONS)
            now[columns] = np.rint(mean[columns])
        frames = np.concatenate([frames, now[None]])[1:]
    return means.T
