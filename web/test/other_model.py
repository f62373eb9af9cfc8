"""Make a model of other sizes than the registered one, a file, and what Python decodes from it.

usage: other_model.py FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import make_sound, make_tiny_prior  # noqa: E402
from sizes import TINY  # noqa: E402

from hzc.codec import Codec  # noqa: E402
from hzc.model.file import open_model, save_model  # noqa: E402
from hzc.model.transforms import Analysis, Synthesis  # noqa: E402
from hzc.train.graphs import write_graphs  # noqa: E402

CONFIG = replace(
    TINY, n_latent=64, sees_step_index=True, stft_hop=400, n_fft=800, strides=(5,),
    analysis_widths=(24, 32), analysis_blocks=(2, 1), synthesis_widths=(32, 24),
    synthesis_blocks=(1, 2),
)  # fmt: skip

folder = Path(sys.argv[1])
torch.manual_seed(1)
networks = {"analysis": Analysis(CONFIG), "synthesis": Synthesis(CONFIG)}
arrays = {
    f"{part}.{name}": value.half().numpy()
    for part, network in networks.items()
    for name, value in network.state_dict().items()
}
prior = make_tiny_prior(1, n_groups=8, group_size=8, context_frames=1)
arrays |= {
    "base_step": np.linspace(0.08, 0.2, CONFIG.n_latent, dtype=np.float32),
    "mixture_scales": np.ones((len(prior.tables), 1), dtype=np.float32),
    "mixture_weights": np.ones((len(prior.tables), 1), dtype=np.float32),
}
metadata = {"model_id": 241, "name": "other", "default_step_index": 3}
save_model(folder / "other.safetensors", metadata, CONFIG, prior, arrays)
write_graphs(open_model(folder / "other.safetensors"))
codec = Codec.load(folder / "other.safetensors")
sound = make_sound(30_000)
(folder / "sound.f32").write_bytes(sound.tobytes())
(folder / "other.hzc").write_bytes(data := codec.encode(sound, 16_000))
(folder / "decoded.f32").write_bytes(codec.decode(data)[0].tobytes())
