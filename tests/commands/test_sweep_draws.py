"""What a sweep draws from, when it ends a trial, and where its trials are: ranges, methods, hyperband and folders."""

import math
from pathlib import Path

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from test_sweep import described, write

from gen_experiments.errors import UserError
from gen_experiments.search.sweep_file import SweepFile
from gen_experiments.search.trials import Trials


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_hyperband_begins_where_its_brackets_say():
    """After 27 / 3² validations, with a third of the trials left."""
    early = {"type": "hyperband", "max_iter": 27, "s": 2}
    write(early_terminate=early)
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        trial = trials.next()
        trial.state, trial.history = "finished", [value] * 3
    late = trials.next()
    for history, hopeless in (([8.0] * 2, False), ([8.0] * 3, True), ([2.5] * 3, True), ([1.5] * 3, False)):
        late.history = history
        assert trials.is_hopeless(late) == hopeless, history
    write(parameters={"a": {"values": [1, 2]}}, method="grid", early_terminate=early)
    Path("runs/searched/sweep.json").unlink()
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    for value in (1.0, 8.0):
        trial = trials.next()
        trial.state, trial.history = "finished", [value] * 3
    assert not trials.is_hopeless(trial)  # all of a grid are wanted


@pytest.mark.parametrize(("goal", "sign"), [("minimize", 1), ("maximize", -1)])
def test_a_trial_worse_than_the_better_half_is_hopeless(goal, sign):
    held = described(early_terminate={"type": "hyperband", "min_iter": 2, "eta": 2})
    held["metric"]["goal"] = goal
    Path("sweep.yaml").write_text(yaml.safe_dump(held))
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    for value in (1.0, 2.0, 3.0):
        trial = trials.next()
        trial.state, trial.history = "finished", [sign * each for each in (9.0, value, value, value)]
    late = trials.next()
    for history, hopeless in (([9.0], False), ([9.0, 8.0], True), ([9.0, 0.5], False)):
        late.history = [sign * each for each in history]
        assert trials.is_hopeless(late) == hopeless, history  # of one validation nothing is judged


def test_ranges_are_drawn_from_as_described():
    ranges = {
        "whole": ({"min": 1, "max": 4}, IntDistribution(1, 4)),
        "broken": ({"min": 0, "max": 0.5}, FloatDistribution(0, 0.5)),
        "steps": ({"distribution": "q_uniform", "min": 0, "max": 3}, FloatDistribution(0, 3, step=1)),
        "halves": ({"distribution": "q_uniform", "min": 0, "max": 3, "q": 0.5}, FloatDistribution(0, 3, step=0.5)),
        "named": ({"distribution": "int_uniform", "min": 1.0, "max": 4.0}, IntDistribution(1, 4)),
        "one": ({"value": "x"}, CategoricalDistribution(["x"])),
    }
    write(parameters={name: asked for name, (asked, _) in ranges.items()})
    assert SweepFile.read(Path("sweep.yaml")).distributions() == {name: drawn for name, (_, drawn) in ranges.items()}


def test_bayes_draws_near_the_best_and_random_everywhere():
    near = {}
    for method in ("bayes", "random"):
        write(parameters={"a": {"min": 0.0, "max": 1.0}}, method=method)
        trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
        for _ in range(30):
            trial = trials.next()
            trial.state, trial.history = "finished", [abs(trial.parameters["a"] - 0.9)]
        near[method] = sum(trial.parameters["a"] > 0.75 for trial in trials.all[15:])
        Path("runs/searched/sweep.json").unlink()
    assert near["bayes"] > 10 > near["random"]


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"min": 1.0, "max": math.inf}, "min and max must be finite"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 3}, "min and max must be whole numbers"),
        ({"distribution": "int_uniform", "min": 1, "max": math.nan}, "min and max must be finite"),
        ({"values": [1, 2], "probabilities": [1]}, "one number for each value, and sum to 1"),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "one number for each value, and sum to 1"),
        ({"values": [1, 2], "probabilities": "ab"}, "one number for each value, and sum to 1"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(asked, refused):
    write(parameters={"a": asked}, method="random")
    with pytest.raises(UserError, match=refused):
        SweepFile.read(Path("sweep.yaml"))


def test_values_are_drawn_by_their_probabilities():
    """4 of 40 draws of a tenth; the deviation is 1.9."""
    weighted = {"values": [1, 2, None], "probabilities": [0.1, 0.9, 0]}
    write(parameters={"a": weighted, "b": {"min": 0.0, "max": 1.0}}, method="random")
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    for _ in range(40):
        trial = trials.next()
        trial.state, trial.history = "finished", [1.0]
    drawn = [trial.parameters["a"] for trial in trials.all]
    assert set(drawn) == {1, 2}
    assert 1 <= drawn.count(1) <= 10


def test_a_name_may_be_a_word_of_its_own():
    held = described()
    held["command"][-1:-1] = ["--run.root", "elsewhere"]
    held["command"] = [word for word in held["command"] if word != "--run.name=searched"]
    held["command"][-1:-1] = ["--run.name", "own"]
    Path("sweep.yaml").write_text(yaml.safe_dump(held))
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    assert trials.home == Path("elsewhere/own")
    assert not any(word.startswith("--run.name=") for word in trials.arguments)


def test_the_runs_of_a_sweep_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    held = described()
    held["command"].insert(-1, "--run.root=~/runs/lr=0.1")  # the second = belongs to the name
    Path("sweep.yaml").write_text(yaml.safe_dump(held))
    assert Trials(SweepFile.read(Path("sweep.yaml")), 0).home == tmp_path / "home/runs/lr=0.1/searched"


def test_trials_of_another_sweep_are_not_mixed_in():
    write()
    Trials(SweepFile.read(Path("sweep.yaml")), 0).next()
    write("moved.yaml")
    assert len(Trials(SweepFile.read(Path("moved.yaml")), 0).all) == 1
    with pytest.raises(UserError, match="another sweep or seed"):
        Trials(SweepFile.read(Path("sweep.yaml")), 1)
    for damaged in ("{}", "[" * 100_000):
        Path("runs/searched/sweep.json").write_text(damaged)
        with pytest.raises(UserError, match="is damaged"):
            Trials(SweepFile.read(Path("sweep.yaml")), 0)
    Path("runs/searched/sweep.json").unlink()
    Path("runs/searched/version_0").mkdir()
    with pytest.raises(UserError, match="holds other runs"):
        Trials(SweepFile.read(Path("sweep.yaml")), 0)


def test_random_draws_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(method="random")
    trials = Trials(SweepFile.read(Path("sweep.yaml")), 0)
    for _ in range(4):
        trials.next().state = "finished"
    assert len({trial.parameters["model.optimizer.lr"] for trial in trials.all}) == 4
