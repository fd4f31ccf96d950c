"""Ends a run when a signal asks for it: the processes agree, save a checkpoint, and print how to resume."""

import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from gen_experiments import distributed
from gen_experiments.callbacks.lookups import callbacks_of
from gen_experiments.callbacks.wandb_logger import WandbRun
from gen_experiments.checkpoints.paths import CHECKPOINTS, LAST
from gen_experiments.errors import Stopped
from gen_experiments.runs.job import can_requeue, requeue
from gen_experiments.runs.signals import Signals


class Interruption(Callback):
    """Acts on SIGTERM, SIGINT and SIGUSR1 after a training batch, and between the passes of an evaluation.

    There all processes agree, so that a signal to some of them stops all at the same iteration. In training,
    `checkpoints/last.ckpt` is written first. Under SLURM, SIGUSR1 also returns the job to the queue.

    Args:
        folder: the run's folder.
        signals: the handler, which may watch some signals already.
    """

    def __init__(self, folder: Path, signals: Signals) -> None:
        self.folder, self.signals = folder, signals
        self._group: Any = None
        self._common_batches = 0  # batches of an evaluation that every process has

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Opens a CPU process group for the agreement, which must not wait for a GPU; replaces Lightning's handlers."""
        # Lightning's handlers save and reduce in the middle of a batch.
        trainer._signal_connector.register_signal_handlers = self.signals.watch  # type: ignore[method-assign]
        if distributed.is_distributed() and self._group is None:
            self._group = dist.new_group(backend="gloo")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds the number of batches that every process has: after each of them they can agree."""
        self._start_evaluation(trainer.num_val_batches)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for a test."""
        self._start_evaluation(trainer.num_test_batches)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for a prediction."""
        self._start_evaluation(trainer.num_predict_batches)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Stops here if a signal came."""
        self.check(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stops here if a signal came."""
        if batch_idx < self._common_batches:
            self.check(trainer)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restores the previous handlers."""
        self.signals.release()

    def check(self, trainer: Trainer) -> None:
        """Stops if any process has received a signal. All processes must call it.

        Raises:
            Stopped: one has.
        """
        received = torch.tensor(self.signals.received)
        if self._group is not None:
            dist.all_reduce(received, dist.ReduceOp.MAX, group=self._group)
        if received:
            self._stop(trainer, signal.Signals(int(received)))

    def _start_evaluation(self, batches: Any) -> None:
        common = torch.tensor(sum(batches) if isinstance(batches, list) else batches, dtype=torch.float64)
        if self._group is not None:
            dist.all_reduce(common, dist.ReduceOp.MIN, group=self._group)
        self._common_batches = int(common.clamp(max=2**62))

    def _stop(self, trainer: Trainer, received: signal.Signals) -> None:
        code = 128 + received
        message = f"stopped by {received.name}"
        if trainer.state.fn == TrainerFn.FITTING and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            path = self.folder / CHECKPOINTS / LAST
            trainer.save_checkpoint(path, weights_only=False)
            message += f" at step {trainer.global_step}, which {path} holds"
            if received == signal.SIGUSR1 and can_requeue():
                code = 0
                if trainer.is_global_zero:
                    _requeue(trainer, message)
            else:
                message += "; go on by --ckpt_path=last or --run.resume=auto"
        raise Stopped(message, code if trainer.is_global_zero else 0)


def _requeue(trainer: Trainer, message: str) -> None:
    # Requeueing ends this process at once, so that the loggers must finish before.
    for logger in trainer.loggers:
        if isinstance(logger, WandbRun):
            logger.finish(exit_code=1)
    print(f"{message}; the job is queued again and goes on from there", file=sys.stderr, flush=True)
    requeue()


def pause_point(trainer: Trainer) -> None:
    """Stops a run here if a signal has arrived. All processes must call it."""
    for callback in callbacks_of(trainer, Interruption):
        callback.check(trainer)
