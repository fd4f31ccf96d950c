"""Reads the classes of the command line."""

import difflib
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from gen_experiments.callbacks.protocols import OfImages
from gen_experiments.errors import UserError, quoted
from gen_experiments.images import ImageSpec

MAX_NAMES = 8  # listed in a message


def class_names(option: str, model: OfImages) -> tuple[str, ...]:
    """Returns the names of a model's classes, which `option` of the command line needs; in old checkpoints numbers.

    Raises:
        UserError: the model has no classes.
    """
    classes = getattr(model, "num_classes", None)
    if classes is None:
        raise UserError(f"this model knows no classes: leave out {option}")
    image = model.image if model.image.num_classes == classes else ImageSpec(num_classes=classes)
    return image.class_labels


def class_numbers(option: str, classes: Sequence[str | int], model: OfImages) -> list[int]:
    """Returns the numbers of classes that `option` gives by name or by number; a text that is both counts as a name.

    Raises:
        UserError: the model has no classes, or lacks one of these.
    """
    names = class_names(option, model)
    return [_number(option, str(name), names) for name in classes]


def _number(option: str, text: str, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text)
    if re.fullmatch("[0-9]{1,9}", text) and int(text) < len(names):
        return int(text)
    near = difflib.get_close_matches(text, names, 1)
    hint = f"; did you mean {quoted(near[0])}?" if near else ""
    more = ", …" if len(names) > MAX_NAMES else ""
    listed = ", ".join(map(quoted, names[:MAX_NAMES]))
    raise UserError(f"{option} must be a class ({listed}{more}) or be in 0 ... {len(names) - 1}, not {text}{hint}")


def one_label(label: int | None, count: int, device: torch.device | None = None) -> Tensor | None:
    """Returns `count` equal labels: (count,) int64; None without a label."""
    return None if label is None else torch.full((count,), label, device=device)
