"""hzc: a speech codec for about 1 kbit/s of real file bytes.

codec = hzc.load()
data = codec.encode(samples, sample_rate_hz)      # bytes of a .hzc file
samples, sample_rate_hz = codec.decode(data)
y = codec.latents(samples, sample_rate_hz)        # float32 [channel, D, F]
s = codec.symbols(data)                           # int32 [channel, D, F]

hzc.encode_file("talk.wav", "talk.hzc")
hzc.decode_file("talk.hzc", "talk.flac", hzc.DecodeOptions(sample_rate_hz=None))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from hzc.codec import Codec
    from hzc.jobs import Outcome, decode_file, encode_file
    from hzc.options import DecodeOptions, EncodeOptions

__version__ = "0.1.0"

__all__ = [
    "DecodeOptions", "EncodeOptions", "Outcome", "__version__", "decode_file", "encode_file",
    "load",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import what is about files when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'hzc' has no attribute {name!r}")
    return getattr(import_module("hzc.options" if name.endswith("Options") else "hzc.jobs"), name)


def load(
    model: str | PathLike[str] | None = None, device: str = "cpu", backend: str | None = None
) -> Codec:
    """Return the codec of a model.

    Args:
        model: Registered name, path of a .safetensors file, or None for the default model.
        device: "cpu" or "cuda".
        backend: "onnx" or "torch"; None for ONNX Runtime on the processor where it is installed.

    Raises:
        UnknownModelError: no such name.
        WeightsError: the weights are missing or damaged.
    """
    # Torch takes a second or two to import; `import hzc` and the command line's help do not wait.
    from hzc.codec import Codec

    return Codec.load(model, device, backend)
