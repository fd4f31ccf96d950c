"""A callback for tests: one process of a run dies in the middle, once."""

import os
import signal
from pathlib import Path

from lightning.pytorch import Callback


class KillOnce(Callback):
    """Kills the process of a rank (SIGKILL) after an iteration, unless FILE says that this was done; writes FILE."""

    def __init__(self, file: str, rank: int, step: int) -> None:
        self.file = Path(file)
        self.rank, self.step = rank, step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.global_rank == self.rank and trainer.global_step == self.step and not self.file.exists():
            self.file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
