"""The residual network of CycleGAN."""

from collections.abc import Sequence

from torch import Tensor, nn

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.networks import blocks
from gen_experiments.networks.base import StagedTranslator
from gen_experiments.sizes import in_words


class ResNetTranslator(StagedTranslator):
    """CycleGAN's generator (https://arxiv.org/abs/1703.10593, after Johnson et al. 2016), as in its PyTorch code.

    7×7 to `width` channels, 3×3 of stride 2 that double them, residual blocks of two 3×3, transposed 3×3 of stride 2
    that halve them, 7×7 and tanh; all but the last are normalised and followed by ReLU. Borders are mirrored where the
    stride is 1. Weights from N(0, 0.02). At the defaults it has the published 11.4 million weights.

    Args:
        image: the images' shape.
        width: channels at full resolution.
        residual_blocks: number of blocks; the paper has 9, or 6 for images below 256 pixels.
        halvings: how often the resolution is halved before the blocks.
        batch_norm: normalise by the statistics of the batch, else each image by itself.
        dropout: dropout of ½ within the blocks, as in pix2pix.
        resize_convolution: double the resolution by repeating pixels before 3×3 convolutions of mirrored borders, which
            leave no pattern on flat areas as transposed ones do (`blocks.resize_convolution`). Not in the paper.

    Raises:
        UserError: a number out of range, or the images cannot be halved so often, or are then below 2 pixels.
    """

    def __init__(
        self,
        image: ImageSpec,
        width: int = 64,
        residual_blocks: int = 9,
        halvings: int = 2,
        batch_norm: bool = False,
        dropout: bool = False,
        resize_convolution: bool = False,
    ) -> None:
        super().__init__()
        blocks.check_widths(width=width)
        check_interval(f"[0, {blocks.MAX_BLOCKS}]", residual_blocks=residual_blocks)
        blocks.check_halvings(image, halvings)
        if image.shorter >> halvings < 2 or image.shorter < 4:
            raise UserError(
                f"borders of images of {in_words(image.size)} pixels cannot be mirrored after {halvings} halvings"
            )
        widths = [width << i for i in range(halvings + 1)]
        bias = not batch_norm

        def normalised(channels: int, *layers: nn.Module) -> list[nn.Module]:
            return [*layers, blocks.batch_or_instance_norm(channels, batch_norm), nn.ReLU()]

        stages = [nn.Sequential(*normalised(width, *blocks.reflection_conv(image.channels, width, 7, bias=bias)))]
        for channels in widths[:-1]:
            halving = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias)
            stages.append(nn.Sequential(*normalised(2 * channels, halving)))
        stages += [
            nn.Sequential(blocks.ReflectedResidualBlock(widths[-1], batch_norm, dropout))
            for _ in range(residual_blocks)
        ]
        for channels in reversed(widths[:-1]):
            if resize_convolution:
                doubling = blocks.resize_convolution(2 * channels, channels, bias=bias)
            else:
                doubling = [nn.ConvTranspose2d(2 * channels, channels, 3, 2, padding=1, output_padding=1, bias=bias)]
            stages.append(nn.Sequential(*normalised(channels, *doubling)))
        stages.append(nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, image.channels, 7), nn.Tanh()))
        self.stages = nn.ModuleList(stages)
        self.feature_channels = [image.channels, *widths, *[widths[-1]] * residual_blocks, *reversed(widths[:-1])]
        self.apply(blocks.normal_init(0.02))

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, C, H, W) -> the same shape, in (-1, 1)."""
        for stage in self.stages:
            images = stage(images)
        return images

    def features(self, images: Tensor, stages: Sequence[int]) -> list[Tensor]:
        """Returns the features after given numbers of stages (0: the images), ascending: (B, channels, h, w) each."""
        found = [images] if 0 in stages else []
        for number, stage in enumerate(self.stages[: max(stages)], start=1):
            images = stage(images)
            if number in stages:
                found.append(images)
        return found
