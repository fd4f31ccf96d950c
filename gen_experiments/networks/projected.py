"""The discriminator of Projected GANs, over fixed features."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from gen_experiments.checkpoints.exports import read_contents
from gen_experiments.checkpoints.paths import file_of, named_checkpoint, not_there
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.networks.base import Discriminator, StagedEncoder
from gen_experiments.networks.blocks import apply_spectral_norm, check_widths
from gen_experiments.networks.conditioning import classes_of, require_labels
from gen_experiments.sizes import in_words
from gen_experiments.untrusted.file_kinds import what_it_is
from gen_experiments.untrusted.unreadable import Unreadable, being_built

EncoderFactory = Callable[[ImageSpec, int], StagedEncoder]
LABEL_FEATURES, LABEL_EMBEDDING = 64, 128


class ProjectedDiscriminator(Discriminator):
    """The discriminator of Projected GANs (https://arxiv.org/abs/2111.01007), over an encoder of your own.

    The features of a fixed encoder at each of its resolutions are mixed by fixed random convolutions, across channels
    and from the smallest resolution to the largest, and a small network judges the patches of each mixture. Encoder and
    mixing get no gradients and stay in evaluation mode; their weights are part of a model's checkpoints, which need no
    other file. The paper takes an EfficientNet trained on ImageNet; an encoder trained on few images sees less.

    It returns (B, n) logits, to be trained by `Hinge` without penalties. The networks that judge have batch norm
    and spectral norm.

    Args:
        image: the images' shape.
        encoder: the architecture of the encoder, as in the VQ-VAE's configuration.
        weights: a checkpoint of a VQ-VAE of images of this shape, or its run (the best checkpoint), whose encoder is
            taken; None for random weights. It is read when a new training begins, not when a checkpoint is loaded.
        dim: channels of the encoder's latents.
        mixed: channels of the mixture at the largest resolution; the paper's code has 64.
        width: channels of the judging networks from 64×64 up; they double at each halving, to 8 · width at 8×8.
        conditional: judge images together with their labels, by projection.
        pixels: let one more network of the same kind judge the images themselves: features of an encoder that halves
            the images first show little of patterns as fine as a pixel. The paper's discriminator is without.

    Raises:
        UserError: the file is missing or holds no such encoder, the smallest mixture has less than 4 pixels a side, or
            a conditional network gets data without labels.
    """

    def __init__(
        self,
        image: ImageSpec,
        encoder: EncoderFactory,
        weights: str | None = None,
        dim: int = 64,
        mixed: int = 64,
        width: int = 64,
        conditional: bool = False,
        pixels: bool = False,
    ) -> None:
        super().__init__()
        check_widths(dim=dim, mixed=mixed, width=width)
        self.encoder = encoder(image, dim)
        if weights is not None and being_built() is None:
            _load(self.encoder, named_checkpoint(weights))
        with torch.no_grad():
            shapes = [features.shape[1:] for features in self.encoder.pyramid(torch.zeros(1, *image.shape))]
        self.mixing = _Mixing([channels for channels, _, _ in shapes], mixed)
        for part in self.encoder, self.mixing:
            part.requires_grad_(False).eval()
        sides = [2 * min(height, width) for _, height, width in shapes]
        if min(sides) < 4:
            raise UserError(
                f"the encoder of a projected discriminator leaves {min(sides) // 2} pixels of {in_words(image.size)}, "
                "and 2 are needed: set fewer downsamplings"
            )
        judged = list(zip(self.mixing.channels, sides, strict=True))
        if pixels:
            judged.insert(0, (image.channels, min(image.shape[1:])))
        self.pixels = pixels
        self.num_classes = classes = classes_of(image, conditional)
        self.judges = nn.ModuleList(_Judge(channels, side, width, classes) for channels, side in judged)

    def train(self, mode: bool = True) -> "ProjectedDiscriminator":
        """Trains what judges; encoder and mixing stay as they are."""
        super().train(mode)
        self.encoder.eval()
        self.mixing.eval()
        return self

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) and, if conditional, (B,) labels -> (B, n) logits.

        Those of the images themselves come first, if they are judged, then those of the largest mixture.
        """
        judged = [images] if self.pixels else []
        judged += self.mixing(self.encoder.pyramid(images))
        logits = [judge(x, labels) for judge, x in zip(self.judges, judged, strict=True)]
        return torch.cat(logits, dim=1)


class _Mixing(nn.Module):
    """The paper's mixing across channels and across scales, with the layers and the first weights of its code.

    A 1×1 convolution takes the features of scale i, counted from the largest, to `mixed` · 2^i channels. Then, from the
    smallest scale on, the result so far is added, taken through a 1×1 convolution to half as many channels (the largest
    keeps its own), and doubled bilinearly.

    Args:
        before: channels of each scale, the largest first.
        mixed: channels of the largest.
    """

    def __init__(self, before: Sequence[int], mixed: int) -> None:
        super().__init__()
        self.channels = [mixed << max(scale - 1, 0) for scale in range(len(before))]
        self.across_channels = nn.ModuleList(
            nn.Conv2d(channels, mixed << scale, kernel_size=1) for scale, channels in enumerate(before)
        )
        self.across_scales = nn.ModuleList(
            nn.Conv2d(mixed << scale, after, kernel_size=1) for scale, after in enumerate(self.channels)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, before, h, w) each, the largest first -> (B, channels, 2h, 2w) each."""
        mixtures: list[Tensor] = []
        for scale in reversed(range(len(features))):
            x = self.across_channels[scale](features[scale])
            if mixtures:
                x = x + mixtures[0]
            # The doubling and the 1×1 convolution commute; behind it the doubling saves three quarters of the work.
            x = self.across_scales[scale](x)
            mixtures.insert(0, interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
        return mixtures


class _Judge(nn.Module):
    """4×4 convolutions of stride 2 down to 8×8, with batch norm and LeakyReLU, and a 4×4 one to the logits of patches.

    With classes the last has 64 channels, whose product with a map of the label's embedding is the logit.

    Args:
        before: channels of what is judged.
        side: pixels of its shorter side.
        width: see `ProjectedDiscriminator`.
        classes: number of classes, or None.
    """

    def __init__(self, before: int, side: int, width: int, classes: int | None) -> None:
        super().__init__()
        halvings = max(side.bit_length() - 4, 0)
        widths = [before, *(width * max(8 >> left, 1) for left in reversed(range(halvings)))]
        layers: list[nn.Module] = []
        for channels, after in pairwise(widths):
            layers += [nn.Conv2d(channels, after, kernel_size=4, stride=2, padding=1)]
            layers += [nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        last = 1 if classes is None else LABEL_FEATURES
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], last, kernel_size=4, bias=False))
        apply_spectral_norm(self.layers)
        self.embedding = None if classes is None else nn.Embedding(classes, LABEL_EMBEDDING)
        self.map = None if classes is None else nn.Linear(LABEL_EMBEDDING, LABEL_FEATURES)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Maps (B, before, h, w) and (B,) labels -> (B, n) logits, row by row."""
        features: Tensor = self.layers(x).flatten(2)
        if self.embedding is None or self.map is None:
            return features[:, 0]
        of_label = leaky_relu(self.map(self.embedding(require_labels(labels))), 0.2)
        logits: Tensor = torch.einsum("bcn,bc->bn", features, of_label) * LABEL_FEATURES**-0.5
        return logits


def _load(encoder: nn.Module, path: Path) -> None:
    """Fills an encoder with that of a VQ-VAE's checkpoint or export."""
    if not file_of(path).is_file():
        raise UserError(f"there is no checkpoint {not_there(path)}; give discriminator.weights that of a VQVAE")
    prefix = "encoder."
    try:
        state = read_contents(path)["state_dict"]
        encoder.load_state_dict(
            {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}
        )
    except Unreadable as error:
        raise UserError(f"{path} is no checkpoint of a VQVAE: {what_it_is(path, error)}") from error
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path} holds no encoder as discriminator.encoder describes it: give a checkpoint of a VQVAE, and the "
            "encoder of its configuration"
        ) from error
