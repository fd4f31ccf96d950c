"""Folders of pictures that lie one level too deep, so that splits or classes would be mixed."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from gen_experiments.errors import UserError, quoted

# Names of the folders of splits, in any case.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF = {name: split for split, names in SPLIT_NAMES.items() for name in names}


def check_level(root: Path, names: Sequence[str]) -> None:
    """Refuses a folder without splits whose folders hold splits, which would be mixed within one class.

    Args:
        root: the folder.
        names: of the pictures, as paths below it.

    Raises:
        UserError: a folder in it holds pictures of `train` and of another split.
    """
    below: dict[str, set[str]] = {}
    for first, second, *rest in (name.split("/", 2) for name in names if "/" in name):
        if rest and second.lower() in SPLIT_OF:
            below.setdefault(first, set()).add(SPLIT_OF[second.lower()])
    mixed = next((first for first, splits in below.items() if "train" in splits and len(splits) > 1), None)
    if mixed is not None:
        raise UserError(
            f"{root / quoted(mixed)} holds the splits {', '.join(sorted(below[mixed]))}, which would be one class: "
            "name that folder as the root, or put the classes into the splits"
        )


def warn_of_one_class(names: Sequence[str], start: str) -> None:
    """Warns if the pictures of the only class lie in several folders, which may be the classes.

    Args:
        names: of the training pictures.
        start: what all of them begin with, such as "train/data/".
    """
    folders = sorted({first for first, slash, _ in (name[len(start) :].partition("/") for name in names) if slash})
    if len(folders) > 1:
        warnings.warn(
            f"all training pictures are of one class, {quoted(start)}: if {quoted(folders[0])} and "
            f"{quoted(folders[1])} are classes, they lie one folder too deep",
            stacklevel=2,
        )
