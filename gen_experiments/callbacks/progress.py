"""Shows the progress of a run: a bar on a terminal, else one line a minute."""

import sys
import time
from collections.abc import Iterator
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from tqdm import tqdm

from gen_experiments.callbacks.lookups import callbacks_of
from gen_experiments.errors import check_interval


class RunProgress(ProgressBar):
    """Shows the iterations of the run out of all that it will have; those before a checkpoint count too.

    It also shows the images seen, the time left at the speed so far (validations included), the latest losses and the
    latest score by which the best checkpoint is chosen. The commands `validate`, `test` and `predict` show batches.

    Args:
        every: seconds between two refreshes on a terminal.
        every_line: seconds between two lines where stderr is no terminal.

    Raises:
        UserError: a number out of range.
    """

    def __init__(self, every: float = 1.0, every_line: float = 60.0) -> None:
        super().__init__()
        check_interval("(0, inf)", every=every, every_line=every_line)
        self.every, self.every_line = every, every_line
        self._enabled = True
        self._bar: tqdm[Any] | None = None
        self._began = self._shown = 0.0
        self._first = 0

    def disable(self) -> None:
        """Shows nothing; Lightning calls it on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Shows progress again."""
        self._enabled = True

    @property
    def is_enabled(self) -> bool:
        """Whether progress is shown; a model's `print` asks for it."""
        return self._enabled

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts at the iteration that the run has reached."""
        self._began = self._shown = time.monotonic()
        self._first = trainer.global_step
        total = num_iterations(trainer)
        self._open("training", total, trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Counts an iteration, and shows it if it is time."""
        if not self._is_due():
            return
        done, total = trainer.global_step, num_iterations(trainer)
        shown = ", ".join(_latest(trainer))
        if self._bar is not None:
            self._bar.set_postfix_str(shown, refresh=False)
            self._bar.n = done
            self._bar.refresh()
            return
        text = f"step {done:,}"
        if total is not None:
            elapsed, steps = time.monotonic() - self._began, max(1, done - self._first)
            left = duration(elapsed / steps * (total - done))
            text = f"step {done:,} of {total:,} ({done / total:.0%}), {left} left"
        seen = getattr(pl_module, "images_seen", None)
        text += "" if seen is None else f", {seen:,} images seen"
        print(f"{text}, {shown}" if shown else text, file=sys.stderr, flush=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Advances the bar to the last iteration and closes it."""
        if self._bar is not None:
            self._bar.update(trainer.global_step - self._bar.n)
        self._close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Labels the bar in training; outside of training, starts counting batches."""
        if trainer.state.fn == "fit":
            self._describe("validating")
        else:
            self._open("validating", sum(map(int, trainer.num_val_batches)), 0)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Counts a batch."""
        if trainer.state.fn != "fit":
            self._count()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores the label in training; outside of training, closes the bar."""
        if trainer.state.fn == "fit":
            self._describe("training")
        else:
            self._close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts counting batches."""
        self._open("testing", sum(map(int, trainer.num_test_batches)), 0)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts counting batches."""
        self._open("predicting", sum(map(int, trainer.num_predict_batches)), 0)

    def on_test_batch_end(self, *_: Any, **__: Any) -> None:
        """Counts a batch."""
        self._count()

    on_predict_batch_end = on_test_batch_end

    def on_test_end(self, *_: Any, **__: Any) -> None:
        """Closes the bar."""
        self._close()

    on_predict_end = on_exception = on_test_end

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Prints without breaking the bar."""
        tqdm.write(" ".join(map(str, args)), file=kwargs.get("file", sys.stdout))

    def _open(self, description: str, total: int | None, done: int) -> None:
        self._close()
        if self._enabled and sys.stderr.isatty():
            self._bar = tqdm(
                total=total,
                initial=done,
                desc=description,
                mininterval=self.every,
                maxinterval=self.every,
                miniters=1,
                smoothing=0,  # the speed since the start, as in a file
                dynamic_ncols=True,
                file=sys.stderr,
            )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _count(self) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def _describe(self, description: str) -> None:
        if self._bar is not None:
            self._bar.set_description(description)

    def _is_due(self) -> bool:
        now = time.monotonic()
        due = self._enabled and now - self._shown >= (self.every_line if self._bar is None else self.every)
        if due:
            self._shown = now
        return due


def num_iterations(trainer: Trainer) -> int | None:
    """Returns the iterations of a run, those before a resumption included; None for a run without an end."""
    ends = [trainer.max_steps] if trainer.max_steps > 0 else []
    if trainer.max_epochs is not None and trainer.max_epochs > 0 and trainer.num_training_batches != float("inf"):
        ends.append(trainer.max_epochs * int(trainer.num_training_batches))
    return min(ends, default=None)


def duration(seconds: float) -> str:
    """Returns a duration as text: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _latest(trainer: Trainer) -> Iterator[str]:
    """Yields the latest losses and the latest score that chooses the best checkpoint."""
    monitored = {callback.monitor for callback in callbacks_of(trainer, ModelCheckpoint)}
    for name, value in sorted(trainer.callback_metrics.items()):
        if name.startswith("train/loss") or name in monitored:
            yield f"{name} {float(value):.4g}"
