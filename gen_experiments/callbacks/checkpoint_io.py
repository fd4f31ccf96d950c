"""How Lightning writes and reads checkpoints in this project."""

import copy
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.plugins import TorchCheckpointIO

from gen_experiments.checkpoints.exports import read_contents
from gen_experiments.errors import UserError
from gen_experiments.runs.checkpoint_files import write_checkpoint
from gen_experiments.untrusted.unreadable import Unreadable


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its target and renames it.

    Lightning's own writer uses the folder for temporary files. If that is on another device, the file is finally copied
    over the old checkpoint, which a kill or a full disk then destroys.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes `checkpoint` to `path`; remote paths (with a `://`) are Lightning's.

        Raises:
            UserError: the file cannot be written.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Reads a checkpoint of tensors and plain values, or an export; remote paths (with a `://`) are Lightning's.

        Raises:
            UserError: the file is damaged or hostile.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, *args, **kwargs)
        try:
            # A copy, because the mapped file may be overwritten while training goes on.
            checkpoint: dict[str, Any] = copy.deepcopy(read_contents(Path(path)))
        except Unreadable as error:
            raise UserError(f"{path} is no readable checkpoint: {error}") from error
        # An export has no version of Lightning, which Lightning expects.
        return {"pytorch-lightning_version": lightning.__version__, **checkpoint}
