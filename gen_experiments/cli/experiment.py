"""LightningCLI for fit, validate, test and predict: each run has a folder, an evaluation and checked checkpoints."""

import dataclasses
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonargparse
import torch.distributed as dist
from jsonargparse import ActionYesNo
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from gen_experiments import BEGAN, callbacks, cores, data, losses, metrics, models, networks, priors, quantizers
from gen_experiments.callbacks.checkpoint_io import WholeFileCheckpointIO
from gen_experiments.callbacks.cost import Cost
from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.callbacks.interruption import Interruption
from gen_experiments.callbacks.lookups import callbacks_of
from gen_experiments.callbacks.plan import Plan
from gen_experiments.callbacks.progress import RunProgress
from gen_experiments.callbacks.resumption import Resumption
from gen_experiments.callbacks.scores import Scores
from gen_experiments.callbacks.shares import check_evaluation
from gen_experiments.callbacks.summary import Summary
from gen_experiments.checkpoints.loading import check_fits
from gen_experiments.checkpoints.transfer import files_named, load_what_fits
from gen_experiments.cli.class_paths import import_packages
from gen_experiments.distributed import is_distributed
from gen_experiments.errors import UserError, check_interval
from gen_experiments.runs import job
from gen_experiments.runs.folder import Run
from gen_experiments.runs.lock import release
from gen_experiments.runs.record import record_origin
from gen_experiments.runs.signals import Signals
from gen_experiments.runs.start import Start
from gen_experiments.training.trainer_options import check_trainer, check_trains

# The packages whose classes the command line knows by their short names.
PACKAGES = (callbacks, data, losses, metrics, models, networks, priors, quantizers)
# Stands for the run's folder in the trainer's configuration: `save_dir: RUN_DIR`, `dirpath: RUN_DIR/checkpoints`.
RUN_DIR = "RUN_DIR"
# The environment variable in which the processes that Lightning starts for other devices find the `Start`.
START_VARIABLE = "GEN_EXPERIMENTS_START"


