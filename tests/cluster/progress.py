"""A callback for tests: says how far training has come, and gives the tests time to interrupt it."""

import os
import time
from pathlib import Path

from lightning.pytorch import Callback


class WriteProgress(Callback):
    """Writes "RESTARTS ITERATIONS" to `FOLDER/progress-TASK` after every iteration; TASK is 0 outside of an array."""

    def __init__(self, folder: str, seconds: float = 0.02) -> None:
        self.folder = Path(folder)
        self.seconds = seconds
        self.iterations = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.iterations += 1
        if trainer.is_global_zero:
            path = self.folder / f"progress-{os.environ.get('SLURM_ARRAY_TASK_ID', 0)}"
            new = path.with_suffix(".new")
            new.write_text(f"{os.environ.get('SLURM_RESTART_COUNT', 0)} {self.iterations}")
            new.replace(path)
        time.sleep(self.seconds)
