"""The classes that a user names on the command line."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gen_experiments.errors import UserError


def check_labels(option: str, labels: Sequence[int], classes: int | None) -> int:
    """Refuses labels that a model does not know, and any option about labels where it knows none.

    Args:
        option: what the user wrote them after.
        labels: what was written.
        classes: how many the model knows, or None if it knows none.

    Returns:
        How many the model knows.

    Raises:
        UserError: the model knows no classes, or not one of these.
    """
    if classes is None:
        raise UserError(f"this model knows no classes: leave out {option}")
    if unknown := [label for label in labels if not 0 <= label < classes]:
        raise UserError(f"{option} must be in 0 ... {classes - 1}, not {unknown[0]}")
    return classes


def one_label(label: int | None, count: int) -> Tensor | None:
    """Returns the labels of images that have all the same: (count,) int64, or None for a model that is told none."""
    return None if label is None else torch.full((count,), label)
