"""Deep encoder and decoder with attention: the convolutional pair of the VQGAN."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Decoder, Encoder
from gen_experiments.networks.blocks import MAX_BLOCKS, check_halvings, check_widths, group_norm


class DeepEncoder(Encoder):
    """The encoder of the VQGAN (https://arxiv.org/abs/2012.09841): residual blocks at halving resolutions.

    A 3×3 convolution; at each resolution residual blocks with group norm and SiLU, then a 3×3 convolution of stride 2;
    at the smallest a block, attention and a block; group norm, SiLU and a 3×3 convolution to `dim` channels.
    (B, C, H, W) -> (B, dim, H / 2^n, W / 2^n), n one less than the number of multipliers. The authors' network for 256
    pixels and 16×16 codes has multipliers 1, 1, 2, 2, 4 and latent_channels 256.

    Args:
        image: the images' shape.
        dim: channels of the latents.
        width: channels that the multipliers multiply.
        multipliers: one for each resolution, the image's first; each resolution is half the one before.
        blocks: residual blocks at each resolution; >= 1.
        attention: resolutions, by the shorter side, whose blocks are followed by single-head self-attention; by default
            the smallest alone, () for none. Its cost grows with the fourth power of the resolution.
        latent_channels: channels that the last 3×3 convolution makes, before a 1×1 convolution to `dim`, as in the
            authors' model; None leaves the 1×1 convolution out.
        middle_attention: whether attention stands in the middle too; by default it does if the smallest resolution has
            it. latent-diffusion's model of f = 4 attends in the middle alone.

    Raises:
        UserError: the image cannot be halved that often, or attention is asked for where there is no such resolution.
    """

    def __init__(
        self,
        image: ImageSpec,
        dim: int,
        width: int = 128,
        multipliers: tuple[int, ...] = (1, 2, 2),
        blocks: int = 2,
        attention: tuple[int, ...] | None = None,
        latent_channels: int | None = None,
        middle_attention: bool | None = None,
    ) -> None:
        super().__init__()
        levels = _levels(image, width, multipliers, blocks, attention)
        channels, pointwise = _beside_codebook(dim, latent_channels)
        layers: list[nn.Module] = [nn.Conv2d(image.channels, width, kernel_size=3, padding=1)]
        before = width
        for level in levels:
            layers += _stage(before, level, blocks)
            before = level.channels
            if level is not levels[-1]:
                # As in the authors' code, zeros stand below and on the right alone.
                layers += [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(before, before, kernel_size=3, stride=2)]
        layers += [*_middle(levels[-1], middle_attention), *_head(before, channels)]
        self.layers = nn.Sequential(*layers, *([nn.Conv2d(channels, dim, kernel_size=1)] if pointwise else []))

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) in [-1, 1] -> (B, dim, h, w)."""
        latents: Tensor = self.layers(images)
        return latents


class DeepDecoder(Decoder):
    """The mirror of `DeepEncoder`, with one more block at each resolution, as in the paper.

    Between resolutions, nearest-neighbour enlargement and a 3×3 convolution.

    Args:
        image: the images' shape.
        dim: channels of the latents.
        width: channels that the multipliers multiply.
        multipliers: one for each resolution, the image's first, as the encoder's.
        blocks: the encoder's residual blocks at each resolution; >= 1.
        attention: resolutions, by the shorter side, whose blocks are followed by single-head self-attention; by default
            the smallest alone, () for none.
        latent_channels: channels that a 1×1 convolution makes of `dim` before the first 3×3 convolution, as in the
            authors' model; None leaves the 1×1 convolution out.
        middle_attention: as the encoder's.

    Raises:
        UserError: the image cannot be halved that often, or attention is asked for where there is no such resolution.
    """

    def __init__(
        self,
        image: ImageSpec,
        dim: int,
        width: int = 128,
        multipliers: tuple[int, ...] = (1, 2, 2),
        blocks: int = 2,
        attention: tuple[int, ...] | None = None,
        latent_channels: int | None = None,
        middle_attention: bool | None = None,
    ) -> None:
        super().__init__()
        levels = _levels(image, width, multipliers, blocks, attention)[::-1]
        before = levels[0].channels
        taken, pointwise = _beside_codebook(dim, latent_channels)
        layers: list[nn.Module] = [nn.Conv2d(dim, taken, kernel_size=1)] if pointwise else []
        layers += [nn.Conv2d(taken, before, kernel_size=3, padding=1), *_middle(levels[0], middle_attention)]
        for level in levels:
            layers += _stage(before, level, blocks + 1)
            before = level.channels
            if level is not levels[-1]:
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, before, kernel_size=3, padding=1)]
        self.layers = nn.Sequential(*layers, *_head(before, image.channels))

    @property
    def last_weight(self) -> Tensor:
        """Of the convolution that makes the image: (C, channels, 3, 3)."""
        return self.layers[-1].get_parameter("weight")

    def forward(self, latents: Tensor) -> Tensor:
        """Maps (B, dim, h, w) -> (B, C, H, W)."""
        images: Tensor = self.layers(latents)
        return images


