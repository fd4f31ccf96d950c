"""A part of each family."""

import hashlib
import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gen_experiments.data.sources import Decoded, Source
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.base import AdversarialLoss
from gen_experiments.losses.reconstruction import ReconstructionLoss
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.models.gan import GAN
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.networks.base import Generator
from gen_experiments.quantizers.base import Quantized, Quantizer
from gen_experiments.sizes import Size, height_and_width


class Signs(Quantizer):
    """Every channel becomes its sign."""

    def __init__(self, dim: int = 6) -> None:
        super().__init__()
        self.dim, self.codebook_size = dim, 2**dim

    def forward(self, z: Tensor) -> Quantized:
        hard = torch.where(z >= 0, 1.0, -1.0)
        powers = 2 ** torch.arange(self.dim, device=z.device)
        indices = ((hard > 0).long().movedim(1, -1) * powers).sum(-1)
        return Quantized(z + (hard - z).detach(), indices, 0.25 * (z - hard).square().mean())

    def decode(self, indices: Tensor) -> Tensor:
        bits = indices[..., None] // 2 ** torch.arange(self.dim, device=indices.device) % 2
        return (bits * 2.0 - 1).movedim(-1, 1)


class Perceptron(Generator):
    """Two layers."""

    def __init__(self, image: ImageSpec, latent_dim: int = 8, width: int = 32) -> None:
        super().__init__()
        self.latent_dim, self.shape = latent_dim, image.shape
        self.first, self.last = nn.Linear(latent_dim, width), nn.Linear(width, math.prod(image.shape))

    @property
    def first_weight(self) -> Tensor:
        return self.first.weight

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.last(torch.relu(self.first(noise)))).view(-1, *self.shape)


class Huber(ReconstructionLoss):
    """A quadratic loss that is linear beyond `delta`."""

    def __init__(self, delta: float = 0.1, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.delta = delta

    def __call__(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return self.weight * F.huber_loss(reconstruction, images, delta=self.delta)


class LeastSquares(AdversarialLoss):
    """The loss of LSGAN."""

    boundary = 0.5

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real - 1).square().mean() + fake.square().mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return (fake - 1).square().mean()


class Stripes(Source):
    """Stripes of two directions."""

    channels, num_classes, class_names = 1, 2, ("flat", "upright")

    def __init__(self, count: int = 60) -> None:
        self.count = count

    def splits(self) -> set[str]:
        return {"train"}

    def key(self, split: str) -> str:
        return f"stripes-{self.count}"

    def decode(self, split: str, size: Size) -> Decoded:  # type: ignore[override]  # there is nothing to crop
        height, width = height_and_width(size)
        labels = np.arange(self.count) % 2
        rows = 128 + 100 * np.sin(np.arange(height)[:, None] * np.linspace(0.2, 1, self.count)[:, None, None])
        columns = 128 + 100 * np.sin(np.arange(width) * np.linspace(0.2, 1, self.count)[:, None, None])
        images = np.where(labels[:, None, None], columns + 0 * rows, rows + 0 * columns)
        return Decoded(images[:, None].astype(np.uint8), labels.astype(np.int64))


class Thumbnails(FeatureExtractor):
    """The pixels of thumbnails."""

    resize = "area"

    def __init__(self, side: int = 3) -> None:
        super().__init__()
        self.side, self.num_features = side, side * side
        self.weights_hash = hashlib.sha256(str(side).encode()).hexdigest()

    def extract(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images.float().mean(1, keepdim=True) / 255, self.side).flatten(1)


class Brightness(pl.Callback):
    """Logs the mean of samples."""

    def __init__(self, count: int = 4) -> None:
        self.count = count

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if isinstance(pl_module, GAN):
            pl_module.log("val/brightness", pl_module.sample(0, self.count).mean())


class ContrastVQVAE(VQVAE):
    """A VQ-VAE that also keeps the contrast of its images."""

    def __init__(self, *args: Any, contrast: float = 0.1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.contrast = contrast

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        difference: Tensor = (self(batch.inputs)[0].std() - batch.images.std()).abs()
        self.log_training(contrast=difference)
        return loss + self.contrast * difference


class OwnGAN(GAN):
    """A GAN that logs one more value."""

    def on_train_start(self) -> None:
        super().on_train_start()
        self.print("our own GAN trains")
