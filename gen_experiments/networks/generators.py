"""Generators: DCGAN's and a plain fully connected one."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Generator
from gen_experiments.networks.blocks import check_widths, doublings, normal_init, start_size
from gen_experiments.networks.conditioning import NoiseAndLabel, classes_of


class DCGANGenerator(Generator):
    """DCGAN's generator (https://arxiv.org/abs/1511.06434) for 16 to 256 pixels (see `blocks.doublings`).

    A 4×4 start (6×8 for 96×128) and 4×4 transposed convolutions of stride 2, each of half the channels; batch norm and
    ReLU everywhere but at the output, which is a tanh; weights from N(0, 0.02).

    Args:
        image: the images' shape.
        latent_dim: length of the noise.
        width: channels before the last layer; they double towards the start, up to 8 · width.
        batch_norm: normalise by the statistics of the batch.
        conditional: make images of given labels: an embedding is appended to the noise.

    Raises:
        UserError: the image cannot have this size, or a conditional network gets data without labels.
    """

    def __init__(
        self,
        image: ImageSpec,
        latent_dim: int = 128,
        width: int = 64,
        batch_norm: bool = True,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        check_widths(latent_dim=latent_dim, width=width)
        self.latent_dim, self.num_classes = latent_dim, classes_of(image, conditional)
        self.input = NoiseAndLabel(latent_dim, self.num_classes)
        widths = [width * min(2**i, 8) for i in reversed(range(doublings(image)))]
        bias = not batch_norm
        layers: list[nn.Module] = [nn.ConvTranspose2d(self.input.dim, widths[0], start_size(image), bias=bias)]
        for before, after in pairwise(widths):
            layers += _norm_and_activation(before, batch_norm)
            layers += [nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1, bias=bias)]
        layers += _norm_and_activation(widths[-1], batch_norm)
        layers += [nn.ConvTranspose2d(widths[-1], image.channels, kernel_size=4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers)
        self.apply(normal_init(0.02))

    @property
    def first_weight(self) -> Tensor:
        """(pixels · channels, latent_dim), of the transposed convolution that makes the start."""
        weight = self.layers[0].weight
        assert isinstance(weight, Tensor)
        return weight[: self.latent_dim].flatten(1).T

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, latent_dim) and, if conditional, (B,) labels -> (B, C, H, W) in (-1, 1)."""
        return torch.tanh(self.layers(self.input(noise, labels)[:, :, None, None]))


class PlainGenerator(Generator):
    """The plain fully connected generator with one hidden layer, for images of any size.

    Args:
        image: the images' shape.
        latent_dim: length of the noise.
        hidden: units of the hidden layer.
        conditional: make images of given labels: an embedding is appended to the noise.

    Raises:
        UserError: a conditional network gets data without labels.
    """

    def __init__(self, image: ImageSpec, latent_dim: int = 64, hidden: int = 128, conditional: bool = False) -> None:
        super().__init__()
        check_widths(latent_dim=latent_dim, hidden=hidden)
        self.latent_dim, self.num_classes = latent_dim, classes_of(image, conditional)
        self.input = NoiseAndLabel(latent_dim, self.num_classes)
        self.layers = nn.Sequential(
            nn.Linear(self.input.dim, hidden),
            nn.ReLU(),
            nn.Linear(hidden, math.prod(image.shape)),
            nn.Unflatten(1, image.shape),
        )

    @property
    def first_weight(self) -> Tensor:
        """(hidden, latent_dim)."""
        weight = self.layers[0].weight
        assert isinstance(weight, Tensor)
        return weight[:, : self.latent_dim]

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, latent_dim) and, if conditional, (B,) labels -> (B, C, H, W) in (-1, 1)."""
        return torch.tanh(self.layers(self.input(noise, labels)))


def _norm_and_activation(channels: int, batch_norm: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
