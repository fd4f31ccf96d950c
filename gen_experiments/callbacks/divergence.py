"""Detects that a GAN no longer learns; ends its run, or returns to its best checkpoint."""

import math
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim import Optimizer

from gen_experiments import distributed
from gen_experiments.callbacks.lookups import callbacks_of
from gen_experiments.callbacks.no_effect import warn_of_no_effect
from gen_experiments.callbacks.throughput import is_logged
from gen_experiments.errors import check_interval


class StopOnDivergence(Callback):
    """Ends training with a line that names the reason: a score that became far worse, or a perfect discriminator.

    With `restore` the run continues instead from the weights and optimizers of the best checkpoint, with smaller
    learning rates; the images seen are not reset. That needs a `ModelCheckpoint` with the same `monitor`.

    Args:
        monitor: the watched score, such as `val/fid`.
        factor: the score has diverged when it is worse than its best by more than this factor, or NaN; > 1. With 2,
            that is above 8 after a best of 4 in the mode `min`, below 10 after a best of 20 in the mode `max`, and
            above −2 after a best of −4 in the mode `min`. A score that can come near 0 from both sides, such as KID,
            has no such factor: watch another.
        patience: consecutive validations with a diverged score; >= 1.
        accuracy: the share of images that a perfect discriminator judges correctly, in [0, 1]; watched if it is logged.
        images: real images over which the discriminator must be perfect; > 0.
        restore: whether to return to the best checkpoint.
        rate: factor on the learning rates at each return, in (0, 1].
        restores: the largest number of returns; the next divergence ends the run.
        mode: whether the smaller (`min`) or the larger (`max`) score is better.

    Raises:
        UserError: a number out of its range.
    """

    def __init__(
        self,
        monitor: str = "val/fid",
        factor: float = 2.0,
        patience: int = 2,
        accuracy: float = 0.999,
        images: int = 200_000,
        restore: bool = False,
        rate: float = 0.5,
        restores: int = 2,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        check_interval("(1, inf)", factor=factor)
        check_interval("[1, inf)", patience=patience)
        check_interval("[0, 1]", accuracy=accuracy)
        check_interval("(0, inf)", images=images)
        check_interval("(0, 1]", rate=rate)
        check_interval("[0, inf)", restores=restores)
        self.monitor, self.factor, self.patience = monitor, factor, patience
        self.accuracy, self.images = accuracy, images
        self.restore, self.rate, self.restores = restore, rate, restores
        self._sign = 1 if mode == "min" else -1  # of what is the smaller the better
        self._best = math.inf  # with that sign
        self._worse = 0  # validations in a row
        self._perfect_since: int | None = None  # images seen
        self._restored = 0
        self._warned = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warns of options of a return, where there is none."""
        if not self.restore:
            why = "without a return to the best checkpoint: set restore to true"
            warn_of_no_effect(self, ("rate", "restores"), why, "StopOnDivergence")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Checks the discriminator's accuracy when it is logged, averaged over all processes."""
        accuracy = trainer.callback_metrics.get("train/sign_accuracy")
        if accuracy is None or not is_logged(trainer):
            return
        mean = float(distributed.all_reduce_sum(accuracy)) / distributed.world_size()
        seen = int(pl_module.images_seen)  # type: ignore[arg-type]
        if mean < self.accuracy:
            self._perfect_since = None
        elif self._perfect_since is None:
            self._perfect_since = seen
        elif seen - self._perfect_since >= self.images:
            self._react(
                trainer,
                pl_module,
                f"the discriminator judged {mean:.1%} of the images rightly for {seen - self._perfect_since} images",
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compares the score with its best."""
        score = trainer.callback_metrics.get(self.monitor)
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if score is None:
            self._say_what_is_logged(trainer)
            return
        last = self._sign * float(score)
        bound = self._best * self.factor if self._best > 0 else self._best / self.factor
        self._worse = 0 if last <= bound else self._worse + 1
        # Written so that NaN is never the best.
        self._best = last if last < self._best else self._best
        if self._worse >= self.patience:
            best = self._sign * self._best
            self._react(trainer, pl_module, f"{self.monitor} is {float(score):.6g} and was {best:.6g} at its best")

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Reduces the learning rates, which the model sets at every iteration, according to the number of returns."""
        if self._restored:
            for group in optimizer.param_groups:
                group["lr"] *= self.rate**self._restored

    def state_dict(self) -> dict[str, Any]:
        """Returns the state, with which a resumed run continues."""
        return {
            "best": self._best,
            "worse": self._worse,
            "perfect_since": self._perfect_since,
            "restored": self._restored,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state."""
        self._best, self._worse = state_dict["best"], state_dict["worse"]
        self._perfect_since, self._restored = state_dict["perfect_since"], state_dict["restored"]

    def _say_what_is_logged(self, trainer: Trainer) -> None:
        """Warns at the first validation that the watched score is not logged."""
        if not self._warned:
            logged = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
            distributed.warn_once(
                f"StopOnDivergence watches {self.monitor}, which no validation logs: set its monitor to one of "
                f"{logged or 'the scores, of which there are none here'}"
            )
        self._warned = True

    def _react(self, trainer: Trainer, module: LightningModule, saw: str) -> None:
        self._worse, self._perfect_since = 0, None
        best = self._best_checkpoint(trainer)
        if self.restore and best and self._restored < self.restores:
            self._restored += 1
            # Validation runs in inference mode, whose tensors could not be trained.
            with torch.inference_mode(False):
                checkpoint = torch.load(best, map_location="cpu", weights_only=True)
                module.load_state_dict(checkpoint["state_dict"])
                trainer.strategy.load_optimizer_state_dict(checkpoint)
            done = f"back to {best}, with the learning rates times {self.rate**self._restored:g}"
        else:
            trainer.should_stop = True
            done = f"training ends; the best checkpoint is {best or 'none, as none was written yet'}"
        if trainer.is_global_zero:
            print(f"diverged by step {trainer.global_step}: {saw}; {done}", flush=True)

    def _best_checkpoint(self, trainer: Trainer) -> str:
        by_score = [callback for callback in callbacks_of(trainer, ModelCheckpoint) if callback.monitor == self.monitor]
        return next((str(callback.best_model_path) for callback in by_score if callback.best_model_path), "")
