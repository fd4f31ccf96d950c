"""How fast training goes."""

import time

from lightning.pytorch import Callback, LightningModule, Trainer

from gen_experiments import distributed
from gen_experiments.images import Batch


def is_logged(trainer: Trainer) -> bool:
    """Returns whether the iteration that has just ended is logged."""
    every = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return bool(every > 0 and trainer.global_step % every == 0)


class Throughput(Callback):
    """Logs `images_per_second`, over all processes and without the time of validations, as often as other values."""

    def __init__(self) -> None:
        self._images = 0
        self._since = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._restart()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock anew: validation is not training."""
        self._restart()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Counts a batch and, when it is time to log, logs."""
        self._images += batch.images.shape[0] * distributed.world_size()
        # The first interval holds warm-up and is left out.
        if is_logged(trainer):
            if self._since:
                elapsed = time.perf_counter() - self._since
                pl_module.log("images_per_second", self._images / elapsed)
            self._images, self._since = 0, time.perf_counter()

    def _restart(self) -> None:
        self._images, self._since = 0, 0.0
