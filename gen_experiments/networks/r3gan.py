"""The pair of R3GAN (https://arxiv.org/abs/2501.05441): grouped convolutions, no normalisation, fix-up start."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Discriminator, Generator
from gen_experiments.networks.blocks import (
    MAX_BLOCKS,
    apply_spectral_norm,
    check_widths,
    doublings,
    start_size,
    width_at,
)
from gen_experiments.networks.conditioning import NoiseAndLabel, classes_of, require_labels
from gen_experiments.sizes import in_words

GROUP = 16
"""Channels of a group of the 3×3 convolutions."""

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class R3GANGenerator(Generator):
    """A learned 4×4 basis scaled by a linear map of the noise, residual blocks at each resolution, and a 1×1 to pixels.

    The basis for 96×128 pixels is of 6×8. The output is not squashed. At the defaults, 32 pixels and 10 classes: 20.8
    million parameters.

    Args:
        image: the images' shape; `blocks.doublings` says which sizes there are.
        latent_dim: length of the noise.
        width: channels up to 32×32, three doublings; they are halved at each doubling beyond, to a multiple of 8.
        blocks: residual blocks at each resolution.
        conditional: make images of given labels: an embedding is appended to the noise.

    Raises:
        UserError: the image's size or the width is none of these, or a conditional network gets data without labels.
    """

    def __init__(
        self, image: ImageSpec, latent_dim: int = 64, width: int = 768, blocks: int = 2, conditional: bool = False
    ) -> None:
        super().__init__()
        check_widths(latent_dim=latent_dim)
        check_interval(f"[1, {MAX_BLOCKS}]", blocks=blocks)
        self.latent_dim, self.num_classes = latent_dim, classes_of(image, conditional)
        # The published embedding is a linear map of the one-hot label, drawn by the number of its inputs.
        std = (self.num_classes or 1) ** -0.5
        self.input = NoiseAndLabel(latent_dim, self.num_classes, std)
        widths = _widths(image, width)
        self.basis = nn.Parameter(torch.randn(widths[0], *start_size(image)))
        self.scale = _initialise(nn.Linear(self.input.dim, widths[0], bias=False))
        layers: list[nn.Module] = []
        for i, channels in enumerate(widths):
            if i > 0:
                layers += [*_change_width(widths[i - 1], channels), _Upsample()]
            layers += [_Block(channels, total=blocks * len(widths)) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, _initialise(nn.Conv2d(widths[-1], image.channels, 1, bias=False)))

    @property
    def first_weight(self) -> Tensor:
        """(channels, latent_dim), of the map that scales the basis."""
        return self.scale.weight[:, : self.latent_dim]

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, latent_dim) and, if conditional, (B,) labels -> (B, C, H, W)."""
        scale = self.scale(self.input(noise, labels))
        images: Tensor = self.layers(self.basis * scale[:, :, None, None])
        return images


