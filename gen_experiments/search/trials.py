"""Stores the trials of a sweep, and draws the next one."""

import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gen_experiments.errors import UserError, quoted
from gen_experiments.runs.lock import holder, lock, release
from gen_experiments.runs.table import CsvTable
from gen_experiments.search.sweep_file import SweepFile
from gen_experiments.storage import atomic_write

if TYPE_CHECKING:
    from optuna import Study

STATE_FILE = "sweep.json"


@dataclass(eq=False)  # as equal draws lead to equal values, but to runs of their own
class Trial:
    """One run of a sweep.

    Attributes:
        parameters: the drawn values by their keys on the command line.
        state: "running", also after a kill: the sweep resumes such a trial; "stopped" by early termination; "finished".
        history: the values of the metric, in order.
    """

    parameters: dict[str, Any]
    state: Literal["running", "finished", "stopped"] = "running"
    history: list[float] = field(default_factory=list)


class Trials:
    """The trials of a sweep, in the folder of its runs.

    Args:
        file: the sweep.
        seed: the seed of the drawn parameters.

    Attributes:
        arguments: the arguments of `fit`, without the drawn parameters.
        home: the folder of the runs, `--run.root`/`--run.name` of the command.
        all: the trials; trial N is the run `version_N`.

    Raises:
        UserError: the folder holds the trials of another sweep, or other runs.
    """

    def __init__(self, file: SweepFile, seed: int) -> None:
        self.file, self.seed = file, seed
        self.arguments = list(file.arguments)
        options = {}
        for word, following in itertools.pairwise([*self.arguments, ""]):
            name, joined, value = word.removeprefix("--").partition("=")
            options[name] = value if joined else following
        if "run.name" not in options:
            options["run.name"] = f"sweep_{file.path.stem}"
            self.arguments.append(f"--run.name={options['run.name']}")
        self.home = Path(os.path.expanduser(options.get("run.root", "runs"))) / options["run.name"]
        described = json.dumps(asdict(file) | {"path": ""}, sort_keys=True)
        self._identity = hashlib.sha256(described.encode()).hexdigest()
        self.all = self._read()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from the folder, and reads the trials that they have written before.

        Raises:
            UserError: another process holds the folder.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        if not lock(self.home):
            raise UserError(
                f"{self.home} is in use by {holder(self.home)}: wait for its end, or change --run.name in the command"
            )
        try:
            self.all = self._read()
            yield
        finally:
            release(self.home)

    def next(self) -> Trial | None:
        """Returns the interrupted trial, else a new one; None if the grid is exhausted."""
        if self.all and self.all[-1].state == "running":
            return self.all[-1]
        if self.file.method == "grid":
            combinations = self.file.combinations()
            if len(self.all) == len(combinations):
                return None
            drawn = combinations[len(self.all)]
        else:
            drawn = self._study().ask(self.file.distributions()).params | self.file.weighted(self._draw_seed())
        self.all.append(Trial(drawn))
        self.write()
        return self.all[-1]

    def is_hopeless(self, trial: Trial) -> bool:
        """Returns whether early termination ends a trial after its values so far."""
        if self.file.early_terminate is None or self.file.method == "grid":
            return False
        return _report(self._study(without=trial), trial, self.file)

    def values(self, trial: Trial) -> list[float]:
        """Returns the values of the metric that the run of a trial has logged."""
        rows = CsvTable(self.folder(trial) / "metrics.csv").rows()
        return [float(row[self.file.metric]) for row in rows if self.file.metric in row]

    def folder(self, trial: Trial) -> Path:
        """Returns the folder of the run of a trial."""
        return self.home / f"version_{self.all.index(trial)}"

    def best(self, trial: Trial) -> float | None:
        """Returns the best value of a trial; None if it has none."""
        finite = [value for value in trial.history if math.isfinite(value)]
        if not finite:
            return None
        return min(finite) if self.file.goal == "minimize" else max(finite)

    def ranked(self) -> list[tuple[float, Trial]]:
        """Returns the best value of each trial that has values, and the trial, the best first."""
        ranked = [(value, trial) for trial in self.all if (value := self.best(trial)) is not None]
        return sorted(ranked, key=lambda pair: pair[0], reverse=self.file.goal == "maximize")

    def forget(self, trial: Trial) -> None:
        """Removes a trial that could not begin."""
        self.all.remove(trial)
        self.write()
        if not self.all:
            (self.home / STATE_FILE).unlink()

    def write(self) -> None:
        """Writes the trials."""
        record = {"sweep": self._identity, "seed": self.seed, "trials": [asdict(trial) for trial in self.all]}
        with atomic_write(self.home / STATE_FILE) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def _study(self, without: Trial | None = None) -> "Study":
        """Returns a study of the trials, which draws the next one and recognises hopeless ones."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            sampler=self.file.sampler(self._draw_seed()),
            pruner=self.file.pruner(),
            direction="maximize" if self.file.goal == "maximize" else "minimize",
        )
        for trial in self.all:
            if trial is not without and (best := self.best(trial)) is not None:
                _report(study, trial, self.file, best)
        return study

    def _draw_seed(self) -> int:
        """Returns the seed of the next trial's draws."""
        from gen_experiments.randomness import Stream, key_seed  # here, as `sweep` reads its file without torch

        return key_seed(Stream.DRAW, self.seed, len(self.all)) % 2**32

    def _read(self) -> list[Trial]:
        path = self.home / STATE_FILE
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            same = (record["sweep"], record["seed"]) == (self._identity, self.seed)
            trials = [Trial(**trial) for trial in record["trials"]]
        except FileNotFoundError:
            if any(self.home.glob("version_*")):
                raise UserError(f"{self.home} holds other runs: change --run.name in the sweep's command") from None
            return []
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(f"{path} is damaged ({quoted(error)}): remove {self.home}, or change --run.name") from None
        if not same:
            raise UserError(f"{path} holds the trials of another sweep or seed: change --run.name in its command")
        return trials


def _report(study: "Study", trial: Trial, file: SweepFile, best: float | None = None) -> bool:
    """Reports the values of a trial to a study one by one: the pruner compares trials after equal numbers of values.

    Args:
        study: a study of the trials before.
        trial: the trial.
        file: the sweep.
        best: the trial's best value; None while it runs.

    Returns:
        Whether early termination ends it.
    """
    study.enqueue_trial(trial.parameters)
    asked, hopeless = study.ask(file.distributions()), False
    for number, value in enumerate(trial.history, 1):
        asked.report(value, number)
        hopeless = hopeless or asked.should_prune()
    if best is not None:
        study.tell(asked, best)
    return hopeless
