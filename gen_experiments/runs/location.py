"""Where what a run writes belongs."""

from pathlib import Path
from typing import TYPE_CHECKING

from gen_experiments.runs.record import RECORD_FILE

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def run_folder(trainer: "Trainer") -> Path | None:
    """Returns the folder of a trainer's run: that of the command line, whatever the logger, else that of the logger.

    All processes must call it together. It is None without the command line if the logger has no folder.
    """
    logged = trainer.log_dir  # broadcast by the first process
    root = Path(trainer.default_root_dir)
    if (root / RECORD_FILE).is_file():
        return root
    return None if logged is None else Path(logged)
