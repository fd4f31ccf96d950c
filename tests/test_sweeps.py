"""The real `wandb sweep` and `wandb agent` on every sweep that is shipped, against a server on this machine."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import SMALL
from gen_experiments.search.sweep_file import SweepFile
from wandb_server import Server

ROOT = Path(__file__).parent.parent
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))
VALIDATED = "val_check_interval"
NARROW = {**SMALL, "translation": ("--model.generator.width=4", "--model.discriminator.width=4")}
QUICK = [pytest.param(path, id=path.stem, marks=pytest.mark.long) for path in SWEEPS if path.stem in NARROW]
FEW = [
    "--trainer.max_steps=2",
    "--trainer.val_check_interval=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
    "--data.batch_size=16",
]


def wandb(*arguments, **options):
    command = [sys.executable, "-m", "wandb", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", QUICK)
def test_a_sweep_runs_and_logs_its_metric(tmp_path, path):
    described = yaml.safe_load(path.read_text())
    small = [option for option in NARROW[path.stem] if "num_codes" not in option and "--config" not in option]
    arguments = described["command"].index("${args}")
    described["command"][arguments:arguments] = [*FEW, *small]
    # The agent writes them as `None` and `64.0`.
    described["parameters"] |= {"model.lr_schedule": {"value": None}, "data.eval_batch_size": {"value": 64.0}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(described))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    with Server(most_runs=2) as server:
        # The agent starts the first `python` in PATH, which is not this one unless its environment is activated.
        search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        home = {"HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "PATH": search}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        surroundings = {"cwd": tmp_path, "env": {**plain, **home, **server.environment}}
        wandb("sweep", "--entity=entity", "--project=project", "sweep.yaml", **surroundings)
        (sweep,) = server.sweeps
        wandb("agent", "--count=2", f"entity/project/{sweep}", **surroundings)
    assert len(server.runs) == 2
    assert all(run["sweep"] == sweep for run in server.runs.values())
    for run in server.runs.values():
        assert sum(described["metric"]["name"] in row for row in run["history"]) == 2
    for version in range(2):
        folder = tmp_path / "runs" / f"sweep_{path.stem}" / f"version_{version}"
        assert (folder / "checkpoints" / "best.ckpt").is_file()
        _holds(yaml.safe_load((folder / "config.yaml").read_text()), described["parameters"])


def _holds(config, parameters):
    """Every swept key is in the resolved config with a value of the sweep."""
    for name, parameter in parameters.items():
        value = config
        for key in name.split("."):
            value = value.get("init_args", value) if key not in value else value
            value = value[key]
        if "value" in parameter:
            assert (type(value), value) in [(type(None), None), (int, 64)]
        elif "values" in parameter:
            found = value["class_path"].rpartition(".")[2] if isinstance(value, dict) else value
            assert found in parameter["values"]
        else:
            assert parameter["min"] <= value <= parameter["max"]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_early_termination_can_act(path):
    described = yaml.safe_load(path.read_text())
    config = yaml.safe_load((ROOT / "configs" / f"{path.stem.partition('_')[0]}.yaml").read_text())
    given = dict(word[2:].split("=", 1) for word in described["command"] if word.startswith("--"))
    steps, interval = (int(given.get(f"trainer.{name}", config["trainer"][name])) for name in ("max_steps", VALIDATED))
    assert described["early_terminate"]["type"] == "hyperband"
    assert described["early_terminate"]["min_iter"] < steps // interval


def test_trials_of_gamma_go_over_factors_on_the_rule(experiment, tmp_path, monkeypatch):
    file = SweepFile.read(ROOT / "sweeps" / "gan_gamma.yaml")
    few = ["--data.source=Digits", "--evaluation.extractor=null", "--trainer.max_steps=1", "--trainer.devices=1"]
    narrow = ["--model.generator.width=4", "--model.discriminator.width=4", "--trainer.log_every_n_steps=1"]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", "configs")
    seen = {}
    for trial, drawn in enumerate(file.combinations()[1:3]):
        arguments = [f"--{name}={value}" for name, value in drawn.items()]
        assert experiment("fit", *file.arguments, *few, *narrow, *arguments, "--trainer.accelerator=cpu") == 0
        run = Path("runs", "sweep_gan_gamma", f"version_{trial}")
        config = yaml.safe_load((run / "config.yaml").read_text())
        gamma = config["model"]["init_args"]["penalties"][0]["init_args"]["weight"]
        data = config["data"]["init_args"]
        assert gamma == pytest.approx(0.0002 * data["size"] ** 2 / data["batch_size"])
        with open(run / "metrics.csv", newline="") as rows:
            seen[drawn["model.penalty_schedule.value"]] = float(next(csv.DictReader(rows))["train/penalty_r1"])
    assert seen[10.0] == pytest.approx(10 * seen[1.0], rel=1e-4)
