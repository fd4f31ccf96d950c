"""A callback for tests: a process of a run sends itself a signal in the middle, once."""

import os
import signal
from pathlib import Path

from lightning.pytorch import Callback


class SignalOnce(Callback):
    """Signals the process of a rank after a batch, unless `file` says that this was done; writes `file` before.

    Batches of training are counted over all starts of a run.
    """

    def __init__(self, file: str, step: int, rank: int = 0, name: str = "SIGKILL") -> None:
        self.signal = signal.Signals[name]
        self.file = Path(file)
        self.rank, self.step = rank, step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self._signal(trainer, pl_module.iteration + 1)

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0) -> None:
        if trainer.state.fn != "fit":
            self._signal(trainer, batch_idx + 1)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def _signal(self, trainer, done) -> None:
        if trainer.global_rank == self.rank and done == self.step and not self.file.exists():
            self.file.touch()
            os.kill(os.getpid(), self.signal)
