"""The same command again, after a kill, a restart or a damaged file: which run goes on, and from where."""

import json
import subprocess
import uuid

import pytest
import torch

import independent
from conftest import SHORT, SMALL
from gen_experiments.runs.record import update_record
from processes import MODULE, PYTHONPATH, said, start
from run_files import checkpoint

SCRIPT = [*SMALL["vqvae"], *SHORT, "--run.resume=auto"]


def killed(folder, step, *options):
    """Has a process train until it kills itself after an iteration."""
    given = {"class_path": "signal_once.SignalOnce", "init_args": {"file": str(folder / "killed"), "step": step}}
    options = [*options, f"--trainer.callbacks+={json.dumps(given)}"]
    assert start("fit", *options, folder=folder, PYTHONPATH=PYTHONPATH).wait(120) == -9, said(folder)


@pytest.mark.long
def test_a_run_killed_before_its_first_checkpoint_begins_again_where_it_began(experiment, capfd, tmp_path):
    options = [*SCRIPT, "--trainer.val_check_interval=4"]
    assert experiment("fit", *options, "--run.name=source") == 0
    options += ["--trainer.max_steps=8", "--ckpt_path=runs/source/version_0/checkpoints/last.ckpt"]
    killed(tmp_path, 6, *options)
    assert experiment("fit", *options) == 0
    assert "runs/vqvae/version_0 begins again from runs/source" in capfd.readouterr().out
    assert experiment("fit", *options, "--run.name=whole") == 0
    found, whole = (tmp_path / "runs" / name / "version_0" for name in ("vqvae", "whole"))
    for name in ("last.ckpt", "best.ckpt"):
        weights = [checkpoint(run / "checkpoints" / name)["state_dict"] for run in (found, whole)]
        assert all(torch.equal(weights[0][key], value) for key, value in weights[1].items())
    assert independent.curves(found / "metrics.csv") == independent.curves(whole / "metrics.csv")
    assert [path.name for path in found.parent.iterdir()] == ["version_0"]


def test_a_longer_run_that_was_killed_goes_on_though_it_had_finished_once(experiment, tmp_path):
    assert experiment("fit", *SCRIPT) == 0
    longer = [*SMALL["vqvae"], *SHORT, "--trainer.max_steps=8"]
    killed(tmp_path, 7, *longer, "--ckpt_path=last")
    assert experiment("fit", *longer, "--run.resume=auto") == 0
    (run,) = (tmp_path / "runs" / "vqvae").iterdir()
    assert checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] == 8


@pytest.mark.parametrize("named", ["a UUID", pytest.param("nothing", marks=pytest.mark.long)])
def test_a_restart_by_torchrun_takes_no_run_but_its_own(experiment, monkeypatch, tmp_path, named):
    options = [*SMALL["vqvae"], *SHORT, "--trainer.max_steps=2"]
    home = tmp_path / "runs" / "vqvae"

    def fit(restarts, *more):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))
        assert experiment("fit", *options, *more) == 0
        steps = (checkpoint(path / "checkpoints" / "last.ckpt")["global_step"] for path in sorted(home.iterdir()))
        return list(steps)

    def launch(number):
        """Sets what torchrun does with `--standalone`, or without `--rdzv-id`."""
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", str(uuid.UUID(int=number)) if named == "a UUID" else "none")
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", f"/tmp/torchelastic_k/none_{number}/attempt_0/0/error.json")

    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1}.items():
        monkeypatch.setenv(name, str(value))
    launch(1)
    assert fit(0) == [2]
    update_record(home / "version_0", status="stopped")
    launch(2)
    assert fit(1) == [2, 2]  # the first start has died before it began a run
    assert fit(1, "--trainer.max_steps=4") == [2, 4]
    update_record(home / "version_1", status="stopped")
    launch(3)
    assert fit(0, "--trainer.max_steps=5", "--run.resume=auto") == [2, 5]
    assert fit(1, "--trainer.max_steps=6") == [2, 6]


def test_a_truncated_checkpoint_is_passed_over_aloud_by_a_script_too(experiment, capsys, tmp_path):
    assert experiment("fit", *SCRIPT) == 0
    (run,) = (tmp_path / "runs" / "vqvae").iterdir()
    update_record(run, status="running")
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-200])
    capsys.readouterr()
    assert experiment("fit", *SCRIPT, "--trainer.max_steps=6") == 0
    assert f"{last.relative_to(tmp_path)} cannot be read: " in capsys.readouterr().out
    assert checkpoint(last)["global_step"] == 6


def files(run):
    """The contents of a run's files; its lock names the process that held it last."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_full_disk_leaves_what_the_run_has(experiment, tmp_path):
    assert experiment("fit", *SCRIPT) == 0
    (run,) = (tmp_path / "runs" / "vqvae").iterdir()
    held = files(run)
    # What bash counts in KiB is a limit on every file that a process writes.
    command = ["bash", "-c", 'ulimit -f 2 && exec "$@"', "bash", *MODULE, "fit", *SCRIPT[:-1], "--ckpt_path=last"]
    done = subprocess.run([*command, "--trainer.max_steps=6"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1] == f"error: cannot write {run.relative_to(tmp_path)}/config.yaml: File too large"
    )
    assert files(run) == {**held, run / "run.json": held[run / "run.json"].replace(b"finished", b"stopped")}
