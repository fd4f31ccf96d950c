"""A run at Weights & Biases that a stopped run goes on in, and that never keeps training waiting."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from gen_experiments.callbacks.wandb_rows import WandbRows
from gen_experiments.runs.logged import IMAGES_SEEN, LoggedValues
from gen_experiments.runs.record import RunRecord

if TYPE_CHECKING:
    from wandb import Run

PROJECT = "gen_experiments"
GLOBAL_STEP = "trainer/global_step"  # Lightning's name
# Seconds; without them the client would try for 90 to begin a run, and to end one for as long as it takes.
CONNECT_TIMEOUT, INIT_TIMEOUT, FINISH_TIMEOUT, FINISH_TIMEOUT_WITH_FILES = 5, 15, 30, 600


class WandbRun(WandbLogger):
    """Lightning's WandbLogger with the identity of the run in the folder.

    The id is that of `run.json`, so that a run that goes on does so at Weights & Biases too: what was logged is noted
    in `wandb/rows.jsonl`, is not logged twice, and is logged again where a kill has lost it. The name is `run.name`.
    Where there is no key, or the server refuses it,
    fails or does not answer, the run is logged offline, which one line says together with how to upload it. At the end
    the client has 30 s to upload the rest, or 600 s where checkpoints are uploaded; what then remains stays on the
    disk. What the user has set by the client's own variables (`WANDB_MODE`, `WANDB_PROJECT`, `WANDB_NAME`,
    `WANDB_FINISH_TIMEOUT`, ...) stands.

    Args:
        save_dir: the run's folder.
        project: at Weights & Biases; null takes `$WANDB_PROJECT`, else "gen_experiments".
        name: null takes `$WANDB_NAME`, else the run's name.
        log_model: true uploads the checkpoints at the end, "all" whenever they are written.
        entity: the user or team; null takes `$WANDB_ENTITY`, else the key's own.
        group: of runs that are shown together.
        job_type: of the run in its group.
        tags: of the run.
        notes: on the run.
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
        described: dict[str, Any] = {
            "entity": entity,
            "group": group,
            "job_type": job_type,
            "tags": tags,
            "notes": notes,
        }
        super().__init__(name=name, save_dir=save_dir, project=project, log_model=log_model, **described)
        self._wandb_init.pop("anonymous")  # of no effect, but for a warning
        self._folder = Path(save_dir)
        self._rows = WandbRows(self._folder)
        self._logged: LoggedValues | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run":
        """The client's run, begun when it is first asked for; on other processes than the first a stand-in."""
        if self._experiment is None:
            self._experiment = self._begin()
        return self._experiment  # type: ignore[return-value]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs the values that no earlier part of this run has logged.

        Args:
            metrics: name to value; a value may also be one of the client's media, as long as `images_seen` is there.
            step: iterations before the one that is logged.

        Raises:
            UserError: the disk takes no more.
        """
        if self.experiment.disabled:
            return
        if self._logged is None:
            self._logged = self._caught_up()
        row = self._logged.new(metrics)
        if not row:
            return
        if step is not None:
            row[GLOBAL_STEP] = step
        # Before it is logged: what a kill in between loses is found missing, and logged when the run goes on.
        self._rows.append(row)
        super().log_metrics(row)

    def finalize(self, status: str) -> None:
        """Ends the run, within the time that is given for it."""
        super().finalize(status)
        self.finish(0 if status == "success" else 1)

    @rank_zero_only
    def finish(self, exit_code: int) -> None:
        """Uploads what is left and ends the client's processes; does nothing where there is no run.

        Args:
            exit_code: 0 for a run that has come to its end.
        """
        if self._experiment is None:
            return
        import wandb

        run, self._experiment = self._experiment, None
        try:
            run.finish(exit_code=exit_code)
        except TimeoutError:
            folder = Path(run.dir).parent
            _say(f"not everything was uploaded in time; upload the rest by `wandb sync --include-online {folder}`")
        wandb.teardown(exit_code)

    def _caught_up(self) -> LoggedValues:
        """What earlier parts of this run have logged, once that has been logged again which a kill has lost."""
        logged, run, rows = LoggedValues(), self.experiment, self._rows.all()
        kept = self._rows.kept(run) if rows else 0
        for number, row in enumerate(rows):
            # Pictures that are lost come again if training repeats their iteration.
            values = {name: value for name, value in row.items() if value is not None}
            logged.advance(row if number < kept else values, values.get(IMAGES_SEEN, -1.0))
            if number >= kept:
                run.log(values, step=number if run.offline else None)
        if run.offline and rows:
            # A client without a server does not know that it is to count on.
            run.log({}, step=len(rows), commit=False)
        return logged

    def _begin(self) -> "Run":
        import wandb

        record = RunRecord.read(self._folder)
        if record is not None:
            self._wandb_init["id"] = record.id
            if not os.environ.get("WANDB_NAME"):
                self._wandb_init["name"] = self._wandb_init["name"] or record.name
        finish = FINISH_TIMEOUT_WITH_FILES if self._log_model else FINISH_TIMEOUT
        os.environ.setdefault("WANDB_INIT_TIMEOUT", str(INIT_TIMEOUT))
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", str(finish))
        os.environ.setdefault("WANDB_FINISH_TIMEOUT_RAISES", "true")
        reason = _offline_reason()
        run = None
        if reason is None:
            try:
                run = wandb.init(**self._wandb_init)
            except (wandb.Error, OSError, ValueError) as error:
                reason = f"no run could be begun ({str(error).splitlines()[0]})"
        if run is None:
            os.environ["WANDB_MODE"] = "offline"
            wandb.teardown()
            self._wandb_init["mode"] = "offline"
            run = wandb.init(**self._wandb_init)
            _say(
                f"{reason}, so this run is logged offline; upload it later by "
                f"`wandb login && wandb sync {self._folder}/wandb/offline-run-*`"
            )
        run.define_metric(IMAGES_SEEN)
        run.define_metric("*", step_metric=IMAGES_SEEN)
        return run


def _say(message: str) -> None:
    print(f"Weights & Biases: {message}", flush=True)


def _offline_reason() -> str | None:
    """Why the client could not log to its server, or None where it can or need not.

    Asks the server who the key belongs to, as the client would, but for 5 s rather than 90. What this finds no word for
    the client may try by itself.
    """
    import requests
    from requests.utils import get_netrc_auth

    import wandb

    settings = wandb.setup().settings
    wandb.teardown()  # or the client would keep settings from before the mode is set
    if settings.mode not in ("online", "run", "shared"):
        return None
    host = settings.base_url
    netrc = get_netrc_auth(host)
    key = settings.api_key or (netrc[1] if netrc else None)
    if not (key or settings.identity_token_file):
        return "no API key was found"
    try:
        answer = requests.post(
            f"{host}/graphql",
            json={"query": "query { viewer { id } }"},
            auth=("api", key) if key else None,
            timeout=CONNECT_TIMEOUT,
        )
    except (requests.exceptions.SSLError, ssl.SSLError, UnicodeError):
        return None
    except requests.RequestException:
        return f"{host} cannot be reached"
    if answer.status_code in (401, 403) and key:
        return f"{host} refuses the API key"
    return f"{host} answers with status {answer.status_code}" if answer.status_code >= 500 else None
