"""Runs whose reported numbers are recomputed from their files."""

import numpy as np
from PIL import Image

from conftest import CONFIGS
from gen_experiments.metrics.features import DigitsFeatures

SIZE, SEED = 16, 0


COMMON = (
    f"--data.size={SIZE}",
    "--data.batch_size=32",
    "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=1",
    "--trainer.val_check_interval=1000",
)


GAN = (
    f"--config={CONFIGS / 'gan.yaml'}",
    "--model.generator=PlainGenerator",
    "--model.generator.conditional=true",
    "--model.discriminator=PlainDiscriminator",
    "--model.discriminator.conditional=true",
    # Of unequal length, the last not full.
    "--evaluation.samples=180",
    "--evaluation.batch_size=70",
)


PRIOR = (
    f"--config={CONFIGS / 'prior.yaml'}",
    "--model.prior.width=16",
    "--model.prior.depth=1",
    "--model.prior.heads=2",
    "--model.prior.dropout=0",
    "--model.prior.steps=5",
    "--model.ema_half_life=300",
    "--model.lr_schedule=null",
    "--evaluation.samples=66",
)


def checkpoint(folder, model):
    return folder / model / "version_0" / "checkpoints" / "last.ckpt"


def features(pictures):
    return DigitsFeatures()(pictures).numpy()


def write(pictures, folder):
    folder.mkdir(parents=True)
    for number, picture in enumerate(np.asarray(pictures)[:, 0]):
        Image.fromarray(picture).save(folder / f"{number:04d}.png")
