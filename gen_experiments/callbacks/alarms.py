"""Warnings of samples that lack parts of the data, whatever their FID."""

from lightning.pytorch import LightningModule

from gen_experiments import distributed
from gen_experiments.callbacks.lookups import images_seen
from gen_experiments.metrics.modes import ALARM, hardly_generated

LEARNED_SOMETHING = 10_000  # images seen; samples of initial weights hardly differ


def warn_of_collapse(model: LightningModule, share: float, least: float, samples: str) -> None:
    """Warns of samples that spread less than the data.

    Args:
        model: the generator.
        share: the spread of the samples' features over that of the data.
        least: the share below which there is a warning.
        samples: what to call them, such as "the samples of class 3".
    """
    if share < least:
        _warn(
            model,
            f"{samples} have collapsed: their features spread {share:.1%} as much as the data's; "
            "look at a grid of them, and do not trust the FID",
        )


def warn_of_missed(model: LightningModule, share: float, of_class: str | None = None, so_far: bool = False) -> None:
    """Warns if a model hardly generates a large share of the data; see `metrics.modes`.

    Args:
        model: the generator.
        share: in [0, 1].
        of_class: the class whose images and samples were compared; None for all images.
        so_far: whether training continues.
    """
    if share > ALARM:
        warning = hardly_generated(f"{share:.1%}", of_class) + (" so far" if so_far else "")
        _warn(model, f"{warning}: modes are missing; look at a grid of samples")


def _warn(model: LightningModule, message: str) -> None:
    """Warns once for all processes, unless the model has hardly been trained."""
    if images_seen(model) >= LEARNED_SOMETHING:
        distributed.warn_once(message, 3)
