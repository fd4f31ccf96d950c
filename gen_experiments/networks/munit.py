"""MUNIT's autoencoder: pictures of one side to content and style, and back."""

import torch
from torch import Tensor, nn

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.networks import blocks
from gen_experiments.networks.base import StyledAutoencoder
from gen_experiments.precision import CastsInputs
from gen_experiments.sizes import in_words


class MUNITAutoencoder(StyledAutoencoder):
    """The autoencoder of MUNIT (https://arxiv.org/abs/1804.04732, appendix B), as in its PyTorch code.

    The encoder of contents has 7×7, 4×4 of stride 2 and residual blocks of two 3×3, all with instance norm, which
    removes means and deviations of channels. The encoder of styles has 7×7, 4×4 of stride 2, the mean over all places
    and 1×1, without any norm. In the decoder three linear layers turn the style into means and deviations of the
    content's channels (`AdaIN`) in residual blocks; then the resolution is doubled by repeating pixels before 5×5 with
    layer norm, and 7×7 and tanh follow. All activations are ReLU, borders are mirrored, and weights are drawn by
    Kaiming's normal initialisation.

    Args:
        image: the images' shape.
        width: channels at full resolution; they double with each halving of the content, and twice in the style.
        residual_blocks: number in the encoder of contents, and in the decoder.
        halvings: how often the encoder of contents halves the resolution.
        style_halvings: how often the encoder of styles halves it; >= 2.
        style_dim: length of a style.
        mlp_width: units of the linear layers between style and decoder.

    Raises:
        UserError: a number out of range, or the images are too small for so many halvings.
    """

    def __init__(
        self,
        image: ImageSpec,
        width: int = 64,
        residual_blocks: int = 4,
        halvings: int = 2,
        style_halvings: int = 4,
        style_dim: int = 8,
        mlp_width: int = 256,
    ) -> None:
        super().__init__()
        blocks.check_widths(width=width, style_dim=style_dim, mlp_width=mlp_width)
        check_interval(f"[1, {blocks.MAX_BLOCKS}]", residual_blocks=residual_blocks)
        check_interval(f"[2, {blocks.MAX_HALVINGS}]", style_halvings=style_halvings)
        blocks.check_halvings(image, halvings)
        if image.shorter >> max(halvings, style_halvings - 1) < 2 or image.shorter < 4:
            raise UserError(
                f"borders of images of {in_words(image.size)} pixels cannot be mirrored after {halvings} halvings of "
                f"the content and {style_halvings} of the style: set fewer, or larger images"
            )
        self.style_dim = style_dim
        self.content_encoder = _ContentEncoder(image.channels, width, halvings, residual_blocks)
        self.style_encoder = _StyleEncoder(image.channels, width, style_halvings, style_dim)
        self.decoder = _Decoder(image.channels, width << halvings, halvings, residual_blocks, style_dim, mlp_width)
        self.apply(_kaiming_init)

    def content(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> (B, width · 2^halvings, H / 2^halvings, W / 2^halvings)."""
        contents: Tensor = self.content_encoder(images)
        return contents

    def style(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> (B, style_dim)."""
        styles: Tensor = self.style_encoder(images)
        return styles

    def decode(self, contents: Tensor, styles: Tensor) -> Tensor:
        """Maps contents and (B, style_dim) styles -> (B, C, H, W) in (-1, 1)."""
        images: Tensor = self.decoder(contents, styles)
        return images


class AdaIN(nn.Module):
    """Adaptive instance norm (https://arxiv.org/abs/1703.06868): sets deviation σ and mean μ of each channel.

    σ · (x − mean(x)) / √(var(x) + 1e-5) + μ, with mean and biased variance over the places of each image.
    """

    def forward(self, x: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
        """Maps (B, D, h, w), (B, D) means μ and (B, D) deviations σ -> the shape of x."""
        normalised = nn.functional.instance_norm(x)
        return normalised * deviations[:, :, None, None] + means[:, :, None, None]


class _LayerNorm(nn.Module):
    """MUNIT's layer norm: (x − mean) / (unbiased deviation + ε) of an image, then factors and offsets.

    Args:
        channels: each has a factor, drawn from [0, 1), and an offset.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, channels, h, w) -> the same shape."""
        mean, deviation = x.mean((1, 2, 3), keepdim=True), x.std((1, 2, 3), keepdim=True)
        normalised = (x - mean) / (deviation + 1e-5)
        return normalised * self.factor[:, None, None] + self.offset[:, None, None]


class _ContentEncoder(CastsInputs):
    def __init__(self, channels: int, width: int, halvings: int, residual_blocks: int) -> None:
        super().__init__()
        layers = [*blocks.reflection_conv(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
        for _ in range(halvings):
            layers += [*blocks.reflection_conv(width, 2 * width, 4, stride=2), nn.InstanceNorm2d(2 * width), nn.ReLU()]
            width *= 2
        self.layers = nn.Sequential(*layers, *(blocks.ReflectedResidualBlock(width) for _ in range(residual_blocks)))

    def forward(self, images: Tensor) -> Tensor:
        contents: Tensor = self.layers(images)
        return contents


class _StyleEncoder(CastsInputs):
    def __init__(self, channels: int, width: int, halvings: int, style_dim: int) -> None:
        super().__init__()
        layers = [*blocks.reflection_conv(channels, width, 7), nn.ReLU()]
        for number in range(halvings):
            after = 2 * width if number < 2 else width
            layers += [*blocks.reflection_conv(width, after, 4, stride=2), nn.ReLU()]
            width = after
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, style_dim, 1), nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        styles: Tensor = self.layers(images)
        return styles


class _StyledBlock(nn.Module):
    """The residual block of the encoder of contents, with AdaIN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Sequential(*blocks.reflection_conv(channels, channels, 3)) for _ in range(2))
        self.norm = AdaIN()

    def forward(self, x: Tensor, statistics: list[Tensor]) -> Tensor:
        """Maps (B, channels, h, w), and (B, channels) means, deviations, means and deviations -> the same shape."""
        inner = torch.relu(self.norm(self.first(x), statistics[0], statistics[1]))
        added: Tensor = self.norm(self.second(inner), statistics[2], statistics[3])
        return x + added


class _Decoder(CastsInputs):
    def __init__(
        self, channels: int, width: int, halvings: int, residual_blocks: int, style_dim: int, mlp_width: int
    ) -> None:
        super().__init__()
        self.given = 4 * residual_blocks  # means and deviations of two norms a block
        self.mlp = nn.Sequential(
            nn.Linear(style_dim, mlp_width),
            nn.ReLU(),
            nn.Linear(mlp_width, mlp_width),
            nn.ReLU(),
            nn.Linear(mlp_width, self.given * width),
        )
        self.blocks = nn.ModuleList(_StyledBlock(width) for _ in range(residual_blocks))
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [*blocks.resize_convolution(width, width // 2, 5), _LayerNorm(width // 2), nn.ReLU()]
            width //= 2
        self.layers = nn.Sequential(*layers, *blocks.reflection_conv(width, channels, 7), nn.Tanh())

    def forward(self, contents: Tensor, styles: Tensor) -> Tensor:
        statistics = self.mlp(styles).chunk(self.given, dim=1)
        for number, block in enumerate(self.blocks):
            contents = block(contents, statistics[4 * number : 4 * number + 4])
        images: Tensor = self.layers(contents)
        return images


def _kaiming_init(module: nn.Module) -> None:
    """Draws weights from N(0, 2 / fan_in) and sets biases to 0."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.kaiming_normal_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
