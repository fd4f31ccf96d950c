"""What models need of the sources in their data, which some turn into other pictures."""

from lightning.pytorch import LightningModule

from gen_experiments import distributed
from gen_experiments.errors import UserError


def require_source_images(model: LightningModule) -> None:
    """Makes sure that the data hold pictures that are to be turned into others.

    Raises:
        UserError: they hold single images.
    """
    if not getattr(model.trainer.datamodule, "has_source_images", True):  # type: ignore[attr-defined]
        raise UserError(
            f"{type(model).__name__} turns pictures into others: choose a source of pairs, such as PairedFolders, "
            "or damage the images by data.damage"
        )


def require_pairs(model: LightningModule) -> None:
    """Makes sure that the sources of the training, where there are any, show the same as the images beside them.

    Raises:
        UserError: they do not.
    """
    data = model.trainer.datamodule  # type: ignore[attr-defined]
    if getattr(data, "has_source_images", False) and not getattr(data, "trains_in_pairs", True):
        raise UserError(
            f"{type(model).__name__} learns from pairs that show the same: choose PairedFolders, not shuffled, or "
            "a model for unpaired pictures, such as CycleGAN"
        )


def warn_of_unseen_damage(model: LightningModule) -> None:
    """Warns of damaged sources for a model that looks at the images alone."""
    if getattr(model.trainer.datamodule, "damage", None):  # type: ignore[attr-defined]
        distributed.warn_once(
            f"data.damage has no effect on a {type(model).__name__}, which sees whole images alone", 3
        )
