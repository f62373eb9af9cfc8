"""Train the language model on shards of .hzc files.

hzc corpus encode speech/ -o coded
python train.py coded model.pt --minutes 10        writes model.pt, model.csv and model.png
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from model import Config, SpeechModel

import hzc.data

HELD_OUT = 0.05
"""Share of the frames, at the end, that the model is measured on."""


def batch(frames: torch.Tensor, n: int, length: int, rng: np.random.Generator) -> torch.Tensor:
    """Return stretches, integers (n, length, d), that start anywhere."""
    starts = rng.integers(0, len(frames) - length + 1, n)
    return torch.stack([frames[i : i + length] for i in starts])


@torch.inference_mode()
def measured(model: SpeechModel, frames: torch.Tensor, length: int) -> float:
    """Return the bits that a frame costs, over stretches side by side."""
    whole = frames[: len(frames) // length * length].view(-1, length, frames.shape[1])
    return float(torch.cat([model.bits(part) for part in whole.split(16)]).mean())


def of_the_codec(frames: torch.Tensor, length: int) -> float:
    """Return what hzc's own prior pays for a frame, at the model's usual step."""
    model = hzc.load().model
    parts = frames[: len(frames) // length * length].view(-1, length, frames.shape[1]).mT.int()
    bits = [model.prior.ideal_bits(part.numpy(), model.default_step_index) for part in parts]
    return float(np.mean(bits)) / length


def draw(rows: list[tuple[int, float, float, float]], n_frames: int, path: Path) -> None:
    """Draw the loss against the steps."""
    from matplotlib.figure import Figure

    steps, minutes, train, held_out = zip(*rows, strict=True)
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, train, label="training")
    axes.plot(steps, held_out, label="held out")
    hours = n_frames / 28_800
    axes.set_xlabel(f"steps ({minutes[-1]:.1f} min of one processor, {hours:.1f} h of speech)")
    axes.set_ylabel("bits per frame of 1/8 s")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90)


def main() -> None:
    """Train, and write what was learned."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", help="folder of hzc corpus encode")
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="of processor time")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=128, help="length of a stretch")
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    # All symbols of an hour are 2 MB. For corpora that do not fit: hzc.data.ClipDataset.
    clips = [sample.values for sample in hzc.data.read(args.shards)]
    frames = torch.from_numpy(np.concatenate(clips)).float()
    n_train = round(len(frames) * (1.0 - HELD_OUT))
    train, held_out = frames[:n_train], frames[n_train:]
    config = Config(n_latent=frames.shape[1], scale=float(frames.std()))
    model = SpeechModel(config)
    print(f"{len(frames)} frames, {sum(p.numel() for p in model.parameters()):,} parameters")
    print(f"hzc's prior: {of_the_codec(held_out, args.frames):.1f} bits for a frame held out")
    optimiser = torch.optim.AdamW(model.parameters(), args.lr, betas=(0.9, 0.95))
    started, rows, recent, step = time.process_time(), [], [], 0
    while (done := (time.process_time() - started) / 60.0 / args.minutes) < 1.0:
        factor = min(1.0, (step + 1) / 50) * min(1.0, 4.0 * (1.0 - done))
        optimiser.param_groups[0]["lr"] = args.lr * factor
        loss = model.bits(batch(train, args.batch, args.frames, rng)).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimiser.step()
        step += 1
        recent.append(loss.item())
        if step % 50 == 0:
            row = (step, done * args.minutes, float(np.mean(recent)),
                   measured(model, held_out, args.frames))  # fmt: skip
            rows.append(row)
            recent.clear()
            print("step {}  {:.1f} min  training {:.1f}  held out {:.1f}".format(*row), flush=True)
    torch.save({"config": asdict(config), "weights": model.state_dict()}, args.output)
    with args.output.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerows([("step", "minutes", "training", "held_out"), *rows])
    draw(rows, len(frames), args.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
