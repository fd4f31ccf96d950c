"""Encoders and decoders: the convolutional pair of the VQ-VAE and the plain fully connected one."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Decoder, Encoder, StagedEncoder
from gen_experiments.networks.blocks import (
    MAX_BLOCKS,
    MAX_CHANNELS,
    MAX_HALVINGS,
    ResidualStack,
    check_halvings,
    check_widths,
    fan_in_init,
)


class ConvEncoder(StagedEncoder):
    """The encoder of the VQ-VAE (https://arxiv.org/abs/1711.00937), at the defaults layer by layer that of sonnet.

    4×4 convolutions of stride 2 (the first of hidden/2 channels) and a 3×3 convolution, each under a ReLU, the residual
    stack and a 1×1 convolution to `dim` channels; (B, C, H, W) -> (B, dim, H / 2^downsamplings, W / 2^downsamplings).

    Args:
        image: the images' shape.
        dim: channels of the latents.
        hidden: channels of the body; >= 2.
        residual_hidden: channels inside a residual block.
        residual_blocks: number of residual blocks.
        downsamplings: how often the resolution is halved; >= 1.

    Raises:
        UserError: a number out of range, or the image size is no multiple of 2^downsamplings.
    """

    def __init__(
        self,
        image: ImageSpec,
        dim: int,
        hidden: int = 128,
        residual_hidden: int = 32,
        residual_blocks: int = 2,
        downsamplings: int = 2,
    ) -> None:
        super().__init__()
        _check(image, hidden, residual_hidden, residual_blocks, downsamplings)
        widths = [image.channels, hidden // 2, *[hidden] * (downsamplings - 1)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(
            *layers,
            nn.Conv2d(widths[-1], hidden, kernel_size=3, padding=1),
            nn.ReLU(),
            ResidualStack(hidden, residual_hidden, residual_blocks),
            nn.Conv2d(hidden, dim, kernel_size=1),
        )
        self.apply(fan_in_init)

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> (B, dim, h, w)."""
        latents: Tensor = self.layers(images)
        return latents

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Maps (B, C, H, W) in [-1, 1] -> `downsamplings` features (B, channels, h, w); the last are the latents."""
        stages: list[Tensor] = []
        for layer in self.layers:
            images = layer(images)
            if stages and stages[-1].shape[-2:] == images.shape[-2:]:
                stages.pop()
            stages.append(images)
        return stages


class ConvDecoder(Decoder):
    """The mirror of `ConvEncoder`: a 3×3 convolution, the residual stack, 4×4 transposed convolutions of stride 2.

    Args:
        image: the images' shape.
        dim: channels of the latents.
        hidden: channels of the body; >= 2.
        residual_hidden: channels inside a residual block.
        residual_blocks: number of residual blocks.
        downsamplings: how often the encoder halved the resolution; >= 1.

    Raises:
        UserError: a number out of range, or the image size is no multiple of 2^downsamplings.
    """

    def __init__(
        self,
        image: ImageSpec,
        dim: int,
        hidden: int = 128,
        residual_hidden: int = 32,
        residual_blocks: int = 2,
        downsamplings: int = 2,
    ) -> None:
        super().__init__()
        _check(image, hidden, residual_hidden, residual_blocks, downsamplings)
        inner = [hidden] * (downsamplings - 1) + [hidden // 2]
        widths = [hidden, *inner[1:], image.channels]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(
            nn.Conv2d(dim, hidden, kernel_size=3, padding=1),
            ResidualStack(hidden, residual_hidden, residual_blocks),
            *layers[:-1],
        )
        self.apply(fan_in_init)

    @property
    def last_weight(self) -> Tensor:
        """The weight of the last transposed convolution, (channels, C, 4, 4)."""
        return self.layers[-1].get_parameter("weight")

    def forward(self, latents: Tensor) -> Tensor:
        """Maps (B, dim, h, w) -> (B, C, H, W)."""
        images: Tensor = self.layers(latents)
        return images


class PlainEncoder(Encoder):
    """A plain fully connected encoder with one hidden layer, for images of any size.

    flatten -> `hidden` units, ReLU -> dim · grid · grid values as (B, dim, grid, grid).

    Args:
        image: the images' shape.
        dim: channels of the latents.
        hidden: units of the hidden layer.
        grid: height and width of the latents, which need not divide the image's.
    """

    def __init__(self, image: ImageSpec, dim: int, hidden: int = 128, grid: int = 4) -> None:
        super().__init__()
        check_widths(hidden=hidden, grid=grid)
        pixels = math.prod(image.shape)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, dim * grid**2),
            nn.Unflatten(1, (dim, grid, grid)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> (B, dim, grid, grid)."""
        latents: Tensor = self.layers(images)
        return latents


class PlainDecoder(Decoder):
    """The mirror of `PlainEncoder`, ending in tanh.

    Args:
        image: the images' shape.
        dim: channels of the latents.
        hidden: units of the hidden layer.
        grid: height and width of the latents, as the encoder's.
    """

    def __init__(self, image: ImageSpec, dim: int, hidden: int = 128, grid: int = 4) -> None:
        super().__init__()
        check_widths(hidden=hidden, grid=grid)
        self.grid = grid
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(dim * grid**2, hidden),
            nn.ReLU(),
            nn.Linear(hidden, math.prod(image.shape)),
            nn.Unflatten(1, image.shape),
        )

    @property
    def last_weight(self) -> Tensor:
        """The weight of the last linear map, (C · H · W, hidden)."""
        return self.layers[-2].get_parameter("weight")

    def forward(self, latents: Tensor) -> Tensor:
        """Maps (B, dim, grid, grid) -> (B, C, H, W) in (-1, 1).

        Raises:
            UserError: the latents are of another grid.
        """
        height, width = latents.shape[-2:]
        if (height, width) != (self.grid, self.grid):
            raise UserError(
                f"the decoder takes a grid of {self.grid}x{self.grid} latents, not of {height}x{width}: "
                "set decoder.grid to the encoder's"
            )
        return torch.tanh(self.layers(latents))


def _check(image: ImageSpec, hidden: int, residual_hidden: int, residual_blocks: int, downsamplings: int) -> None:
    # The first layer has half as many channels.
    check_interval(f"[2, {MAX_CHANNELS}]", hidden=hidden)
    check_widths(residual_hidden=residual_hidden)
    check_interval(f"[0, {MAX_BLOCKS}]", residual_blocks=residual_blocks)
    check_interval(f"[1, {MAX_HALVINGS}]", downsamplings=downsamplings)
    check_halvings(image, downsamplings)
