"""One training step inside the framework against a bare PyTorch loop over the same networks and batches.

    python tests/benchmarks/bench_step.py [--steps 40] [--rounds 15] [--threads 2]

Blocks of steps alternate in one process: one block under `Trainer.fit` with the callbacks of the shipped config, one
block bare. The figure is the median over the rounds of the ratio of neighbouring blocks.
"""

import argparse
import copy
import statistics
import time
from pathlib import Path
from typing import ClassVar

import torch
from lightning.pytorch import Callback
from torch.nn import functional as F

from gen_experiments.__main__ import main

CONFIGS = Path(__file__).parent.parent.parent / "configs"


class Pairs(Callback):
    """After every `steps` iterations of the framework, lets a bare loop do as many on copies, and takes both times."""

    steps = 40
    bare = staticmethod(lambda module: None)
    ratios: ClassVar[list[float]] = []
    framework: ClassVar[list[float]] = []
    alone: ClassVar[list[float]] = []

    def __init__(self) -> None:
        self._since = 0.0
        self._loop = None
        self._batches = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self._loop = self._loop or type(self).bare(module)
        self._batches.append(batch)
        if len(self._batches) < self.steps:
            return
        now = time.perf_counter()
        if self._since:
            for b in self._batches:
                self._loop(b.images)
            alone = time.perf_counter() - now
            Pairs.framework.append((now - self._since) / self.steps)
            Pairs.alone.append(alone / self.steps)
            Pairs.ratios.append((now - self._since) / alone)
        self._batches, self._since = [], time.perf_counter()


def bare_vqvae(module):
    encoder, quantizer, decoder = copy.deepcopy((module.encoder, module.quantizer, module.decoder))
    optimizer = torch.optim.Adam([*encoder.parameters(), *quantizer.parameters(), *decoder.parameters()], lr=1e-3)

    def step(images):
        quantized = quantizer(encoder(images))
        loss = F.mse_loss(decoder(quantized.values), images) + quantized.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def bare_gan(module):
    generator, discriminator, average = copy.deepcopy((module.generator, module.discriminator, module.ema))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    # The penalty is left out on both sides: its interval would not divide every block.

    def step(images):
        discriminator.requires_grad_(True)
        with torch.no_grad():
            fake = generator(torch.randn(len(images), generator.latent_dim))
        loss = F.softplus(-discriminator(images)).mean() + F.softplus(discriminator(fake)).mean()
        optimizer_d.zero_grad()
        loss.backward()
        optimizer_d.step()
        discriminator.requires_grad_(False)
        loss = F.softplus(-discriminator(generator(torch.randn(len(images), generator.latent_dim)))).mean()
        optimizer_g.zero_grad()
        loss.backward()
        optimizer_g.step()
        average.update(generator, len(images), 5000.0)

    return step


def measure(name: str, config: str, bare, steps: int, rounds: int, *options: str) -> None:
    Pairs.steps, Pairs.bare = steps, staticmethod(bare)
    Pairs.ratios, Pairs.framework, Pairs.alone = [], [], []
    main(
        [
            "fit",
            f"--config={CONFIGS / config}",
            f"--trainer.max_steps={steps * (rounds + 1)}",
            "--trainer.limit_val_batches=0",
            f"--trainer.callbacks+={__name__}.Pairs",
            "--run.name=benchmark",
            *options,
        ]
    )
    milliseconds = [statistics.median(times) * 1e3 for times in (Pairs.framework, Pairs.alone)]
    ratio = statistics.median(Pairs.ratios)
    print(f"{name}: framework {milliseconds[0]:.2f} ms, bare {milliseconds[1]:.2f} ms a step, median ratio {ratio:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measure("VQ-VAE", "vqvae.yaml", bare_vqvae, options.steps, options.rounds)
    measure("GAN", "gan.yaml", bare_gan, options.steps, options.rounds, "--model.penalties=null")
