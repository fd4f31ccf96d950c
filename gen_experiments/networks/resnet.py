"""The residual pair of SNGAN (https://arxiv.org/abs/1802.05957), at 32 pixels as its table for CIFAR-10."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Discriminator, Generator
from gen_experiments.networks.blocks import apply_spectral_norm, check_widths, doublings, start_size, width_at
from gen_experiments.networks.conditioning import ConditionalNorm, LogitHead, classes_of


class ResNetGenerator(Generator):
    """A linear map to 4×4 or a grid alike, a residual block for each doubling, and a 3×3 convolution under tanh.

    Args:
        image: the images' shape; `blocks.doublings` says which sizes there are.
        latent_dim: length of the noise.
        width: channels up to 32×32, after three doublings; they are halved at each doubling beyond.
        batch_norm: normalise by the statistics of the batch.
        conditional: make images of given labels: batch norm takes its factors and offsets from the label.

    Raises:
        UserError: the image cannot have this size, or a conditional network gets data without labels.
    """

    def __init__(
        self,
        image: ImageSpec,
        latent_dim: int = 128,
        width: int = 256,
        batch_norm: bool = True,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        check_widths(latent_dim=latent_dim)
        self.latent_dim, self.num_classes = latent_dim, classes_of(image, conditional)
        widths = [width_at(width, 4 << i) for i in range(doublings(image) + 1)]
        self.grid = start_size(image)
        self.start = nn.Linear(latent_dim, math.prod(self.grid) * widths[0])
        self.blocks = nn.ModuleList(
            _UpBlock(before, after, self.num_classes, batch_norm) for before, after in pairwise(widths)
        )
        self.norm = nn.BatchNorm2d(widths[-1]) if batch_norm else nn.Identity()
        self.last = nn.Conv2d(widths[-1], image.channels, kernel_size=3, padding=1)
        self.apply(_xavier)
        nn.init.xavier_uniform_(self.last.weight)

    @property
    def first_weight(self) -> Tensor:
        """(pixels of the start · channels, latent_dim)."""
        return self.start.weight

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, latent_dim) and, if conditional, (B,) labels -> (B, C, H, W) in (-1, 1)."""
        x = self.start(noise).unflatten(1, (-1, *self.grid))
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.last(torch.relu(self.norm(x))))


class ResNetDiscriminator(Discriminator):
    """Residual blocks that halve the resolution down to 8×8, two that keep it, ReLU, a sum over pixels, a linear map.

    Args:
        image: the images' shape; `blocks.doublings` says which sizes there are.
        width: channels from 32×32, three doublings of the smallest, down; they are halved at each doubling above.
        spectral_norm: divide every weight by its largest singular value.
        conditional: judge images together with their labels, by projection.

    Raises:
        UserError: the image cannot have this size, or a conditional network gets data without labels.
    """

    def __init__(
        self, image: ImageSpec, width: int = 128, spectral_norm: bool = True, conditional: bool = False
    ) -> None:
        super().__init__()
        sizes = [8 << i for i in reversed(range(1, doublings(image)))]
        widths = [image.channels, *(width_at(width, size) for size in sizes)]
        self.blocks = nn.Sequential(
            *(
                _DownBlock(before, after, halve=True, first=i == 0)
                for i, (before, after) in enumerate(pairwise(widths))
            ),
            *(_DownBlock(widths[-1], widths[-1], halve=False, first=False) for _ in range(2)),
        )
        self.num_classes = classes_of(image, conditional)
        self.head = LogitHead(widths[-1], self.num_classes)
        self.apply(_xavier)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) and, if conditional, (B,) labels -> (B,) logits."""
        logits: Tensor = self.head(torch.relu(self.blocks(images)).sum(dim=(2, 3)), labels)
        return logits


class _UpBlock(nn.Module):
    """Norm, ReLU, doubling, 3×3, norm, ReLU, 3×3, beside a doubling and a 1×1."""

    def __init__(self, before: int, after: int, classes: int | None, batch_norm: bool) -> None:
        super().__init__()
        self.norm1 = ConditionalNorm(before, classes, batch_norm)
        self.conv1 = nn.Conv2d(before, after, kernel_size=3, padding=1)
        self.norm2 = ConditionalNorm(after, classes, batch_norm)
        self.conv2 = nn.Conv2d(after, after, kernel_size=3, padding=1)
        self.shortcut = nn.Conv2d(before, after, kernel_size=1)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        h: Tensor = self.conv1(_double(torch.relu(self.norm1(x, labels))))
        h = self.conv2(torch.relu(self.norm2(h, labels)))
        # The doubling and the 1×1 convolution commute; behind it the doubling saves three quarters of the work.
        return h + _double(self.shortcut(x))


class _DownBlock(nn.Module):
    """ReLU (not in the first block, where it would cut the pixels), 3×3, ReLU, 3×3, halving, beside 1×1 and halving."""

    def __init__(self, before: int, after: int, halve: bool, first: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(after, after, kernel_size=3, padding=1)
        self.shortcut = nn.Conv2d(before, after, kernel_size=1) if halve else nn.Identity()
        self.halve, self.first = halve, first

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv2(torch.relu(self.conv1(x if self.first else torch.relu(x))))
        if not self.halve:
            return h + x
        # The average and the 1×1 convolution commute; in front the average saves three quarters of the work.
        shortcut: Tensor = self.shortcut(avg_pool2d(x, 2))
        return avg_pool2d(h, 2) + shortcut


def _double(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="nearest")


def _xavier(module: nn.Module) -> None:
    """Glorot's uniform initialisation, with gain √2 for the 3×3 convolutions of the blocks; biases 0."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(module.weight, gain=2**0.5 if module.weight.shape[2:] == (3, 3) else 1.0)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
