"""The discriminator of patches."""

from itertools import pairwise

from torch import Tensor, nn

from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import ImageSpec
from gen_experiments.networks import blocks
from gen_experiments.networks.base import Discriminator
from gen_experiments.sizes import in_words


class PatchDiscriminator(Discriminator):
    """The PatchGAN of pix2pix (https://arxiv.org/abs/1611.07004): a logit for each of many overlapping patches.

    4×4 convolutions of stride 2, each of twice the channels, then two of stride 1, the last to one channel; LeakyReLU
    of slope 0.2 in between, weights from N(0, 0.02). An image has (⌊H / 2^layers⌋ − 2) × (⌊W / 2^layers⌋ − 2) patches;
    with 3 layers they are of 70×70 pixels, with 2 of 34×34, with 1 of 16×16; those at the border see zeros beyond it.

    It returns (B, n) logits instead of (B,); losses average over all of them. A penalty on gradients takes the gradient
    of the sum of an image's logits. Labels are not used.

    Args:
        image: the images' shape.
        width: channels after the first layer; they double with each, up to 8 · width.
        layers: number of convolutions of stride 2; >= 1.
        group_norm: normalise all layers but the first and the last, each image by itself; the paper normalises the
            batch. The statistics are those of the whole image: a logit then depends on more than its patch.
        spectral_norm: divide every weight by its largest singular value; group_norm should then be False.
        instance_norm: normalise every channel of an image by itself, as in CycleGAN's code, instead of group_norm.

    Raises:
        UserError: the images are smaller than 3 · 2^layers pixels, or would be normalised twice.
    """

    def __init__(
        self,
        image: ImageSpec,
        width: int = 64,
        layers: int = 3,
        group_norm: bool = True,
        spectral_norm: bool = False,
        instance_norm: bool = False,
    ) -> None:
        super().__init__()
        blocks.check_widths(width=width)
        if group_norm and instance_norm:
            raise UserError("a layer is normalised once: set group_norm to false beside instance_norm")
        _check_size(image, layers)
        widths = [image.channels] + [width * min(2**i, 8) for i in range(layers + 1)]
        stack: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            grouped, alone = group_norm and i > 0, instance_norm and i > 0
            stride = 2 if i < layers else 1
            stack += [nn.Conv2d(before, after, kernel_size=4, stride=stride, padding=1, bias=not grouped)]
            stack += [blocks.group_norm(after)] if grouped else []
            stack += [nn.InstanceNorm2d(after)] if alone else []
            stack += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*stack, nn.Conv2d(widths[-1], 1, kernel_size=4, padding=1), nn.Flatten())
        self.apply(blocks.normal_init(0.02))
        if spectral_norm:
            blocks.apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) -> (B, n) logits, those of the patches row by row; `labels` are not used."""
        logits: Tensor = self.layers(images)
        return logits


def _check_size(image: ImageSpec, layers: int) -> None:
    check_interval(f"[1, {blocks.MAX_HALVINGS}]", layers=layers)
    if image.shorter < 3 << layers:
        raise UserError(
            f"a patch discriminator of {layers} layers takes images from {3 << layers} pixels, not "
            f"{in_words(image.size)}: set fewer layers"
        )
