"""Resumes a stopped run as if it had not stopped: its best score, its curves, a validation that was due."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, Timer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.callbacks.changes import say_what_changed
from gen_experiments.callbacks.comparison import MEASURED_BY, forget_scores, has_best, measured_by
from gen_experiments.callbacks.csv_logger import MetricsCSV
from gen_experiments.callbacks.lookups import callbacks_of
from gen_experiments.callbacks.wandb_logger import WandbRun
from gen_experiments.checkpoints.paths import CHECKPOINTS, LAST
from gen_experiments.errors import Stopped, UserError
from gen_experiments.runs.lock import release
from gen_experiments.runs.record import update_record
from gen_experiments.runs.start import Start

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule

VALIDATED_STEP = "validated_step"  # in a checkpoint: the step of the last validation that had ended
GRADIENTS = "gradients"  # in a checkpoint between the batches of an accumulating step: what those before it have summed


class Resumption(Callback):
    """Saves and restores what Lightning's checkpoints lack.

    A resumed run keeps its best score and the path of the best file, also if its folder was moved; removes the rows
    that were logged after the checkpoint; repeats a validation that was due at the checkpoint's step and did not end;
    and keeps accumulated gradients. A new run from another run's checkpoint restores everything but the best score.

    Args:
        start: the run's folder, and the checkpoint that it starts from.

    Attributes:
        trained: whether an iteration has ended.
    """

    def __init__(self, start: Start) -> None:
        self.start = start
        self.trained = False
        self._validated_step = 0
        self._measured_by: dict[str, Any] = {}  # once it is known
        self._outdated: dict[Path, Path] = {}  # best checkpoints by scores of another kind, and their names to be
        self._max_steps: int | None = None  # the user's, while the loop's is one more for a last validation
        self._gradients: dict[str, Tensor] = {}  # by the names of weights

    @property
    def last_checkpoint(self) -> Path:
        """The file from which a run is resumed."""
        return self.start.folder / CHECKPOINTS / LAST

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adapts a checkpoint to the folder and the options of the resumed run, before Lightning reads it."""
        say_what_changed(trainer, checkpoint)
        if trainer.state.fn != TrainerFn.FITTING:
            return
        step = checkpoint["global_step"]
        self._validated_step = checkpoint.get(VALIDATED_STEP, step)
        self._gradients = checkpoint.get(GRADIENTS, {})
        callbacks = checkpoint.get("callbacks", {})
        states = {key: callbacks.pop(key) for key in list(callbacks) if key.startswith(ModelCheckpoint.__qualname__)}
        own = trainer.checkpoint_callbacks if self.start.resumes and not self.start.begins_again else []
        monitors = {callback.monitor for callback in own if isinstance(callback, ModelCheckpoint)}
        for state in states.values() if own else []:
            if state["monitor"] not in {None, *monitors}:
                best = _move_to(state, str(self.last_checkpoint.parent))["best_model_path"]
                self._set_aside([Path(best)], trainer, step, f"best is no longer by {state['monitor']}")
        for callback in own:
            if isinstance(callback, ModelCheckpoint):
                # Keys contain the triggers, which may have changed.
                alike = [state for state in states.values() if state["monitor"] == callback.monitor]
                state = states.get(callback.state_key) or (alike[-1] if alike else None)
                if state is not None:
                    callback.current_score = state["current_score"]  # Lightning does not restore it
                    callbacks[callback.state_key] = _move_to(state, str(callback.dirpath))
        if (before := checkpoint.get(MEASURED_BY)) is not None and self.start.resumes:
            now = measured_by(trainer, pl_module)
            if changed := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
                anew = "changed since the best score, so that the best checkpoint is chosen anew"
                self._set_aside(forget_scores(trainer, callbacks), trainer, step, f"{', '.join(changed)}: {anew}")
        _fit_to_batches(trainer, checkpoint)
        if self._validated_step != step == trainer.max_steps:
            # Otherwise Lightning sees that training is over and does not begin.
            self._max_steps = trainer.max_steps
            trainer.fit_loop.epoch_loop.max_steps += 1

    def _set_aside(self, best: list[Path], trainer: Trainer, step: int, why: str) -> None:
        """Gives best checkpoints another name when training starts, and prints so: others are about to take theirs."""
        names = {path: path.with_stem(f"{path.stem}_until_step_{step}") for path in best if path.is_file()}
        self._outdated |= names
        if trainer.is_global_zero:
            print(why + "".join(f"; {path} is kept as {name.name}" for path, name in names.items()), flush=True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores gradients, removes the rows that were logged after the checkpoint, and validates if that is due."""
        for key, weight in pl_module.named_parameters():
            weight.grad = self._gradients[key].to(weight) if key in self._gradients else None
        self._gradients = {}
        if not self.start.resumes:
            return
        if trainer.is_global_zero:
            update_record(self.start.folder, status="running")
            for path, name in self._outdated.items():
                path.replace(name)
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCSV):
                logger.rewind(trainer.global_step)
        if self.start.begins_again:
            return
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
        """Sets the step of the curves, which is wrong after a validation that came only because the run ended."""
        # Lightning expects that validation again in the resumed run, and counts the iteration only then.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stores that the validation of this step has ended; its checkpoints are written afterwards."""
        if not trainer.sanity_checking:
            self._validated_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Writes the last checkpoint of a run that ends without a validation; else the validation writes it."""
        self.trained = True
        if trainer.should_stop and not trainer.enable_validation and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.last_checkpoint, weights_only=False)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Logs the values of this iteration before the checkpoint counts it as done."""
        checkpoint[VALIDATED_STEP] = self._validated_step
        if trainer.fit_loop._should_accumulate():
            checkpoint[GRADIENTS] = {
                name: distributed.all_reduce_sum(weight.grad) / distributed.world_size()
                for name, weight in pl_module.named_parameters()
                if weight.grad is not None
            }
        if has_best(trainer):
            self._measured_by = self._measured_by or measured_by(trainer, pl_module)
            checkpoint[MEASURED_BY] = self._measured_by
        if trainer.training and trainer._logger_connector._first_loop_iter is not None:
            # Lightning logs the row after writing the checkpoint: a kill in between would lose it.
            trainer._logger_connector.update_train_step_metrics()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes, of a run of no steps, the checkpoint that it began with."""
        if trainer.max_steps == 0 and self.start.checkpoint is None:
            trainer.save_checkpoint(self.last_checkpoint, weights_only=False)

    def finish(self, trainer: Trainer) -> None:
        """Marks the run as ended in its record, once the loggers have ended too: a kill before that resumes the run.

        A run that `max_time` has ended is stopped, not finished: it can be resumed with more time.

        Raises:
            UserError: a new run begins from a checkpoint that lies at its end or beyond.
        """
        if trainer.state.fn == TrainerFn.FITTING and self.start.checkpoint is not None and not self.trained:
            nothing = (
                f"nothing was trained: {self.start.checkpoint} is at step {trainer.global_step}, the end of this run; "
                "set a larger trainer.max_steps or trainer.max_epochs"
            )
            if self.start.is_new:
                raise UserError(f"{nothing}, or take only its weights by --run.init_from")
            if trainer.is_global_zero:
                print(nothing, flush=True)
        if trainer.is_global_zero and trainer.state.fn == TrainerFn.FITTING:
            update_record(self.start.folder, status="stopped" if out_of_time(trainer) else "finished")
            release(self.start.folder)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Marks the run as stopped in its record; kills the processes that would wait for this one forever."""
        if trainer.is_global_zero and trainer.state.fn == TrainerFn.FITTING:
            update_record(self.start.folder, status="stopped")
            for logger in trainer.loggers:
                if isinstance(logger, WandbRun) and not self.trained and self.start.is_new:
                    logger.silence_upload_hint()
        launcher = trainer.strategy.launcher
        if not isinstance(exception, Stopped) and launcher is not None:
            launcher.kill(signal.SIGKILL)
            if isinstance(launcher, _SubprocessScriptLauncher):
                # Lightning looks at them every five seconds, and would kill this process as well.
                launcher.procs.clear()


def out_of_time(trainer: Trainer) -> bool:
    """Returns whether `max_time` has ended a training before its last iteration."""
    remaining = [timer.time_remaining() for timer in callbacks_of(trainer, Timer)]
    over = any(seconds is not None and seconds <= 0 for seconds in remaining)
    return over and trainer.global_step != trainer.max_steps


def _move_to(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """Returns the state of a ModelCheckpoint with its files in another folder."""
    before = str(state.get("dirpath"))

    def move(path: str) -> str:
        return folder + path.removeprefix(before) if path.startswith(before) else path

    paths = {name: move(state[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
    best = {move(path): score for path, score in state["best_k_models"].items()}
    return {**state, **paths, "best_k_models": best, "dirpath": folder}


def _fit_to_batches(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Begins a new epoch if the batches are not those of the epoch in which the checkpoint was written."""
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
