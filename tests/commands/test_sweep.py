"""Sweeps without a server: drawn, remembered, gone on with after a kill, and ended early."""

import json
import math
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml

import independent
from conftest import CONFIGS, HOLD, SMALL
from gen_experiments.commands import sweep as sweeping
from gen_experiments.commands.sweep import print_trials
from gen_experiments.runs.record import RunRecord
from gen_experiments.search.sweep_file import SweepFile
from gen_experiments.search.trials import Trials

ROOT = Path(__file__).parents[2]
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, "check": True}
DRAWN = {
    "model.optimizer.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 3e-3},
    "model.quantizer.commitment": {"values": [0.1, 0.25, 1.0]},
}


def described(parameters=DRAWN, method="bayes", steps=2, metric="val/rfid", **more):
    """A sweep of small runs."""
    small = [option for option in SMALL["vqvae"] if not option.startswith("--config")]
    few = [f"--trainer.max_steps={steps}", "--trainer.val_check_interval=1", "--data.batch_size=16"]
    fit = ["python", "-m", "gen_experiments", "fit", f"--config={CONFIGS / 'vqvae.yaml'}", "--run.name=searched"]
    command = [*fit, *small, *few, "${args}"]
    return {"method": method, "metric": {"name": metric}, "parameters": parameters, "command": command, **more}


def write(path="sweep.yaml", **options):
    Path(path).write_text(yaml.safe_dump(described(**options)))
    return path


def state():
    return json.loads(Path("runs/searched/sweep.json").read_text())["trials"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_trials_are_runs_and_the_best_stands_first(experiment, capsys):
    write()
    assert experiment("sweep", "sweep.yaml", "--count=2") == 0
    out = capsys.readouterr().out
    best = [min(independent.column(f"runs/searched/version_{n}/metrics.csv", "val/rfid")) for n in range(2)]
    rows = [line.split("│") for line in out.splitlines() if "finished" in line and "│" in line]
    assert [float(row[2]) for row in rows] == [pytest.approx(value, rel=1e-5) for value in sorted(best)]
    assert [int(row[1]) for row in rows] == sorted(range(2), key=lambda n: best[n])
    for number, trial in enumerate(state()):
        config = yaml.safe_load(Path(f"runs/searched/version_{number}/config.yaml").read_text())["model"]["init_args"]
        assert config["optimizer"]["init_args"]["lr"] == trial["parameters"]["model.optimizer.lr"]
        assert config["quantizer"]["init_args"]["commitment"] == trial["parameters"]["model.quantizer.commitment"]
    assert Path("runs/searched/report.html").is_file()
    # A sweep that was killed while its last trial came to its end.
    held = json.loads(Path("runs/searched/sweep.json").read_text())
    finished = dict(held["trials"][-1])
    held["trials"][-1] |= {"state": "running", "history": []}
    Path("runs/searched/sweep.json").write_text(json.dumps(held))
    assert experiment("sweep", "sweep.yaml", "--count=2") == 0
    assert state()[-1] == finished
    # As many as were asked for are there already.
    assert experiment("sweep", "sweep.yaml", "--count=2") == 0
    assert len(state()) == 2


def test_a_killed_sweep_goes_on_with_the_trial_it_was_in(folder):
    write(steps=400)
    command = [sys.executable, "-m", "gen_experiments", "sweep", "sweep.yaml", "--count=1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        checkpoint = folder / "runs/searched/version_0/checkpoints/last.ckpt"
        deadline = time.monotonic() + 200
        while not checkpoint.is_file() and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    (before,) = state()
    assert before["state"] == "running"
    rows = len(independent.column("runs/searched/version_0/metrics.csv", "val/rfid"))
    assert rows < 400
    assert vars(Trials(SweepFile.read(Path("sweep.yaml")), 0).next()) == before


def test_two_sweeps_do_not_write_to_one_folder(mistake, folder, monkeypatch):
    write()
    monkeypatch.setattr("gen_experiments.commands.sweep._train", lambda *_: pytest.fail("a trial began"))
    Path("runs/searched").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, "runs/searched"], **PIPES) as other:
        assert other.stdout.readline() == "True\n"
        said = mistake("sweep", "sweep.yaml", "--count=1")
        assert f"runs/searched is in use by process {other.pid} on " in said
        assert not Path("runs/searched/sweep.json").exists()
        other.kill()
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    Trials(trials.file, 0).next()  # by a sweep that has ended in between
    with trials.locked():
        assert len(trials.all) == 1
        assert subprocess.run([sys.executable, "-c", HOLD, "runs/searched"], **QUIET).stdout == "False\n"
    assert subprocess.run([sys.executable, "-c", HOLD, "runs/searched"], **QUIET).stdout == "True\n"


@pytest.mark.parametrize(
    ("status", "values", "best"),
    [
        ("finished", [4.0, 3.0, 5.0], "3"),
        ("stopped", [4.0, 3.0, 5.0], "3"),
        ("running", [4.0, 3.0, 5.0], "3"),
        ("finished", [math.inf], "is not finite"),
    ],
)
def test_a_trial_is_gone_on_with_unless_its_run_has_finished(folder, capsys, monkeypatch, status, values, best):
    write()
    trials, trained = Trials(SweepFile.read(Path("sweep.yaml")), 0), []
    trial = trials.next()
    trials.folder(trial).mkdir()
    RunRecord("a", "searched", status=status).write(trials.folder(trial))
    rows = "".join(f"{step},{value}\n" for step, value in enumerate(values))
    (trials.folder(trial) / "metrics.csv").write_text(f"step,val/rfid\n{rows}")
    monkeypatch.setattr("gen_experiments.commands.sweep._train", lambda *parts: trained.append(parts) or True)
    sweeping._run(trials, trial)
    ended = "finished" if status == "finished" else "stopped"  # early, as `_train` says
    assert len(trained) == (status != "finished")
    assert capsys.readouterr().out == f"trial 0: {ended}, best val/rfid {best}\n"
    assert state() == [{"parameters": trial.parameters, "state": ended, "history": values}]


