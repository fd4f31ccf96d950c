"""Runs that torchrun has started: a process dies, or a signal comes, and the run goes on as if nothing had been."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from conftest import SHORT, SMALL

pytestmark = pytest.mark.long

STEPS = 30
MODELS = {
    "vqvae": [*SMALL["vqvae"], "--model.quantizer.revive_below=0.5"],
    "gan": [*SMALL["gan"], "--model.generator.batch_norm=false", "--model.discriminator.batch_norm=false"],
}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}


def command(model, *options, restarts=1, callback=None):
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", f"--max-restarts={restarts}"]
    fit = [
        *MODELS[model],
        *SHORT,
        f"--trainer.max_steps={STEPS}",
        "--trainer.val_check_interval=10",
        "--trainer.accelerator=cpu",
        "--trainer.devices=2",
        "--run.resume=auto",
        *options,
    ]
    if callback is not None:
        fit.append(f"--trainer.callbacks+={json.dumps(callback)}")
    return [sys.executable, "-m", *launcher, "-m", "gen_experiments", "fit", *map(str, fit)]


def run(folder, *arguments, **options):
    return subprocess.run(
        command(*arguments, **options),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )


def rows(run):
    with (run / "metrics.csv").open() as file:
        return [{**row, "images_per_second": ""} for row in csv.DictReader(file)]


@pytest.mark.parametrize(("model", "rank"), [("vqvae", 0), ("gan", 1)])
def test_a_run_goes_on_after_one_of_its_processes_was_killed(tmp_path, model, rank):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    done = run(whole, model)
    assert done.returncode == 0, done.stdout
    kill = {"class_path": "killed_rank.KillOnce", "init_args": {"file": str(broken / "done"), "rank": rank, "step": 17}}
    done = run(broken, model, callback=kill)
    assert (broken / "done").exists()
    assert done.returncode == 0, done.stdout
    assert "goes on from" in done.stdout
    assert "(step 10, " in done.stdout
    assert [path.name for path in (broken / "runs" / model).iterdir()] == ["version_0"]
    found, expected = (
        torch.load(folder / "runs" / model / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
        for folder in (broken, whole)
    )
    assert found["global_step"] == expected["global_step"] == STEPS
    for name, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value), name
    assert rows(broken / "runs" / model / "version_0") == rows(whole / "runs" / model / "version_0")
