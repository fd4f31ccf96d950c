"""A run that a signal stops ends in order, and goes on as if it had not been stopped."""

import fcntl
import json
import os

import pytest
import torch

import independent
from conftest import SHORT, SMALL
from gen_experiments.runs.lock import LOCK_FILE
from gen_experiments.runs.record import RunRecord
from processes import PYTHONPATH, finished, without_account

# Not every iteration is logged, revives codes, steps the generator or computes the penalty of the GAN.
MODELS = {
    "vqvae": [*SMALL["vqvae"], "--model.quantizer.revive_below=0.9"],
    "gan": [*SMALL["gan"], "--model.n_critic=2"],
}
# The step at which a run is stopped after its eleventh batch: one of two batches lies in the middle of the sixth.
STOPPED = [
    ("vqvae", [], 11),
    ("vqvae", ["--trainer.accumulate_grad_batches=2"], 5),
    ("gan", [], 11),
]


# A stand-in for SLURM's program, which notes what it was told, and what could be gone on from then.
SCONTROL = """#!/bin/sh
echo "$@" `ls runs/vqvae/version_0/checkpoints` >> requeued
"""


def rows(run):
    return independent.curves(run / "metrics.csv")


def signalled(folder, **given):
    """The option by which a process sends itself a signal."""
    callback = {"class_path": "signal_once.SignalOnce", "init_args": {"file": str(folder / "signalled"), **given}}
    return f"--trainer.callbacks+={json.dumps(callback)}"


@pytest.mark.parametrize(("model", "more", "step"), STOPPED)
def test_a_run_that_sigterm_has_stopped_goes_on_with_the_same_curves(experiment, tmp_path, capfd, model, more, step):
    options = [*MODELS[model], *more, *SHORT, "--trainer.max_steps=20", "--trainer.val_check_interval=20"]
    options += ["--trainer.log_every_n_steps=3", "--run.resume=auto"]
    stopped = [*options, signalled(tmp_path, step=11, name="SIGTERM"), "--run.root=stopped"]
    assert experiment("fit", *stopped) == 143
    run = tmp_path / "stopped" / model / "version_0"
    assert f"stopped by SIGTERM at step {step}, which" in capfd.readouterr().err
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == step
    with (run / LOCK_FILE).open("r+") as file:  # nobody holds the run any more
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    identity = RunRecord.read(run).id
    assert experiment("fit", *stopped) == 0
    assert RunRecord.read(run).id == identity
    assert experiment("fit", *options) == 0
    assert rows(run) == rows(tmp_path / "runs" / model / "version_0")


def test_a_job_of_slurm_goes_back_into_the_queue_before_its_time_is_over(tmp_path):
    (tmp_path / "scontrol").write_text(SCONTROL)
    (tmp_path / "scontrol").chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": PYTHONPATH}
    options = [*SMALL["vqvae"], *SHORT, "--run.resume=auto", "--trainer.val_check_interval=4"]
    options.append(signalled(tmp_path, step=2, name="SIGUSR1"))
    done = finished(tmp_path, "fit", *options, environment=without_account(tmp_path) | slurm)
    last = "runs/vqvae/version_0/checkpoints/last.ckpt"
    said = f"stopped by SIGUSR1 at step 2, which {last} holds; the job is queued again and goes on from there"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, said)
    assert (tmp_path / "requeued").read_text() == "requeue 7 last.ckpt\n"
    again = slurm | {"SLURM_RESTART_COUNT": "1"}
    done = finished(tmp_path, "fit", *options, environment=without_account(tmp_path) | again)
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / last, weights_only=True)["global_step"] == 4
    assert (tmp_path / "requeued").read_text() == "requeue 7 last.ckpt\n"


def test_a_command_that_scores_is_left_after_a_batch(experiment, capfd, tmp_path):
    options = [*SMALL["vqvae"], *SHORT, "--trainer.max_steps=2", "--evaluation.extractor=null"]
    assert experiment("fit", *options) == 0
    run = tmp_path / "runs" / "vqvae" / "version_0"
    written = (run / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    options += [signalled(tmp_path, step=2, name="SIGTERM"), "--data.eval_batch_size=60", "--ckpt_path=last"]
    assert experiment("validate", *options, "--trainer.fast_dev_run=true") == 0  # a trial, whose scores are not kept
    for command in ("validate", "test", "predict"):
        (tmp_path / "signalled").unlink(missing_ok=True)
        assert experiment(command, *options) == 143, command
        assert capfd.readouterr().err.splitlines()[-1] == "stopped by SIGTERM"
    assert not (run / "scores.csv").exists()
    assert len(list((run / "predictions").glob("*.png"))) == 2 * 60
    assert (run / "checkpoints" / "last.ckpt").stat().st_mtime_ns == written


def test_a_run_that_ends_by_its_time_says_so_and_goes_on_with_more(experiment, capsys, tmp_path):
    options = [*SMALL["gan"], *SHORT, "--trainer.max_steps=1000000", "--trainer.val_check_interval=1000000"]
    assert experiment("fit", *options, "--run.resume=auto", "--trainer.max_time=00:00:00:01") == 0
    assert "trainer.max_time was over: go on by --ckpt_path=last and a longer" in capsys.readouterr().out
    more = ["--run.resume=auto", "--trainer.max_time=00:10:00:00"]
    last = tmp_path / "runs" / "gan" / "version_0" / "checkpoints" / "last.ckpt"
    steps = torch.load(last, weights_only=True)["global_step"] + 2
    assert experiment("fit", *SMALL["gan"], *SHORT, f"--trainer.max_steps={steps}", *more) == 0
    assert "max_time" not in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "runs" / "gan").iterdir()] == ["version_0"]
    assert torch.load(last, weights_only=True)["global_step"] == steps
    assert RunRecord.read(last.parent.parent).status == "finished"