class ExperimentCLI(LightningCLI):
    """LightningCLI with a folder for each run, an evaluation, and checkpoints that are checked before they are used."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds `--run` and `--evaluation`, and lets the model learn the images' shape from the data."""
        import_packages(PACKAGES)
        parser.add_argument("--run", type=Run, default=Run())
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.add_argument(
            "--plan",
            action=ActionYesNo,
            default=False,
            help="only predicts what `fit` will take: trains for some seconds, validates, and leaves nothing behind",
        )
        parser.link_arguments("data.image", "model.init_args.image", compute_fn=vars, apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Leaves the configuration alone: the user's values take precedence over those of a checkpoint."""

    def _set_seed(self) -> None:
        """Refuses a seed that NumPy does not take, in one line."""
        seed = self.config[self.subcommand].seed_everything
        check_interval("[0, 4294967295]", seed_everything=int(seed))
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        """Finds the run's folder and the checkpoint to start from."""
        job.name_job_for_lightning()
        self._asked = self.config
        self.config = self.config.clone()
        chosen = self.config[self.subcommand]
        self._run: Run = chosen.run if isinstance(chosen.run, Run) else Run(**vars(chosen.run))
        self._planning = tempfile.TemporaryDirectory() if chosen.plan and self.subcommand == "fit" else None
        if self._planning is not None:
            self._run = Run(self._run.name, self._planning.name, init_from=self._run.init_from)
            chosen.trainer.logger, chosen.trainer.enable_progress_bar = False, False
        self._signals = Signals()
        self._failure: UserError | None = None
        self._start = self._find_start(chosen.ckpt_path, chosen.seed_everything)
        chosen.trainer = _place(chosen.trainer, str(self._start.folder))
        chosen.trainer.default_root_dir = str(self._start.folder)
        chosen.weights_only = True

    def instantiate_classes(self) -> None:
        """Instantiates model, data and trainer; a new run that fails here leaves no folder behind."""
        with self._discarded_unless_trained():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Builds the trainer; the configuration is saved as that of a new run, which repeats this one."""
        self.config = self._asked.clone()
        saved = self.config[self.subcommand]
        saved.run = jsonargparse.Namespace(dataclasses.asdict(self._run) | {"version": None, "resume": None})
        if self._start.resumes and not self._start.begins_again:
            saved.ckpt_path = None
        chosen = self.config_init[self.subcommand].trainer.callbacks
        chosen = [*chosen] if isinstance(chosen, list) else [chosen]  # the trainer extends the list
        trainer = super().instantiate_trainer(**kwargs)
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        for place, callback in enumerate(callbacks):
            if isinstance(callback, ProgressBar) and callback not in chosen:
                callbacks[place] = RunProgress()  # instead of Lightning's, which counts epochs
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """Runs the command from the checkpoint that was found, with the callbacks that every run has."""
        with self._discarded_unless_trained():
            trainer = self.trainer
            job.check_processes(trainer.num_devices, trainer.num_nodes, isinstance(trainer.accelerator, CPUAccelerator))
            cores.limit_threads(trainer.num_devices)  # in place of Lightning, which counts all visible cores
            self._agree_on_start()
            start = self._start
            # Mistakes are refused before pictures are decoded.
            check_trainer(self.model, trainer)
            if subcommand == "fit":
                check_trains(self.model, trainer, self._run.init_from, start.checkpoint)
            for evaluation in callbacks_of(trainer, Evaluation):
                check_evaluation(evaluation, self.model, self.datamodule)
            checkpoint = None if start.checkpoint is None else check_fits(self.model, start.checkpoint)
            self.config_init[subcommand].ckpt_path = None if start.checkpoint is None else str(start.checkpoint)
            if subcommand == "fit":
                self._begin_with_weights()
            if trainer.is_global_zero:
                _announce(subcommand, start, checkpoint)
            if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
                trainer.strategy.checkpoint_io = WholeFileCheckpointIO()
            if subcommand != "fit":
                self._score_into_a_file(checkpoint)
            resumption = self._add_callbacks()
            super()._run_subcommand(subcommand)
            resumption.finish(trainer)
            if self._planning is not None and trainer.is_global_zero:
                (plan,) = callbacks_of(trainer, Plan)
                print("\n".join(plan.lines(trainer, self.model)), flush=True)
            if is_distributed():
                # The threads of the group sometimes abort a process that is about to end well.
                dist.destroy_process_group()

    def _begin_with_weights(self) -> None:
        """Loads the weights of `run.init_from` into a new run, and records the files that a new run begins with."""
        start, init_from = self._start, self._run.init_from
        if init_from is not None and start.checkpoint is None:
            lines = load_what_fits(self.model, init_from)
            if self.trainer.is_global_zero:
                print("\n".join([f"{start.folder} {lines[0]}", *lines[1:]]), flush=True)
                record_origin(start.folder, files_named(init_from))
        elif start.checkpoint is not None and not start.resumes and self.trainer.is_global_zero:
            record_origin(start.folder, [start.checkpoint])

    def _score_into_a_file(self, checkpoint: dict[str, Any] | None) -> None:
        """Turns the loggers off, whose curves are those of training: scores have a file of their own."""
        trainer, start = self.trainer, self._start
        trainer.loggers = []
        if start.checkpoint is not None and checkpoint is not None:
            if "loops" in checkpoint:
                # Pictures are named after the step of the checkpoint, as in training.
                trainer.fit_loop.load_state_dict(checkpoint["loops"]["fit_loop"])
            scores = Scores(start.folder, start.checkpoint, checkpoint["global_step"])
            trainer.callbacks.append(scores)  # type: ignore[attr-defined]

    def _add_callbacks(self) -> Resumption:
        """Puts `Resumption` and `Cost` behind the user's callbacks, before those that write checkpoints."""
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        first = next((i for i, c in enumerate(callbacks) if isinstance(c, Checkpoint)), len(callbacks))
        callbacks[first:first] = [resumption := Resumption(self._start), Cost()]
        callbacks.append(Interruption(self._start.folder, self._signals))
        if self._planning is not None:
            callbacks[:] = [callback for callback in callbacks if not isinstance(callback, Summary)]
            callbacks.append(Plan(BEGAN))
        return resumption

    def _find_start(self, checkpoint: str | None, seed: int | bool) -> Start:
        """Returns where the command starts: the first process looks on the disk and hands its result to the others."""
        if self.subcommand != "fit":
            return self._run.scored(checkpoint)
        if job.can_requeue():
            self._signals.watch(signal.SIGUSR1)
        if not job.is_first_process():
            handed_down = os.environ.get(START_VARIABLE)
            return Start(self._run.home, resumes=True) if handed_down is None else Start.from_json(handed_down)
        try:
            start = self._run.start(checkpoint, None if seed is False else int(seed))
        except UserError as error:
            if not job.launched_externally():
                raise
            # The others wait for this process, which must not end before `_agree_on_start` has informed them.
            self._failure = error
            return Start(self._run.home, resumes=True)
        os.environ[START_VARIABLE] = start.to_json()
        return start

    def _agree_on_start(self) -> None:
        """Sends the first process's `Start` to the processes of an external launcher, which share no environment."""
        if self.subcommand == "fit" and self.trainer.world_size > 1 and job.launched_externally():
            job.renew_store()
            self.trainer.strategy.setup_environment()
            self._start, self._failure = self.trainer.strategy.broadcast((self._start, self._failure))
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _discarded_unless_trained(self) -> Iterator[None]:
        """Removes the folder of a new run that fails before the end of its first iteration, or of a `fast_dev_run`."""
        failed = True
        try:
            yield
            failed = False
        finally:
            trainer: Trainer | None = getattr(self, "trainer", None)
            trained = trainer is not None and any(callback.trained for callback in callbacks_of(trainer, Resumption))
            trial = trainer is not None and trainer.fast_dev_run  # type: ignore[attr-defined]
            if self.subcommand == "fit" and job.is_first_process():
                if trial or (failed and not trained):
                    self._run.discard(self._start)
                if failed:
                    release(self._start.folder)


def _announce(subcommand: str, start: Start, checkpoint: dict[str, Any] | None) -> None:
    """Prints which checkpoint is used, and for what."""
    if checkpoint is not None:
        where = f"{start.checkpoint} (step {checkpoint['global_step']}, {checkpoint['images_seen']} images seen)"
        begins = "begins again" if start.begins_again else "goes on" if start.resumes else "is a new run and begins"
        did = f"{start.folder} {begins} from" if subcommand == "fit" else f"{subcommand} of"
        print(f"{did} {where}", flush=True)
    elif start.resumes:
        print(f"{start.folder} begins again: it has no readable checkpoint", flush=True)


def _place(value: Any, folder: str) -> Any:
    """Replaces `RUN_DIR` by the run's folder in every string of a configuration."""
    if isinstance(value, jsonargparse.Namespace):
        return jsonargparse.Namespace(**{key: _place(item, folder) for key, item in vars(value).items()})
    if isinstance(value, dict):
        return {key: _place(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_place(item, folder) for item in value]
    return value.replace(RUN_DIR, folder) if isinstance(value, str) else value