class ResidualBlock(nn.Module):
    """x + W₂ silu(norm(W₁ silu(norm(x)))), both 3×3; where the channels differ, x goes through a 1×1 convolution.

    Args:
        before: channels in.
        after: channels out.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_head(before, after), *_head(after, after))
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, before, h, w) -> (B, after, h, w)."""
        sum_of_both: Tensor = self.shortcut(x) + self.layers(x)
        return sum_of_both


class Attention(nn.Module):
    """x + W softmax(qkᵀ / √channels) v over all positions, with one head; q, k and v are linear in norm(x).

    Args:
        channels: channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.inputs = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.output = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, channels, h, w) -> the same shape."""
        tokens = self.inputs(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1)
        attended = scaled_dot_product_attention(*tokens.chunk(3, dim=-1))
        change: Tensor = self.output(attended.squeeze(1).transpose(1, 2).reshape(x.shape))
        return x + change


class _Level(NamedTuple):
    channels: int
    attends: bool


def _levels(
    image: ImageSpec, width: int, multipliers: tuple[int, ...], blocks: int, attention: tuple[int, ...] | None
) -> list[_Level]:
    """Returns what stands at each resolution, the image's first."""
    check_interval(f"[1, {MAX_BLOCKS}]", blocks=blocks)
    if not multipliers or min(multipliers) < 1:
        raise UserError(f"the deep pair needs a multiplier >= 1 for each resolution, not {list(multipliers)}")
    check_widths(width=width, widest=width * max(multipliers))
    check_halvings(image, len(multipliers) - 1)
    sizes = [image.shorter >> i for i in range(len(multipliers))]
    attention = tuple(sizes[-1:]) if attention is None else attention
    for size in attention:
        if size not in sizes:
            raise UserError(f"there is no resolution of {size} pixels to attend at: choose from {sizes}")
    return [_Level(width * multiplier, size in attention) for multiplier, size in zip(multipliers, sizes, strict=True)]


def _stage(before: int, level: _Level, blocks: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(blocks):
        layers += [ResidualBlock(level.channels if i else before, level.channels)]
        layers += [Attention(level.channels)] if level.attends else []
    return layers


def _middle(level: _Level, attends: bool | None) -> list[nn.Module]:
    attention = [Attention(level.channels)] if (level.attends if attends is None else attends) else []
    return [ResidualBlock(level.channels, level.channels), *attention, ResidualBlock(level.channels, level.channels)]


def _beside_codebook(dim: int, latent_channels: int | None) -> tuple[int, bool]:
    """Returns the channels of the 3×3 convolution next to the codebook, and whether a 1×1 stands between the two."""
    channels = dim if latent_channels is None else latent_channels
    check_widths(latent_channels=channels)
    return channels, latent_channels is not None


def _head(before: int, after: int) -> tuple[nn.GroupNorm, nn.SiLU, nn.Conv2d]:
    return group_norm(before), nn.SiLU(), nn.Conv2d(before, after, kernel_size=3, padding=1)
