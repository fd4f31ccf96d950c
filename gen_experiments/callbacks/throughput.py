"""Speed and memory of training."""

import resource
import sys
import time

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from gen_experiments import distributed
from gen_experiments.callbacks.lookups import images_seen
from gen_experiments.images import Batch
from gen_experiments.storage import GIB

WORTH_SAYING = 1.0  # seconds of a validation


def is_logged(trainer: Trainer) -> bool:
    """Returns whether the iteration that has just ended is logged."""
    every = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return bool(every > 0 and trainer.global_step % every == 0 and not trainer.fit_loop._should_accumulate())


class Throughput(Callback):
    """Logs `images_per_second`, `peak_memory_gib` and, of each validation, `validation_seconds`.

    The speed is that of training over all processes, without the time of validations. The memory is the most that the
    first process has held so far: on its GPU or, without one, in RAM. The seconds of a validation include batches,
    samples, scores and pictures, and are also printed after the first one.
    """

    def __init__(self) -> None:
        self._images = 0
        self._since = 0.0
        self._training_began = self._validation_began = 0.0
        self._iterations = 0  # before the first validation

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._restart()
        self._iterations, self._training_began = 0, time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the validation's clock."""
        self._validation_began = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the validation's seconds, and restarts the clock of training, which does not count validations."""
        self._restart()
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        seconds = time.perf_counter() - self._validation_began
        # Not by the model's `log`, which Lightning has closed by now.
        row = {"validation_seconds": seconds, "images_seen": float(images_seen(pl_module))}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=max(0, trainer.global_step - 1))
        if self._iterations and seconds >= WORTH_SAYING:
            iteration = (self._validation_began - self._training_began) / self._iterations
            count = round(seconds / iteration)
            iterations = (
                f"as long as {count} iteration{'' if count == 1 else 's'}" if count else "less than an iteration"
            )
            print(f"a validation takes {seconds:.1f} s, {iterations}", flush=True)
            self._training_began, self._iterations = 0.0, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Counts a batch, and logs if this iteration is logged."""
        self._iterations += bool(self._training_began)
        self._images += batch.images.shape[0] * distributed.world_size()
        # The first interval holds warm-up and is left out.
        if is_logged(trainer):
            if self._since:
                elapsed = time.perf_counter() - self._since
                pl_module.log("images_per_second", self._images / elapsed)
            pl_module.log("peak_memory_gib", peak_memory(pl_module.device) / GIB)
            self._images, self._since = 0, time.perf_counter()

    def _restart(self) -> None:
        self._images, self._since = 0, 0.0


def peak_memory(device: torch.device) -> int:
    """Returns the most bytes that this process has held: of tensors on a GPU or, of any other device, in RAM."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # In KiB but on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
