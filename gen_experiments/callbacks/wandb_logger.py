"""A logger to Weights & Biases that a resumed run continues, and that training never waits for."""

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from gen_experiments.callbacks import wandb_client
from gen_experiments.callbacks.wandb_rows import WandbRows
from gen_experiments.evaluation.records import SMALLER_IS_BETTER
from gen_experiments.evaluation.scores import BY_CLASS, METRICS
from gen_experiments.runs.logged import IMAGES_SEEN, LoggedValues
from gen_experiments.runs.record import RunRecord

if TYPE_CHECKING:
    from wandb import Run

PROJECT = "gen_experiments"
# Scores whose best value gets a column, and whether the best is the smallest or the largest.
BEST_OF = {
    f"val/{prefix}{name}": "min" if name in SMALLER_IS_BETTER else "max"
    for name in (*METRICS, *BY_CLASS)
    for prefix in ("", "r")
}
BEST_OF |= dict.fromkeys(("val/loss", "val/nll", "val/recon_mse", "val/lpips", "val/l1", "val/cycle_l1"), "min")
BEST_OF |= dict.fromkeys(("val/psnr", "val/psnr_gain", "val/ssim", "val/accuracy"), "max")
GLOBAL_STEP = "trainer/global_step"  # Lightning's name


class WandbRun(WandbLogger):
    """Lightning's WandbLogger with the id and the name of the run in the folder.

    The id is that of `run.json`, so that a resumed run continues at Weights & Biases too. `wandb/rows.jsonl` lists the
    logged rows: no row is logged twice, and rows that a kill lost are logged again. The name is `run.name`. Without a
    key, or if the server refuses it, fails or does not answer, the run is logged offline, and one line says how to
    upload it. At the end the client has 30 s to upload the rest, or 600 s if checkpoints are uploaded; the remainder
    stays on the disk. Training continues if the client's process ends. The client's own variables (`WANDB_MODE`,
    `WANDB_PROJECT`, `WANDB_NAME`, `WANDB_FINISH_TIMEOUT`, ...) take precedence.

    Args:
        save_dir: the run's folder.
        project: the project at Weights & Biases; null takes `$WANDB_PROJECT`, else "gen_experiments".
        name: null takes `$WANDB_NAME`, else the run's name.
        log_model: true uploads the checkpoints at the end, "all" whenever they are written.
        entity: the user or team; null takes `$WANDB_ENTITY`, else the key's own.
        group: the group of runs that are shown together.
        job_type: the type of the run in its group.
        tags: the run's tags.
        notes: the run's notes.
    """

    def __init__(
        self,
        save_dir: str = "RUN_DIR",
        project: str | None = None,
        name: str | None = None,
        log_model: Literal["all"] | bool = False,
        entity: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
    ) -> None:
        project = project or os.environ.get("WANDB_PROJECT") or PROJECT
        described: dict[str, Any] = {"group": group, "job_type": job_type, "tags": tags, "notes": notes}
        super().__init__(name=name, save_dir=save_dir, project=project, log_model=log_model, entity=entity, **described)
        self._wandb_init.pop("anonymous")  # has no effect but a warning
        self._folder = Path(save_dir)
        self._rows = WandbRows(self._folder)
        self._logged: LoggedValues | None = None
        self._client_lost = False

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run":
        """The client's run, begun at the first access; a dummy on all processes but the first."""
        if self._experiment is None:
            self._experiment = self._begin()
        return self._experiment  # type: ignore[return-value]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs the values that this run has not logged yet, before a resumption included.

        Args:
            metrics: name to value, which may be one of the client's media if `images_seen` is among the names.
            step: the number of iterations before the logged one.

        Raises:
            UserError: the disk is full.
        """
        if self.experiment.disabled and not self._client_lost:
            return
        if self._logged is None:
            self._logged = LoggedValues()
            with self._without_client():
                self._catch_up(self._logged)
        row = self._logged.new(metrics)
        if not row:
            return
        if step is not None:
            row[GLOBAL_STEP] = step
        # Before logging: a row lost in between is found missing and logged when the run is resumed.
        self._rows.append(row)
        with self._without_client():
            if any(type(value).__name__ == "Table" for value in row.values()):
                wandb_client.check_server(self.experiment)
            super().log_metrics(row)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Logs the config of the run."""
        with self._without_client():
            super().log_hyperparams(params)

    @rank_zero_only
    def log_summary(self, values: Mapping[str, float]) -> None:
        """Adds values to the summary of the run, beside the last value of each metric."""
        with self._without_client():
            self.experiment.summary.update(values)

    @rank_zero_only
    def log_inputs(self, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Logs the inputs of the run as artifacts without files, if checkpoints are uploaded as artifacts.

        Args:
            inputs: the type, such as dataset, to its description; equal descriptions are one version of one artifact.
        """
        if not self._log_model or self.experiment.disabled or self.experiment.offline:
            return
        import wandb

        with self._without_client():
            wandb_client.check_server(self.experiment)
            for kind, described in inputs.items():
                try:
                    self.experiment.use_artifact(wandb.Artifact(kind, kind, metadata=dict(described)))
                except (wandb.Error, ValueError) as error:
                    wandb_client.say(f"the {kind} is no artifact of this run: {str(error).splitlines()[0]}")

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Uploads a written checkpoint if `log_model` is "all"."""
        with self._without_client():
            super().after_save_checkpoint(checkpoint_callback)

    def finalize(self, status: str) -> None:
        """Ends the run, within the client's time limit."""
        with self._without_client():
            super().finalize(status)
        self.finish(0 if status == "success" else 1)

    @rank_zero_only
    def silence_upload_hint(self) -> None:
        """Silences the hint how to upload a run whose folder is about to be removed."""
        if self._experiment is not None:
            wandb_client.silence_upload_hint(self._experiment)

    @rank_zero_only
    def finish(self, exit_code: int) -> None:
        """Uploads the rest and ends the client's processes, if there is a run; code 0 is for a complete one."""
        with self._without_client():
            run, self._experiment = self._experiment, None
            if run is not None:
                wandb_client.end(run, exit_code)

    def _scan_and_log_checkpoints(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Uploads the new checkpoints."""
        wandb_client.check_server(self.experiment)
        super()._scan_and_log_checkpoints(checkpoint_callback)

    @contextmanager
    def _without_client(self) -> Iterator[None]:
        """Continues without the client if its process has ended, and without a value if its server does not answer."""
        try:
            yield
        except Exception as error:
            if wandb_client.is_unanswered(error):
                wandb_client.say("the server did not answer, and a table or artifact is missing there")
                return
            if not wandb_client.is_lost(error):
                raise
            self._experiment, self._client_lost = wandb_client.disabled_run(error), True

    def _catch_up(self, logged: LoggedValues) -> None:
        """Reads what was logged before a resumption, and logs again the rows that a kill lost."""
        run, rows = self.experiment, self._rows.all()
        arrived = self._rows.num_arrived(run) if rows else 0
        # Lost pictures are logged again if training repeats their iteration.
        lost = [{name: value for name, value in row.items() if value is not None} for row in rows[arrived:]]
        for row in rows[:arrived] + lost:
            reached = row.get(IMAGES_SEEN)
            logged.advance(row, -1.0 if reached is None else reached)
        for number, row in enumerate(lost, arrived):
            run.log(row, step=number if run.offline else None)
        if run.offline and rows:
            # Without a server, the client does not know at which step to continue.
            run.log({}, step=len(rows), commit=False)

    def _begin(self) -> "Run":
        record = RunRecord.read(self._folder)
        if record is not None:
            self._wandb_init["id"] = record.id
            if not os.environ.get("WANDB_NAME"):
                self._wandb_init["name"] = self._wandb_init["name"] or record.name
        if os.environ.get("WANDB_SWEEP_ID"):
            # The sweep's agent has set both, and the client warns if they are set again.
            del self._wandb_init["project"], self._wandb_init["id"]
        finish = wandb_client.FINISH_TIMEOUT_WITH_FILES if self._log_model else wandb_client.FINISH_TIMEOUT
        run = wandb_client.begin(self._wandb_init, self._folder, finish)
        run.define_metric(IMAGES_SEEN)
        run.define_metric("*", step_metric=IMAGES_SEEN)
        for name, best in BEST_OF.items():
            # Beside the last value, in the table of runs.
            run.define_metric(name, step_metric=IMAGES_SEEN, summary=f"{best},last")
        return run
