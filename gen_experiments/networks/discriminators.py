"""Discriminators: DCGAN's and a plain fully connected one."""

import math
from itertools import pairwise

from torch import Tensor, nn

from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Discriminator
from gen_experiments.networks.blocks import apply_spectral_norm, check_widths, doublings, normal_init, start_size
from gen_experiments.networks.conditioning import LogitHead, classes_of


class DCGANDiscriminator(Discriminator):
    """DCGAN's discriminator (https://arxiv.org/abs/1511.06434) for 16 to 256 pixels (see `blocks.doublings`).

    4×4 convolutions of stride 2 down to 4×4 (to 6×8 of 96×128), each of twice the channels, and a linear map to one
    logit; batch norm everywhere but at the input, LeakyReLU of slope 0.2, weights from N(0, 0.02).

    Args:
        image: the images' shape.
        width: channels after the first layer; they double towards the end, up to 8 · width.
        batch_norm: normalise by the statistics of the batch. Penalties on the gradient of single images (R1, WGAN-GP)
            want False, for batch norm ties the images of a batch together.
        spectral_norm: divide every weight by its largest singular value; batch_norm should then be False.
        conditional: judge images together with their labels, by projection.

    Raises:
        UserError: the image cannot have this size, or a conditional network gets data without labels.
    """

    def __init__(
        self,
        image: ImageSpec,
        width: int = 64,
        batch_norm: bool = True,
        spectral_norm: bool = False,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        check_widths(width=width)
        widths = [image.channels] + [width * min(2**i, 8) for i in range(doublings(image))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            normalised = batch_norm and bool(layers)
            layers += [nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1, bias=not normalised)]
            layers += [nn.BatchNorm2d(after)] if normalised else []
            layers += [nn.LeakyReLU(0.2)]
        self.num_classes = classes_of(image, conditional)
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.head = LogitHead(widths[-1] * math.prod(start_size(image)), self.num_classes)
        self.apply(normal_init(0.02))
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) and, if conditional, (B,) labels -> (B,) logits."""
        logits: Tensor = self.head(self.layers(images), labels)
        return logits


class PlainDiscriminator(Discriminator):
    """The plain fully connected discriminator with one hidden layer, for images of any size.

    Args:
        image: the images' shape.
        hidden: units of the hidden layer.
        spectral_norm: divide every weight by its largest singular value.
        conditional: judge images together with their labels, by projection.

    Raises:
        UserError: a conditional network gets data without labels.
    """

    def __init__(
        self, image: ImageSpec, hidden: int = 128, spectral_norm: bool = False, conditional: bool = False
    ) -> None:
        super().__init__()
        check_widths(hidden=hidden)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(image.shape), hidden),
            nn.LeakyReLU(0.2),
        )
        self.num_classes = classes_of(image, conditional)
        self.head = LogitHead(hidden, self.num_classes)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) and, if conditional, (B,) labels -> (B,) logits."""
        logits: Tensor = self.head(self.layers(images), labels)
        return logits
