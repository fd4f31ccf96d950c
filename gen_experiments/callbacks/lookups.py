"""What callbacks look up in a trainer and in a model."""

from typing import TYPE_CHECKING, TypeVar

from lightning.pytorch import LightningModule, Trainer

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule

Kind = TypeVar("Kind")


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """Returns the callbacks of a class, in the trainer's order."""
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]  # type: ignore[attr-defined]


def data_of(trainer: Trainer) -> "ImageDataModule":
    """Returns the data of a trainer."""
    data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
    return data


def images_seen(model: LightningModule) -> int:
    """Returns the real images that a model has been trained on; 0 for a model that does not count them."""
    seen: int = getattr(model, "images_seen", 0)
    return seen
