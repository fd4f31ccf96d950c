"""Makes a run that was stopped go on as if it had not been: its best score, its curves, the validation that was due."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from gen_experiments.callbacks.csv_logger import MetricsCSV
from gen_experiments.callbacks.wandb_logger import WandbRun
from gen_experiments.checkpoint_paths import CHECKPOINTS, LAST
from gen_experiments.errors import Stopped
from gen_experiments.runs.folder import Start
from gen_experiments.runs.lock import release
from gen_experiments.runs.record import update_record

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule

VALIDATED_STEP = "validated_step"  # in a checkpoint: the step of the last validation that had ended


class Resumption(Callback):
    """Puts into a checkpoint what Lightning leaves out, and takes it up again.

    A run that goes on keeps its best score and file, also where its folder was moved; takes back what was logged after
    the checkpoint; and makes up for a validation that was due at the checkpoint's step and had not ended. A run that
    begins from another run's checkpoint takes over everything but the best score.

    Args:
        start: where the run is written, and what it starts from.

    Attributes:
        trained: whether an iteration has ended.
    """

    def __init__(self, start: Start) -> None:
        self.start = start
        self.trained = False
        self._validated_step = 0
        self._max_steps: int | None = None  # while it is one more than the user's, for the sake of a last validation

    @property
    def last_checkpoint(self) -> Path:
        """The file that a run goes on from."""
        return self.start.folder / CHECKPOINTS / LAST

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adapts a checkpoint to where and how training goes on, before Lightning reads it."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        step = checkpoint["global_step"]
        self._validated_step = checkpoint.get(VALIDATED_STEP, step)
        callbacks = checkpoint.get("callbacks", {})
        held = {key: callbacks.pop(key) for key in list(callbacks) if key.startswith(ModelCheckpoint.__qualname__)}
        for callback in trainer.checkpoint_callbacks if self.start.resumes else []:
            if isinstance(callback, ModelCheckpoint):
                # The triggers, which are part of a key, may be others now.
                alike = [state for state in held.values() if state["monitor"] == callback.monitor]
                state = held.get(callback.state_key) or (alike[-1] if alike else None)
                if state is not None:
                    callback.current_score = state["current_score"]  # Lightning does not take it up
                    callbacks[callback.state_key] = _moved(state, str(callback.dirpath))
        _fit_to_batches(trainer, checkpoint)
        if self._validated_step != step == trainer.max_steps:
            # Lightning would see that training is over and not even begin.
            self._max_steps = trainer.max_steps
            trainer.fit_loop.epoch_loop.max_steps += 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes back what was logged after the checkpoint, and validates where that is due."""
        if not self.start.resumes:
            return
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCSV):
                logger.rewind(trainer.global_step)
        loop = trainer.fit_loop.epoch_loop
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        due = self._max_steps is not None or loop._should_check_val_fx(fetcher)
        if trainer.enable_validation and due and self._validated_step != trainer.global_step > 0:
            trainer.validating = True
            loop.val_loop.restarting = False
            loop.val_loop.run()
            trainer.training = True
        if self._max_steps is not None:
            loop.max_steps, self._max_steps = self._max_steps, None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Has the curves go on at the right step, also after a validation that came only because the run ended."""
        # Lightning takes such a checkpoint for one of a validation that will come again, and count the iteration then.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes that the validation of this step has ended; the checkpoints of this moment are written after it."""
        if not trainer.sanity_checking:
            self._validated_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Writes the last checkpoint of a run that ends without a validation, which would do it."""
        self.trained = True
        if trainer.should_stop and not trainer.enable_validation and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.last_checkpoint, weights_only=False)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Logs what this iteration has to log before the checkpoint says that it is done."""
        checkpoint[VALIDATED_STEP] = self._validated_step
        if trainer.training and trainer._logger_connector._first_loop_iter is not None:
            # Lightning logs the row after the checkpoint is written; if it were killed in between, nobody would.
            trainer._logger_connector.update_train_step_metrics()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes in the run's record that it has ended."""
        if trainer.is_global_zero:
            update_record(self.start.folder, status="finished")
            release(self.start.folder)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Notes that it has not; ends the processes that would wait for this one for ever."""
        if trainer.is_global_zero and trainer.state.fn == TrainerFn.FITTING:
            update_record(self.start.folder, status="stopped")
            for logger in trainer.loggers:
                if isinstance(logger, WandbRun) and not self.trained and self.start.is_new:
                    logger.forget()
        launcher = trainer.strategy.launcher
        if not isinstance(exception, Stopped) and launcher is not None:
            launcher.kill(signal.SIGKILL)


def _moved(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """Returns the state of a ModelCheckpoint with its files in another folder."""
    before = str(state.get("dirpath"))

    def move(path: str) -> str:
        return folder + path.removeprefix(before) if path.startswith(before) else path

    paths = {name: move(state[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
    best = {move(path): score for path, score in state["best_k_models"].items()}
    return {**state, **paths, "best_k_models": best, "dirpath": folder}


def _fit_to_batches(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Begins a new epoch where the checkpoint was written in the middle of one of other batches."""
    data: ImageDataModule | None = trainer.datamodule  # type: ignore[attr-defined]
    fit_loop = checkpoint["loops"]["fit_loop"]
    loaders = fit_loop["state_dict"].get("combined_loader") or [{}]
    before = {name: loaders[0].get(name) for name in ("batch_size", "images")}
    if data is None or None in before.values():
        return
    now = {"batch_size": data.batch_size, "images": len(data.split("train"))}
    if now == before:
        return
    loaders[0].update(epoch=loaders[0]["epoch"] + 1, done=0, **now)
    progress = fit_loop["epoch_loop.batch_progress"]
    if progress["total"]["completed"] < progress["total"]["processed"]:
        progress["total"]["completed"] = progress["total"]["processed"]
    progress["current"] = dict.fromkeys(progress["current"], 0)
    progress["is_last_batch"] = False
    if trainer.is_global_zero:
        changes = ", ".join(
            f"{name} was {before[name]} and is {now[name]}" for name in now if now[name] != before[name]
        )
        print(f"{changes}: training goes on with a new epoch", flush=True)
