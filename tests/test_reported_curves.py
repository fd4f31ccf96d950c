"""The curves of a GAN, each value beside the same number from its weights, the data set and the random streams.

The learning rates are 0, so that the weights of the last checkpoint are those of every iteration.
"""

import csv
import os

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

import independent
from conftest import CONFIGS
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.models.gan import GAN

BATCH, STEPS, IMAGES, TARGET = 400, 6, 1437, -0.7
ADAPTATION = 10**9  # images in which the augmentation would go from 0 to 1: none is augmented yet
OPTIONS = (
    f"--config={CONFIGS / 'gan.yaml'}",
    "--model.generator=PlainGenerator",
    "--model.discriminator=PlainDiscriminator",
    "--model.penalties=null",
    "--model.optimizer_g.lr=0",
    "--model.optimizer_d.lr=0",
    "--model.augmentation=DiffAugment",
    "--model.augmentation_strength=AdaptiveStrength",
    f"--model.augmentation_strength.target={TARGET}",
    f"--model.augmentation_strength.images={ADAPTATION}",
    "--model.augmentation_strength.every=1",
    "--data.size=8",
    "--data.flip=true",
    f"--data.batch_size={BATCH}",
    "--evaluation.samples=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=1",
    "--trainer.val_check_interval=1000",
    f"--trainer.max_steps={STEPS}",
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What was logged of each iteration, and the logits from which it should have been."""
    from gen_experiments.__main__ import main

    folder, before = tmp_path_factory.mktemp("frozen"), dict(os.environ)
    assert main(["fit", *OPTIONS, f"--run.root={folder}"]) == 0
    os.environ.clear()
    os.environ.update(before)
    run = folder / "gan" / "version_0"
    with (run / "metrics.csv").open(newline="") as table:
        logged = [row for row in csv.DictReader(table) if row["train/loss_d"]]
    model = load_model(run / "checkpoints" / "last.ckpt", GAN, "test")
    return list(zip(logged, _logits(model), strict=True))


@torch.no_grad()
def _logits(model):
    """Of each iteration: D of the mirrored batch, of what D is shown and of what G is judged by."""
    pixels, _ = independent.digits(8)
    pixels = pixels[independent.held_out(len(pixels))["train"]]
    for step in range(STEPS):
        batch, mirrored = independent.batch_of(step, IMAGES, BATCH)
        images = pixels[batch] / 127.5 - 1
        images[mirrored] = images[mirrored].flip(-1)
        random = independent.source(0, 2, step)
        noise = [torch.randn(BATCH, model.generator.latent_dim, generator=random) for _ in range(2)]
        fakes = [model.discriminator(model.generator(z)) for z in noise]
        yield model.discriminator(images), *fakes


def test_the_losses_are_of_other_noise_for_each_network_and_other_flips_in_each_epoch(rows):
    assert STEPS > IMAGES // BATCH
    for logged, (real, fake, judged) in rows:
        expected = {
            "loss_d": softplus(-real).mean() + softplus(fake).mean(),
            "loss_g": softplus(-judged).mean(),
            "logit_real": real.mean(),
            "logit_fake": fake.mean(),
            "sign_accuracy": torch.cat([real > 0, fake < 0]).float().mean(),
        }
        found = {name: float(logged[f"train/{name}"]) for name in expected}
        assert found == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-5, abs=1e-6)


def test_the_strength_follows_the_signs_of_the_real_logits(rows):
    """ADA's rule: up by the batch's share of `images` while the mean sign of D(real) is above the target."""
    signs = [[float(logits.sign().mean()) for logits in both] for _, (*both, _) in rows]
    assert all(real > TARGET > fake for real, fake in signs), "both kinds of image would move it alike"
    p = 0.0
    for (logged, _), (real, _) in zip(rows, signs, strict=True):
        assert float(logged["train/augmentation_p"]) == pytest.approx(p, rel=1e-5)
        p = min(max(p + np.sign(real - TARGET) * BATCH / ADAPTATION, 0.0), 1.0)
    assert p > 0
