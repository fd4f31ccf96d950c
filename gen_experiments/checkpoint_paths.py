"""Which checkpoint a path names: a file, an export, or the best one of a run."""

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


def not_there(path: Path) -> str:
    """Returns in words that a path names no file of a checkpoint."""
    folder = ": it is a folder, neither of a run nor of an export, so name a file in it" if path.is_dir() else ""
    return f"at {path}{folder}"


def run_of(path: Path) -> Path | None:
    """Returns the path if it is the folder of a run, else None."""
    return path if path.is_dir() and (path / "config.yaml").is_file() else None
