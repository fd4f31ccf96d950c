"""A signal ends a run in order: the checkpoint is written, the exit code says why, a line says how to go on."""

import csv
import signal
import time

import pytest
import torch

from conftest import SHORT, SMALL
from processes import children, runs, said, start, wait_until

ENDLESS = ["--trainer.max_steps=100000", "--trainer.val_check_interval=100000", "--trainer.logger=MetricsCSV"]


def begun(folder):
    path = folder / "runs" / "run" / "version_0" / "metrics.csv"
    return lambda: path.is_file() and len(path.read_text().splitlines()) > 5


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.long)]
)
@pytest.mark.parametrize(("model", "devices"), [("vqvae", 1), pytest.param("gan", 2, marks=pytest.mark.long)])
def test_the_state_of_the_last_iteration_is_kept(tmp_path, model, devices, number, code):
    options = [*SMALL[model], *SHORT, *ENDLESS, "--run.name=run", f"--trainer.devices={devices}"]
    process = start("fit", *options, "--trainer.accelerator=cpu", folder=tmp_path)
    assert wait_until(begun(tmp_path), process)
    others = children(process)
    process.send_signal(number)
    assert process.wait(60) == code
    assert len(others) >= devices - 1
    end = time.monotonic() + 30
    while any(map(runs, others)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(runs, others))
    last = torch.load(tmp_path / "runs/run/version_0/checkpoints/last.ckpt", weights_only=True)
    assert last["images_seen"] == 16 * last["global_step"] > 0
    name = signal.Signals(number).name
    (line,) = [line for line in said(tmp_path) if name in line]
    assert f"stopped by {name} at step {last['global_step']}" in line
    assert "go on by --ckpt_path=last" in line
    assert "Traceback" not in "\n".join(said(tmp_path))
    with (tmp_path / "runs/run/version_0/metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == list(range(last["global_step"]))


def test_a_long_validation_is_left_between_two_passes_and_made_up_for(tmp_path):
    options = [*SMALL["gan"], *SHORT, "--trainer.logger=MetricsCSV", "--run.name=run", "--trainer.max_steps=6"]
    interval = ["--trainer.val_check_interval=6"]
    long = ["--evaluation.samples=1000000", "--evaluation.batch_size=100"]
    process = start("fit", *options, *interval, *long, folder=tmp_path)
    assert wait_until(begun(tmp_path), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    process = start("fit", *options, *interval, "--ckpt_path=last", folder=tmp_path)
    assert process.wait(120) == 0, said(tmp_path)
    with (tmp_path / "runs/run/version_0/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["train/loss_d"]] == list(range(6))
    assert [int(row["step"]) for row in rows if row["val/fid"]] == [5]