class R3GANDiscriminator(Discriminator):
    """The mirror of the generator: a 1×1 from pixels, residual blocks down to 4×4, a depthwise 4×4 and a linear map.

    At the defaults, 32 pixels, 10 classes and `conditional`: 21.3 million parameters.

    Args:
        image: the images' shape; `blocks.doublings` says which sizes there are.
        width: channels from 32×32, three doublings, down; they are halved at each doubling above, to a multiple of 8.
        blocks: residual blocks at each resolution.
        spectral_norm: divide every weight by its largest singular value. The published network does without. The last
            weight of each block then starts at random, for zero has no singular value to divide by.
        conditional: the logit is the dot product of the features with an embedding of the label.

    Raises:
        UserError: the image's size or the width is none of these, or a conditional network gets data without labels.
    """

    def __init__(
        self,
        image: ImageSpec,
        width: int = 768,
        blocks: int = 2,
        spectral_norm: bool = False,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        check_interval(f"[1, {MAX_BLOCKS}]", blocks=blocks)
        self.num_classes = classes = classes_of(image, conditional)
        widths = _widths(image, width)[::-1]
        layers: list[nn.Module] = [_initialise(nn.Conv2d(image.channels, widths[0], 1, bias=False))]
        for i, channels in enumerate(widths):
            if i > 0:
                layers += [_Downsample(), *_change_width(widths[i - 1], channels)]
            layers += [_Block(channels, blocks * len(widths), zero=not spectral_norm) for _ in range(blocks)]
        last = widths[-1]
        self.layers = nn.Sequential(
            *layers, _initialise(nn.Conv2d(last, last, start_size(image), groups=last, bias=False))
        )
        self.linear = _initialise(nn.Linear(last, 1 if classes is None else last, bias=False))
        self.embedding = None if classes is None else nn.Embedding(classes, last)
        if self.embedding is not None:
            # As in the generator, and the dot product of so many features is to have the scale of one.
            nn.init.normal_(self.embedding.weight, std=(self.embedding.num_embeddings * last) ** -0.5)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) and, if conditional, (B,) labels -> (B,) logits."""
        features: Tensor = self.linear(self.layers(images).flatten(1))
        if self.embedding is None:
            return features[:, 0]
        embedded: Tensor = self.embedding(require_labels(labels))
        return (features * embedded).sum(dim=1)


class _Block(nn.Module):
    """x + W₃ φ(W₂ φ(W₁ x + b₁) + b₂): 1×1 to twice the channels, 3×3 in groups of 16 channels, 1×1 back; φ LeakyReLU.

    W₁ and W₂ are drawn so that the `total` blocks of the network together move it at a rate that does not grow with
    their number, and W₃ is zero: the network starts as its resampling alone (fix-up, https://arxiv.org/abs/1901.09321).
    """

    def __init__(self, channels: int, total: int, zero: bool = True) -> None:
        super().__init__()
        inner = 2 * channels
        gain = math.sqrt(2 / (1 + 0.2**2)) * total**-0.25
        self.conv1 = _initialise(nn.Conv2d(channels, inner, kernel_size=1), gain)
        self.conv2 = _initialise(nn.Conv2d(inner, inner, kernel_size=3, padding=1, groups=inner // GROUP), gain)
        self.conv3 = _initialise(nn.Conv2d(inner, channels, kernel_size=1, bias=False), 0.0 if zero else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv3(leaky_relu(self.conv2(leaky_relu(self.conv1(x), 0.2)), 0.2))
        return x + h


class _Upsample(nn.Module):
    """Doubles the resolution by the published kernel, [1, 2, 1] convolved with [1, 1]; zeros lie around the image."""

    def forward(self, x: Tensor) -> Tensor:
        return conv_transpose2d(x, 4 * _kernel(x), stride=2, padding=1, groups=x.shape[1])


class _Downsample(nn.Module):
    """Halves the resolution by the same kernel."""

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, _kernel(x), stride=2, padding=1, groups=x.shape[1])


def _kernel(x: Tensor) -> Tensor:
    line = torch.tensor([0.125, 0.375, 0.375, 0.125], dtype=x.dtype, device=x.device)
    return torch.outer(line, line).expand(x.shape[1], 1, 4, 4)


def _change_width(before: int, after: int) -> list[nn.Module]:
    return [] if before == after else [_initialise(nn.Conv2d(before, after, kernel_size=1, bias=False))]


def _initialise(layer: Layer, gain: float = 1.0) -> Layer:
    """Draws the weights from N(0, gain² / fan_in) and sets the bias to 0."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _widths(image: ImageSpec, width: int) -> list[int]:
    """Returns the channels after 0, 1, ... doublings up to the image's size."""
    widths = [width_at(width, 4 << i) for i in range(doublings(image) + 1)]
    if any(2 * channels % GROUP for channels in widths):
        multiple = GROUP // 2 * max(2 ** (len(widths) - 4), 1)
        raise UserError(
            f"R3GAN's width for {in_words(image.size)} pixels must be a multiple of {multiple:g}, not {width}"
        )
    return widths
