"""Runs that torchrun has started: a process dies, or a signal comes, and the run goes on as if nothing had been."""

import json
import os
import signal
import subprocess
import time

import pytest
import torch

import independent
from conftest import SHORT, SMALL
from processes import PYTHONPATH, TORCHRUN, kill_all

pytestmark = pytest.mark.long

STEPS = 30
MODELS = {
    "vqvae": [*SMALL["vqvae"], "--model.quantizer.revive_below=0.5"],
    "gan": [*SMALL["gan"], "--model.generator.batch_norm=false", "--model.discriminator.batch_norm=false"],
}


def start(folder, model, *options):
    """A `torchrun` of two processes in a folder; all that it prints goes to the file `log` there."""
    folder.mkdir(exist_ok=True)
    command = [
        *(*TORCHRUN, "--max-restarts=1", "-m", "gen_experiments", "fit", *MODELS[model], *SHORT),
        f"--trainer.max_steps={STEPS}",
        "--trainer.val_check_interval=10",
        "--trainer.accelerator=cpu",
        "--trainer.devices=2",
        "--run.resume=auto",
        *options,
    ]
    ours = {"PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, cwd=folder, env={**os.environ, **ours}, stdout=log, stderr=subprocess.STDOUT)


def finish(process):
    """Waits for the exit code; nothing that was started outlives this."""
    try:
        return process.wait(timeout=200)
    finally:
        kill_all(process)


def killing(folder, rank):
    """The option that has a rank killed after iteration 17."""
    given = {"file": str(folder / "killed"), "rank": rank, "step": 17}
    return f"--trainer.callbacks+={json.dumps({'class_path': 'signal_once.SignalOnce', 'init_args': given})}"


def last_checkpoint(folder, model):
    path = folder / "runs" / model / "version_0" / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True) if path.exists() else {"global_step": 0}


def rows(folder, model):
    return independent.curves(folder / "runs" / model / "version_0" / "metrics.csv")


@pytest.fixture(scope="module", params=MODELS)
def whole(request, tmp_path_factory):
    """A model, and the folder of a run of it that nothing has stopped."""
    folder = tmp_path_factory.mktemp(request.param)
    assert finish(start(folder, request.param)) == 0, (folder / "log").read_text()
    return request.param, folder


def assert_same_end(folder, whole):
    model, expected = whole
    log = (folder / "log").read_text()
    assert [path.name for path in (folder / "runs" / model).iterdir()] == ["version_0"], log
    found, wanted = last_checkpoint(folder, model), last_checkpoint(expected, model)
    assert found["global_step"] == wanted["global_step"] == STEPS, log
    assert all(torch.equal(found["state_dict"][name], value) for name, value in wanted["state_dict"].items())
    assert rows(folder, model) == rows(expected, model)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_goes_on_after_one_of_its_processes_was_killed(tmp_path, whole, rank):
    code = finish(start(tmp_path, whole[0], killing(tmp_path, rank)))
    log = (tmp_path / "log").read_text()
    assert (tmp_path / "killed").exists()
    assert code == 0, log
    assert "goes on from" in log
    assert "(step 10, " in log
    assert_same_end(tmp_path, whole)


def test_a_second_start_goes_on_after_a_signal(tmp_path, whole):
    process = start(tmp_path, whole[0])
    deadline = time.monotonic() + 120
    while last_checkpoint(tmp_path, whole[0])["global_step"] < 10:
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code = finish(process)
    log = (tmp_path / "log").read_text()
    print(code, log)
    assert "stopped by SIGTERM at step" in log
    assert finish(start(tmp_path, whole[0])) == 0, (tmp_path / "log").read_text()
    assert_same_end(tmp_path, whole)
