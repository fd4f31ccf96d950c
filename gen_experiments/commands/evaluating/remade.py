"""The reconstructions or translations of an evaluated model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from gen_experiments.callbacks.protocols import Translates
from gen_experiments.commands.evaluating.inputs import SPLITS, Archive, Images
from gen_experiments.commands.evaluating.reconstructed import Reconstructions
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.models.base import ImageModel


def sources_of_split(data: ImageDataModule, split: str, part: range) -> Tensor:
    """Returns what is to be turned into a range of a split's images: (N, C, H, W) float32 in [-1, 1]."""
    return data.sources(split, np.arange(part.start, part.stop))


def remade_of(
    model: ImageModel,
    checkpoint: Path,
    real: Images | Archive,
    compared: tuple[ImageDataModule, str] | None,
    lpips: Perceptual | None,
    wanted: Sequence[str] | None,
) -> Reconstructions:
    """Returns what a model makes of the sources of images, or of the images themselves if the data have no sources.

    Args:
        model: one that remakes images.
        checkpoint: its file.
        real: the images.
        compared: the data and the split whose images they are; None for others.
        lpips: as for `Reconstructions`.
        wanted: likewise.

    Raises:
        UserError: the model translates, and there are no sources.
    """
    if compared is not None and compared[0].has_sources:
        sources, in_pairs = partial(sources_of_split, *compared), compared[0].in_pairs
        return Reconstructions(model, checkpoint, real, sources, in_pairs, lpips, wanted)
    if isinstance(model, Translates):
        raise UserError(f"{checkpoint} translates: name a split of its data ({', '.join(SPLITS)}) or a configuration")
    return Reconstructions(model, checkpoint, real, lpips=lpips, wanted=wanted)
