"""The callbacks of a trainer by their class."""

from typing import TypeVar

from lightning.pytorch import Trainer

Kind = TypeVar("Kind")


def callbacks_of(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """Returns the callbacks of a class, in the trainer's order."""
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]  # type: ignore[attr-defined]
