"""Warnings of samples that lack what the data show, whatever their FID."""

import warnings

from lightning.pytorch import LightningModule

from gen_experiments import distributed
from gen_experiments.metrics.modes import ALARM, hardly_generated

LEARNED_SOMETHING = 10_000  # images seen; before, samples differ as little as the weights they started from make them


def warn_of_collapse(model: LightningModule, share: float, least: float, samples: str) -> None:
    """Warns of samples that spread less than the data.

    Args:
        model: what made them.
        share: of the spread of the data's features that the samples have.
        least: the share below which is warned.
        samples: what to call them, such as "the samples of class 3".
    """
    if share < least:
        _warn(
            model,
            f"{samples} have collapsed: their features spread {share:.1%} as much as the data's; "
            "look at a grid of them, and do not trust the FID",
        )


def warn_of_missed(model: LightningModule, share: float, of_class: str | None = None, so_far: bool = False) -> None:
    """Warns where a model hardly generates so large a share of the data; see `metrics.modes`.

    Args:
        model: what was to generate it.
        share: in [0, 1].
        of_class: the class whose images and samples were compared; None for all of them.
        so_far: whether the model goes on learning.
    """
    if share > ALARM:
        said = hardly_generated(f"{share:.1%}", of_class) + (" so far" if so_far else "")
        _warn(model, f"{said}: modes are missing; look at a grid of samples")


def _warn(model: LightningModule, message: str) -> None:
    """Warns once for all processes, of a model that has learned something."""
    if getattr(model, "images_seen", 0) >= LEARNED_SOMETHING and distributed.rank() == 0:
        warnings.warn(message, stacklevel=3)
