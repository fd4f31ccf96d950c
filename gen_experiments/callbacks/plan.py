"""The time, memory and disk that a run will need, estimated from some seconds of training: `fit --plan`."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from gen_experiments.callbacks.lookups import callbacks_of, data_of
from gen_experiments.callbacks.progress import duration, num_iterations
from gen_experiments.callbacks.throughput import peak_memory
from gen_experiments.storage import GIB, cache_root

WARM_UP = 3  # iterations that are not timed
PROBE_SECONDS, MAX_ITERATIONS = 15.0, 2000
# Bytes a second in each direction between two GPUs, as their makers state them.
INTERCONNECTS = {"NVLink 4": 450e9, "PCIe 4 x16": 32e9, "InfiniBand at 200 Gb/s": 25e9, "Ethernet at 25 Gb/s": 3.1e9}
PROCESSES = (8, 64)


class Plan(Callback):
    """Trains for some seconds, validates twice, stops, and prints what the whole run will need.

    An iteration takes the mean of the probe's iterations after the first three. A validation takes as long as the
    second one: the first also computes what is kept, such as the statistics of the reference images, and its extra time
    is printed separately. If the first validation takes longer than the probe, there is no second, and the time from
    its first batch on stands for the others. Checkpoints are written as in the run, and their sizes are read.

    Args:
        began: when the program began, by `time.monotonic`.
        seconds: length of the timed part of the probe.
    """

    def __init__(self, began: float, seconds: float = PROBE_SECONDS) -> None:
        self.began, self.seconds = began, seconds
        self._first_iteration = self._timed_from = self._timed_to = 0.0
        self._done = self._timed = 0
        self._validation_began = self._batches_began = 0.0
        self._validations: list[tuple[float, float]] = []  # whole seconds, and those before the first batch
        self._wanted: int | None = None
        self._epochs: int | None = None  # between two epochs with validations

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stores the number of iterations of the run, and lets the probe validate in its first epoch."""
        self._wanted = num_iterations(trainer)
        self._epochs = trainer.check_val_every_n_epoch
        if self._epochs is not None:
            trainer.check_val_every_n_epoch = 1
        self._first_iteration = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Counts an iteration; stops training at the end of the probe, so that Lightning validates."""
        now = time.monotonic()
        self._done += 1
        if self._done == WARM_UP:
            self._timed_from = now
        if self._validations:
            trainer.should_stop = True
        elif self._done > WARM_UP and not trainer.should_stop:
            self._timed, self._timed_to = self._done - WARM_UP, now
            if now - self._timed_from >= self.seconds or self._timed >= MAX_ITERATIONS:
                trainer.should_stop = True

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the validation's clock."""
        if not trainer.sanity_checking:
            self._validation_began, self._batches_began = time.monotonic(), 0.0

    def on_validation_batch_start(self, *_: Any) -> None:
        """Stores the time of the first batch."""
        if self._validation_began and not self._batches_began:
            self._batches_began = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the validation's clock and, after the last validation, the probe."""
        if self._validation_began:
            whole = time.monotonic() - self._validation_began
            self._validations.append((whole, self._batches_began - self._validation_began))
            trainer.should_stop = len(self._validations) == 2 or whole > self.seconds

    def lines(self, trainer: Trainer, model: LightningModule) -> list[str]:
        """Returns the estimates as lines of text, once the probe has ended."""
        if not self._timed:
            return [f"the run has {self._done} iterations, too few for a plan: it ends before one could be made"]
        per_iteration = (self._timed_to - self._timed_from) / self._timed
        (whole_first, before_batches), *second = self._validations or [(0.0, 0.0)]
        validation = second[0][0] if second else whole_first - before_batches
        first = max(0.0, whole_first - validation)
        start = self._first_iteration - self.began
        count = ("no validation", "one validation", "two validations")[len(self._validations)]
        lines = [f"measured: {self._timed} iterations of {_milliseconds(per_iteration, 3)} and {count}"]
        if self._wanted is not None:
            validations = self._of_the_run(trainer, self._wanted)
            trained, validated = self._wanted * per_iteration, first + validations * validation
            lines.append(
                f"time: {duration(start + trained + validated)}, of {self._wanted:,} iterations ({duration(trained)}), "
                f"{validations} validations ({duration(validated)}) and the start ({duration(start)})"
            )
        else:
            lines.append(f"time: without end; {3600 / per_iteration:,.0f} iterations an hour without validations")
        lines.append(f"a validation: {duration(validation)}, the first one {duration(first)} more")
        where = f"on {model.device}" if model.device.type == "cuda" else "in RAM"
        lines.append(f"peak memory: {peak_memory(model.device) / GIB:.2f} GiB {where}, of each process, loggers apart")
        lines.append(f"disk: {_sizes(trainer)}")
        return [*lines, *_traffic(model)]

    def _of_the_run(self, trainer: Trainer, iterations: int) -> int:
        """Returns the number of validations of a run, which ends with one."""
        every = trainer.val_check_batch or math.inf
        if self._epochs is not None:  # in an epoch with validations its batches are counted anew
            of_epoch = trainer.num_training_batches
            every = of_epoch * self._epochs / (of_epoch // min(every, of_epoch))
        return math.ceil(iterations / every) if every < math.inf else 1


def _sizes(trainer: Trainer) -> str:
    data = data_of(trainer)
    written = [
        path
        for callback in callbacks_of(trainer, ModelCheckpoint)
        if callback.dirpath
        for path in Path(callback.dirpath).glob("*.ckpt")
    ]
    checkpoints = {path.resolve(): path.stat().st_size for path in written}
    splits = [data.split(name).pixels for name in data.facts()]
    cached = {id(pixels): pixels.nbytes for pixels in splits if isinstance(pixels, np.ndarray)}
    text = f"{sum(checkpoints.values()) / 1e6:.1f} MB of checkpoints ({len(checkpoints)} files)"
    if cached:
        text += f"; the decoded images, {sum(cached.values()) / 1e6:.1f} MB, are in the cache at {cache_root()} already"
    return text


def _traffic(model: LightningModule) -> list[str]:
    """Returns what several GPUs exchange at each iteration: in a ring, each of N sends 2(N − 1)/N of the gradients."""
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad)
    rows = []
    for count in PROCESSES:
        volume = 2 * (count - 1) / count * size
        times = ", ".join(f"{_milliseconds(volume / speed, 2)} by {name}" for name, speed in INTERCONNECTS.items())
        rows.append(f"on paper, {count} GPUs: each sends {volume / 1e6:.1f} MB of gradients an iteration, {times}")
    return rows


def _milliseconds(seconds: float, digits: int) -> str:
    """Returns a time in milliseconds with `digits` significant digits, never with an exponent."""
    value = seconds * 1e3
    return f"{value:.0f} ms" if value >= 99 else f"{value:.{digits}g} ms"
