"""From the command to the end of the first iteration, by the clock and in processor time, and the memory then.

    python tests/benchmarks/bench_start.py [--rounds 5]

Each start is a process of its own, by turns: `fit --config configs/vqvae.yaml`; for comparison a script of plain
PyTorch with networks of that kind and the same digits, and the same script where it has also imported lightning,
torchmetrics and wandb.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lightning.pytorch import Callback

CONFIG = Path(__file__).parent.parent.parent / "configs" / "vqvae.yaml"
MARK = "first step at "
BARE = f"""
import os, resource, time
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

images = F.interpolate(torch.from_numpy(load_digits().images).float()[:64, None] / 8 - 1, 32)
encoder = nn.Sequential(nn.Conv2d(1, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 4, 2, 1))
decoder = nn.Sequential(nn.ConvTranspose2d(64, 64, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(64, 1, 4, 2, 1))
codes = nn.Embedding(128, 64)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), *codes.parameters()])
latents = encoder(images).movedim(1, -1)
nearest = codes(torch.cdist(latents.flatten(0, 2), codes.weight).argmin(1)).view_as(latents)
loss = F.mse_loss(decoder((latents + (nearest - latents).detach()).movedim(-1, 1)), images)
(loss + F.mse_loss(nearest, latents.detach()) + 0.25 * F.mse_loss(latents, nearest.detach())).backward()
optimizer.step()
print("{MARK}", time.time(), sum(os.times()[:4]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
PACKAGES = "import lightning.pytorch, torchmetrics, wandb"
STARTS = {
    "the framework": [__file__, "--first-step"],
    "bare": ["-c", BARE],
    "bare, and lightning, torchmetrics and wandb": ["-c", PACKAGES + BARE],
}


class FirstStep(Callback):
    """Says when the first iteration has ended, and what processor time and memory the process took until then."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        if batch_idx == 0:
            print(MARK, time.time(), sum(os.times()[:4]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def first_step() -> None:
    from gen_experiments.__main__ import main

    steps = ["--trainer.max_steps=2", "--trainer.limit_val_batches=0"]
    main(["fit", f"--config={CONFIG}", f"--trainer.callbacks+={__name__}.FirstStep", *steps])


def start(name: str) -> tuple[float, float, float]:
    """Returns the seconds by the clock, those of the processor and the megabytes of one start."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        call = [sys.executable, *STARTS[name]]
        said = subprocess.run(call, capture_output=True, text=True, check=True, cwd=folder).stdout
    ended, processor, kilobytes = next(line for line in said.splitlines() if MARK in line).split(MARK)[1].split()
    return float(ended) - began, float(processor), float(kilobytes) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first-step", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first_step:
        first_step()
        sys.exit()
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in STARTS}
    for turn in range(options.rounds + 1):
        for name, found in measured.items():
            once = start(name)
            if turn:  # the first fills the file cache
                found.append(once)
    for name, found in measured.items():
        seconds, processor, megabytes = (statistics.median(each) for each in zip(*found, strict=True))
        spreads = []
        for clock in range(2):
            pairs = zip(measured["the framework"], found, strict=True)
            ratios = sorted(own[clock] / other[clock] for own, other in pairs)
            spreads.append(f"{statistics.median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        print(
            f"{name}: {seconds:.2f} s, {processor:.2f} s of the processor, {megabytes:,.0f} MB; the framework takes "
            f"{spreads[0]}, of the processor {spreads[1]}"
        )
