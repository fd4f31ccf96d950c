"""`sweep`: a W&B sweep on this machine, without a server."""

import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gen_experiments.commands.report import report
from gen_experiments.errors import UserError, check_interval, shortened
from gen_experiments.runs.record import RunRecord
from gen_experiments.search.sweep_file import SweepFile
from gen_experiments.search.trials import Trial, Trials

POLL = 1.0  # seconds between two checks of the metric
WRONG_WORDS = 2  # exit code of a run whose command line is wrong


def sweep(file: str, count: int = 10, seed: int = 0) -> None:
    """Runs the trials of a W&B sweep one by one, without a server; the same command resumes them.

    optuna draws the values and ends hopeless trials. At the end the command prints the trials and writes a report
    of their runs.

    Args:
        file: the sweep, such as sweeps/vqvae.yaml.
        count: the number of all trials, earlier ones included.
        seed: the seed of the drawn values.

    Raises:
        UserError: the file is no sweep, another `sweep` runs it, a trial fails, or its metric is never logged.
    """
    check_interval("[1, inf)", count=count)
    check_interval("[0, inf)", seed=seed)
    trials = Trials(SweepFile.read(Path(file)), seed)
    with trials.locked():
        while sum(trial.state != "running" for trial in trials.all) < count:
            trial = trials.next()
            if trial is None:
                print(f"all {len(trials.all)} combinations of the grid have been tried")
                break
            _run(trials, trial)
        print_trials(trials)
        report([str(trials.folder(trial)) for _, trial in trials.ranked()], str(trials.home / "report.html"))


def print_trials(trials: Trials) -> None:
    """Prints the trials, the best first."""
    names = list(trials.file.parameters)
    table = Table("trial", f"best {trials.file.metric}", *(name.rpartition(".")[2] for name in names), "state")
    for best, trial in trials.ranked():
        values = [trial.parameters[name] for name in names]
        cells = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)
        table.add_row(str(trials.all.index(trial)), f"{best:.6g}", *cells, trial.state)
    Console(soft_wrap=True).print(table)


def _run(trials: Trials, trial: Trial) -> None:
    number = trials.all.index(trial)
    ended = RunRecord.read(trials.folder(trial))
    # A trial outlives a killed sweep, and may have finished alone.
    hopeless = False if ended is not None and ended.status == "finished" else _train(trials, trial)
    trial.history = trials.values(trial)
    if not trial.history:
        raise UserError(f"trial {number} never logged {trials.file.metric}: name a metric of its metrics.csv")
    trial.state = "stopped" if hopeless else "finished"
    trials.write()
    best = trials.best(trial)
    found = "is not finite" if best is None else f"{best:.6g}"
    print(f"trial {number}: {trial.state}, best {trials.file.metric} {found}", flush=True)


def _train(trials: Trials, trial: Trial) -> bool:
    """Runs a trial to its end; returns whether it was ended early."""
    number = trials.all.index(trial)
    drawn = [f"--{key}={'null' if value is None else value}" for key, value in trial.parameters.items()]
    print(f"trial {number}: {' '.join(drawn)}", flush=True)
    own = [f"--run.version={number}", "--run.resume=auto", "--trainer.enable_progress_bar=false"]
    command = [sys.executable, "-m", "gen_experiments", "fit", *trials.arguments, *drawn, *own]
    log = trials.home / f"trial_{number}.log"
    hopeless = False
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            while process.poll() is None:
                time.sleep(POLL)
                before, trial.history = len(trial.history), trials.values(trial)
                # Only for a new value: the check reads all trials while one of them trains.
                if not hopeless and len(trial.history) > before and trials.is_hopeless(trial):
                    hopeless = True
                    process.terminate()
        except BaseException:
            # The trial saves a checkpoint, and a resumed sweep resumes it.
            process.terminate()
            raise
    if process.returncode and not hopeless:
        if process.returncode == WRONG_WORDS:
            trials.forget(trial)
        errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("error")]
        raise UserError(f"trial {number} failed: {shortened(errors[-1] if errors else 'see', 600)} ({log})")
    return hopeless
