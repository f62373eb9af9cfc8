"""Continue a .hzc file: the result is a .hzc file too.

python sample.py model.pt prompt.hzc more.hzc --seconds 8
hzc decode more.hzc more.wav
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from model import Config, SpeechModel

import hzc
from hzc import container


def main() -> None:
    """Read a prompt, continue it, write the whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("prompt", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--prompt-seconds", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=8.0, help="to add")
    parser.add_argument("--temperature", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    stored = torch.load(args.model, weights_only=True)
    model = SpeechModel(Config(**stored["config"]))
    model.load_state_dict(stored["weights"])
    model.eval()
    codec, data = hzc.load(), args.prompt.read_bytes()
    given = torch.from_numpy(codec.symbols(data)[0].T).float()  # (frame, d)
    n_given = round(args.prompt_seconds * container.FRAME_RATE_HZ)
    n_more = round(args.seconds * container.FRAME_RATE_HZ)
    symbols = model.continued(given[:n_given], n_more, args.temperature).T.int().numpy()
    args.output.write_bytes(packed(codec, container.unpack(data), symbols))


def packed(codec: hzc.Codec, prompt: container.Container, symbols) -> bytes:
    """Return the file of symbols, int32 [d, frame], at the loudness of the prompt."""
    n_frames, step_index = symbols.shape[1], prompt.header.step_index
    header = container.Header(
        model_id=prompt.header.model_id, fingerprint=prompt.header.fingerprint,
        n_latent=len(symbols), n_frames=n_frames, n_samples=n_frames * 2000, step_index=step_index,
    )  # fmt: skip
    parts = [symbols[:, i : i + container.CHUNK_FRAMES]
             for i in range(0, n_frames, container.CHUNK_FRAMES)]  # fmt: skip
    payloads = codec.model.prior.encode_all(parts, step_index)
    gain = prompt.chunks[0].gain_half_db
    chunks = [container.Chunk(part.shape[1], (payload,), gain)
              for part, payload in zip(parts, payloads, strict=True)]  # fmt: skip
    return container.pack(header, chunks)


if __name__ == "__main__":
    main()
