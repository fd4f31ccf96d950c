"""A GAN generates images by the moving average of its generator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gen_experiments.models.sampling import GenerativeModel, sample_rngs
from gen_experiments.networks.base import Generator
from gen_experiments.pure_functions import PureFunction
from gen_experiments.training.ema import EMA


class AveragedGenerator(GenerativeModel):
    """The half of a GAN that is used after training.

    Attributes:
        generator: noise to images; the network that is trained.
        ema: its moving average, which generates images.
    """

    generator: Generator
    ema: EMA

    @property
    def num_classes(self) -> int | None:
        """The number of labels, or None if the generator is not conditional."""
        return self.generator.num_classes

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns images (B, C, H, W) of the averaged generator from (B, latent_dim) noise."""
        images: Tensor = self.ema(noise, labels)
        return images

    def generate(self, rngs: Sequence[torch.Generator], labels: Tensor | None, truncation: float) -> Tensor:
        """Returns one image per random number generator; see `sample`."""
        images: Tensor = self(truncation * self.noise(rngs), labels)
        return images

    def noise(self, rngs: Sequence[torch.Generator]) -> Tensor:
        """Returns (len(rngs), latent_dim) noise, a row from each random number generator, on the model's device."""
        noise = [torch.randn(self.generator.latent_dim, generator=rng, dtype=torch.float32) for rng in rngs]
        return torch.stack(noise).to(self.device)

    def pure_functions(self) -> dict[str, PureFunction]:
        """Returns `generator`: (B, latent_dim) latents and, if conditional, (B,) int64 labels -> (B, C, H, W) images.

        It is the averaged generator, as in `sample`; its images should lie in [-1, 1] but are not clamped.
        """
        rngs = sample_rngs(0, 3, seed=0)
        inputs, labels = {"latents": self.noise(rngs)}, self.drawn_labels(rngs)
        if labels is not None:
            inputs["labels"] = labels.to(self.device)
        return {"generator": PureFunction(self.ema, (self.ema,), inputs, ("images",))}
