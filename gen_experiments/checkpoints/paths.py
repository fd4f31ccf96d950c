"""Which checkpoint a path names: a file, an export, or the best one of a run."""

import re
from pathlib import Path

from gen_experiments.errors import UserError

WEIGHTS = "model.safetensors"  # in the folder of an exported model
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
RUN_CHECKPOINTS = ("best.ckpt", LAST)


def is_exported(path: Path) -> bool:
    """Returns whether a path is the folder of an exported model with its weights."""
    return (path / WEIGHTS).is_file()


def file_of(path: Path) -> Path:
    """Returns the file of a checkpoint's weights: the checkpoint itself, or the one in the folder of an export."""
    return path / WEIGHTS if is_exported(path) else path


def checkpoint_of(path: Path) -> Path | None:
    """Returns the checkpoint that a path names; None if it names none.

    A checkpoint file and the folder of an exported model name themselves; a run names its best, else its last one.

    Raises:
        UserError: the path is the folder of a run without a checkpoint.
    """
    if is_exported(path):
        return path
    if run_of(path) is not None:
        for name in RUN_CHECKPOINTS:
            if (path / CHECKPOINTS / name).is_file():
                return path / CHECKPOINTS / name
        raise UserError(f"the run {path} has no checkpoint yet: name another, or wait for its first validation")
    return path if path.suffix == ".ckpt" else None


def named_checkpoint(path: str | Path) -> Path:
    """Returns the checkpoint that a path names, or the path itself if it names none, for its reader to refuse.

    Raises:
        UserError: as for `checkpoint_of`.
    """
    return checkpoint_of(Path(path)) or Path(path)


def existing_checkpoint(path: str | Path) -> Path:
    """Returns the checkpoint that a path names.

    Raises:
        UserError: there is none.
    """
    path = named_checkpoint(path)
    if not file_of(path).is_file():
        of_run = path / CHECKPOINTS
        where = f"at {path}: it is a run, so name one of those in {of_run}" if of_run.is_dir() else not_there(path)
        raise UserError(f"there is no checkpoint {where}")
    return path


def not_there(path: Path) -> str:
    """Returns in words that a path names no file of a checkpoint."""
    folder = ": it is a folder, neither of a run nor of an export, so name a file in it" if path.is_dir() else ""
    return f"at {path}{folder}"


def check_images_exist(name: str) -> None:
    """Refuses what `evaluate` and `stats` take no images from; a data configuration is left to its reader.

    Raises:
        UserError: there is no such checkpoint, or nothing of that name.
    """
    if checkpoint_of(Path(name)) is not None:
        existing_checkpoint(name)
    elif not Path(name).exists() and not re.search(r"\.ya?ml(:|$)", name):
        raise UserError(f"there is no {name}: name a checkpoint, a run, a folder, a data configuration or an .npz file")


def run_of(path: Path) -> Path | None:
    """Returns the path if it is the folder of a run, else None."""
    return path if path.is_dir() and (path / "config.yaml").is_file() else None