def test_the_drawing_depends_on_the_seed_and_the_trials_alone(folder):
    write()
    file = SweepFile.read(Path("sweep.yaml"))
    first, again, other = Trials(file, 0), Trials(file, 0), Trials(file, 1)
    assert first.next().parameters == again.next().parameters != other.next().parameters
    trial = first.all[0]
    trial.state, trial.history = "finished", [3.0, 2.0]
    second = first.next().parameters
    assert second != trial.parameters
    for key, described_by in DRAWN.items():
        if "values" in described_by:
            assert second[key] in described_by["values"]
        else:
            assert described_by["min"] <= second[key] <= described_by["max"]


def test_trials_with_equal_draws_and_values_have_runs_of_their_own(folder, capsys):
    write(parameters={"a": {"values": [1, 1]}}, method="grid")
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    while (trial := trials.next()) is not None:
        trial.state, trial.history = "finished", [2.0]
    assert [trials.folder(trial).name for _, trial in trials.ranked()] == ["version_0", "version_1"]
    print_trials(trials)
    assert re.findall(r"│ (\d) +│ 2 ", capsys.readouterr().out) == ["0", "1"]


def test_a_logarithmic_range_is_drawn_evenly_over_its_decades(folder):
    write(parameters={"a": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}}, method="random")
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    for _ in range(60):
        trials.next().state = "finished"
    assert 15 <= sum(trial.parameters["a"] < 1e-2 for trial in trials.all) <= 45


def test_a_grid_is_tried_in_its_order_and_ends(folder):
    write(parameters={"a": {"values": [1, 2]}, "b": {"value": "x"}}, method="grid")
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    drawn = []
    while (trial := trials.next()) is not None:
        trial.state, trial.history = "finished", [1.0]
        drawn.append(trial.parameters)
    assert drawn == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_larger_is_better_where_the_sweep_says_so(folder):
    write()
    held = yaml.safe_load(Path("sweep.yaml").read_text())
    held["metric"]["goal"] = "maximize"
    Path("sweep.yaml").write_text(yaml.safe_dump(held))
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    for values in ([1.0, 5.0, float("nan")], [4.0, 2.0], [float("inf")]):
        trial = trials.next()
        trial.state, trial.history = "finished", values
    assert [best for best, _ in trials.ranked()] == [5.0, 4.0]


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_sweep_can_be_drawn(path):
    file = SweepFile.read(path)
    asked = optuna.create_study(sampler=file.sampler(0)).ask(file.distributions())
    assert set(asked.params) == set(file.parameters)


def test_what_is_no_sweep_is_said(refused, folder):
    early = {"type": "hyperband"}
    cases = {
        "nowhere.yaml": (None, "there is no sweep at nowhere.yaml"),
        "list.yaml": ("[1]", "is no sweep of `gen_experiments fit`"),
        "metric.yaml": (described() | {"metric": 3}, "names no metric"),
        "method.yaml": (described(method="guess"), "the method guess"),
        "none.yaml": (described(parameters=None), "has no parameters"),
        "empty.yaml": (described(parameters={}), "has no parameters"),
        "plain.yaml": (described(parameters={"a": 3}), "a must have keys of its own"),
        "range.yaml": (described(parameters={"a": {"min": 2, "max": 1}}), "a cannot be drawn from"),
        "normal.yaml": (
            described(parameters={"a": {"distribution": "normal", "mu": 0, "sigma": 1}}),
            "the distribution normal of a is not known",
        ),
        "grid.yaml": (described(parameters={"a": {"min": 0, "max": 1}}, method="grid"), "needs the values of a"),
        "word.yaml": (described(parameters={"a": {"values": "abc"}}), "the values of a are no list"),
        "number.yaml": (described(parameters={"a": {"values": 5}}, method="grid"), "the values of a are no list"),
        "no_values.yaml": (described(parameters={"a": {"values": []}}, method="grid"), "the values of a are no list"),
        "early.yaml": (described(early_terminate={"type": "envelope"}), "only early_terminate of type hyperband"),
        "name.yaml": (described(early_terminate="hyperband"), "only early_terminate of type hyperband"),
        "bracket.yaml": (described(early_terminate=early | {"max_iter": 27}), "cannot be used ('s')"),
        "eta.yaml": (described(early_terminate=early | {"max_iter": 27, "s": 1, "eta": 0}), "cannot be used"),
        "endless.yaml": (described(early_terminate=early | {"min_iter": float("inf")}), "cannot be used"),
    }
    for name, (held, expected) in cases.items():
        if held is not None:
            Path(name).write_text(held if isinstance(held, str) else yaml.safe_dump(held))
        assert expected in refused("sweep", name), name


def test_a_key_that_is_no_parameter_is_named_and_leaves_nothing(refused, folder):
    write(parameters={"model.quantizer.num_cods": {"values": [8]}})
    said = refused("sweep", "sweep.yaml")
    assert "did you mean num_codes?" in said
    assert not Path("runs/searched/sweep.json").exists()


def test_a_metric_that_is_never_logged_is_named(refused, folder):
    write(metric="val/fud")
    assert "trial 0 never logged val/fud" in refused("sweep", "sweep.yaml", "--count=1")
