"""What a path of the user's names: a checkpoint, a run, whose checkpoint is taken, or an export."""

from pathlib import Path

from gen_experiments.errors import UserError
from gen_experiments.exported import is_exported

CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
RUN_CHECKPOINTS = ("best.ckpt", LAST)


def checkpoint_of(path: Path) -> Path | None:
    """Returns the checkpoint that a path names: itself, or the best, else the last one of a run; None for other things.

    The folder of an exported model is one.

    Raises:
        UserError: it is the folder of a run without a checkpoint.
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
    """Returns what `checkpoint_of` does; what names no checkpoint comes back as it is, for its reader to refuse.

    Raises:
        UserError: as for `checkpoint_of`.
    """
    return checkpoint_of(Path(path)) or Path(path)


def run_of(path: Path) -> Path | None:
    """Returns the folder of a run if a path is one."""
    return path if path.is_dir() and (path / "config.yaml").is_file() else None
