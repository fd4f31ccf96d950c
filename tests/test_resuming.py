"""A run that is stopped and resumed ends as one that was not, bit for bit."""

import csv
import json

import pytest
import torch

from conftest import SHORT
from resumable_runs import RUNS, table
from run_files import checkpoint, curve, equal


# 464 training digits in batches of 32 make 14 iterations an epoch: both stops lie in the middle of one.
@pytest.mark.parametrize(
    ("model", "stop"),
    [pytest.param(model, stop, marks=[pytest.mark.long] * rare) for model in RUNS for stop, rare in ((7, 1), (19, 0))],
)
def test_a_resumed_run_ends_with_the_same_weights(experiment, tmp_path, model, stop):
    options = [*RUNS[model], *SHORT, "--data.batch_size=32", "--data.flip=true", "--trainer.val_check_interval=38"]
    options += ["--data.val_size=60", "--data.test_size=1273"]
    folder = tmp_path / "runs"
    whole = [*options, "--run.name=whole", f"--trainer.max_steps={2 * stop}"]
    assert experiment("fit", *whole) == 0
    part = [*options, "--run.name=part"]
    assert experiment("fit", *part, f"--trainer.max_steps={stop}") == 0
    assert experiment("fit", *part, f"--trainer.max_steps={2 * stop}", "--ckpt_path=last") == 0
    unbroken = checkpoint(folder / "whole" / "version_0" / "checkpoints" / "last.ckpt")
    resumed = checkpoint(folder / "part" / "version_0" / "checkpoints" / "last.ckpt")
    assert [path.name for path in (folder / "part").iterdir()] == ["version_0"]
    assert resumed["global_step"] == unbroken["global_step"] == 2 * stop
    for key in ("state_dict", "optimizer_states", "images_seen", "epoch"):
        assert equal(resumed[key], unbroken[key]), key
    curves = [curve(folder / name / "version_0") for name in ("part", "whole")]
    assert curves[0] == curves[1]
    assert [row["step"] for row in curves[0]] == [str(step) for step in range(2 * stop)]


def test_resuming_obeys_an_override(experiment, tmp_path):
    options = [*RUNS["vqvae"], *SHORT, "--trainer.max_steps=2"]
    assert experiment("fit", *options) == 0
    last = tmp_path / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt"
    override = ["--trainer.max_steps=4", "--model.optimizer.lr=0.0", f"--ckpt_path={last}"]
    assert experiment("fit", *RUNS["vqvae"], *SHORT, *override) == 0
    before = checkpoint(last)["state_dict"]
    after = checkpoint(tmp_path / "runs" / "vqvae" / "version_1" / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("encoder", "decoder")))


def logged(path, prefix):
    """The last value of every metric that starts with `prefix` in a CSV file."""
    rows = table(path)
    return {name: row[name] for row in rows for name in row if name.startswith(prefix) and row[name]}


@pytest.mark.parametrize("model", RUNS)
def test_validate_and_test_repeat_the_numbers_of_training_in_the_run_they_score(experiment, capsys, tmp_path, model):
    home = tmp_path / "runs" / model
    assert experiment("fit", *RUNS[model], *SHORT) == 0
    for command in ("validate", "test", "test"):
        capsys.readouterr()
        assert experiment(command, *RUNS[model], "--ckpt_path=last") == 0
        path = home.relative_to(tmp_path) / "version_0" / "checkpoints" / "last.ckpt"
        assert f"{command} of {path} (step 4, 64 images seen)" in capsys.readouterr().out
    assert [path.name for path in home.iterdir()] == ["version_0"]
    validated, *tested = table(home / "version_0" / "scores.csv")
    assert tested[0] == tested[1]
    assert (validated["checkpoint"], validated["step"], validated["images_seen"]) == ("last.ckpt", "4", "64")
    assert validated["protocol/extractor"] == "DigitsFeatures"
    trained = logged(home / "version_0" / "metrics.csv", "val/")
    assert trained == {name: value for name, value in validated.items() if name.startswith("val/") and value}
    scored = {name for name, value in tested[0].items() if name.startswith("test/") and value}
    assert scored == {name.replace("val/", "test/") for name in trained}


def test_the_best_score_and_its_file_survive_a_resumption(experiment, capsys, tmp_path):
    options = [*RUNS["vqvae"], *SHORT]
    assert experiment("fit", *options) == 0
    folder = tmp_path / "runs" / "vqvae" / "version_0"
    last, best = (folder / "checkpoints" / f"{which}.ckpt" for which in ("last", "best"))
    held = checkpoint(last)
    (state,) = (state for state in held["callbacks"].values() if state.get("monitor") == "val/rfid")
    # As if a validation had been much better than what follows.
    score = torch.tensor(0.5)
    state.update(best_model_score=score, kth_value=score, best_k_models={state["best_model_path"]: score})
    torch.save(held, last)
    before = best.read_bytes()
    capsys.readouterr()
    assert experiment("fit", *options, "--trainer.max_steps=6", "--ckpt_path=last") == 0
    said = capsys.readouterr().out
    assert f"runs/vqvae/version_0 goes on from {last.relative_to(tmp_path)} (step 4, 64 images seen)" in said
    assert "best checkpoint, val/rfid 0.5" in said
    assert best.read_bytes() == before
    rows = table(folder / "metrics.csv")
    for name in ("val/rfid", "validation_seconds"):
        assert [int(row["step"]) for row in rows if row[name]] == [1, 3, 5]
    assert [int(row["step"]) for row in rows if row["train/loss"]] == list(range(6))


def test_the_best_checkpoint_by_another_score_is_kept_under_another_name(experiment, capsys, tmp_path):
    options = [*RUNS["gan"], *SHORT]
    assert experiment("fit", *options) == 0
    folder = tmp_path / "runs" / "gan" / "version_0" / "checkpoints"
    best = checkpoint(folder / "best.ckpt")["global_step"]
    for steps in (6, 8):
        resumed = [f"--trainer.max_steps={steps}", "--ckpt_path=last", "--evaluation.metrics=[mind]"]
        assert experiment("fit", *options, *resumed) == 0
        said = capsys.readouterr().out
        assert ("best is no longer by val/fid; " in said) == (steps == 6)
    (kept,) = folder.glob("best_until_step_*.ckpt")
    assert (kept.name, checkpoint(kept)["global_step"]) == ("best_until_step_4.ckpt", best)
    assert checkpoint(folder / "best.ckpt")["global_step"] > 4


def test_a_run_whose_folder_was_moved_keeps_its_best_score(experiment, capsys, tmp_path):
    options = [*RUNS["vqvae"], *SHORT]
    assert experiment("fit", *options) == 0
    (tmp_path / "runs").rename(tmp_path / "moved")
    folder = tmp_path / "moved" / "vqvae" / "version_0"
    scores = [float(row["val/rfid"]) for row in table(folder / "metrics.csv") if row["val/rfid"]]
    capsys.readouterr()
    # A rate of 0 makes no score better.
    more = ["--run.root=moved", "--ckpt_path=last", "--trainer.max_steps=6", "--model.optimizer.lr=0"]
    assert experiment("fit", *options, *more) == 0
    said = capsys.readouterr().out
    assert f"best checkpoint, val/rfid {min(scores):.6g}: {folder / 'checkpoints' / 'best.ckpt'}" in said
    assert not (tmp_path / "runs").exists()


def test_rows_beyond_the_checkpoint_are_replaced(experiment, tmp_path):
    """A kill leaves them: the checkpoint is older than the last row."""
    options = [*RUNS["vqvae"], *SHORT]
    assert experiment("fit", *options) == 0
    path = tmp_path / "runs" / "vqvae" / "version_0" / "metrics.csv"
    (fourth,) = (row for row in table(path) if row["train/loss"] and row["step"] == "3")
    with path.open("a", newline="") as file:
        beyond = {**fourth, "step": "4", "images_seen": "80", "train/loss": "99"}
        csv.DictWriter(file, list(fourth)).writerow(beyond)
    assert experiment("fit", *options, "--trainer.max_steps=6", "--ckpt_path=last") == 0
    rows = [row for row in table(path) if row["train/loss"]]
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert rows[3]["train/loss"] == fourth["train/loss"]
    assert rows[4]["train/loss"] != "99"


def test_a_run_goes_on_where_its_seed_and_its_readable_checkpoint_are(experiment, capsys, tmp_path):
    options = [*RUNS["vqvae"], *SHORT, "--trainer.max_steps=2"]
    assert experiment("fit", *options) == 0
    assert experiment("fit", *options, "--seed_everything=1") == 0
    home = tmp_path / "runs" / "vqvae"
    more = [*options, "--ckpt_path=last", "--trainer.max_steps=4"]
    assert experiment("fit", *more) == 0
    steps = [checkpoint(home / f"version_{n}" / "checkpoints" / "last.ckpt")["global_step"] for n in range(2)]
    assert steps == [4, 2]
    last = home / "version_1" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-200])
    capsys.readouterr()
    assert experiment("fit", *more, "--seed_everything=1") == 0
    assert "last.ckpt cannot be read: runs/vqvae/version_1/checkpoints/best.ckpt is taken" in capsys.readouterr().out
    assert checkpoint(last)["global_step"] == 4
    assert experiment("fit", *more, "--seed_everything=2") == 1
    assert "--seed_everything=1" in capsys.readouterr().err
    assert experiment("fit", *more, "--run.version=0", "--trainer.max_steps=6") == 0
    assert checkpoint(home / "version_0" / "checkpoints" / "last.ckpt")["global_step"] == 6
    assert experiment("fit", *options, "--run.version=0") == 1
    assert "version_0 exists" in capsys.readouterr().err
    assert sorted(path.name for path in home.iterdir()) == ["version_0", "version_1"]


def test_a_checkpoint_given_as_a_file_begins_a_new_run(experiment, capsys, tmp_path):
    options = [*RUNS["vqvae"], *SHORT, "--trainer.max_steps=2"]
    assert experiment("fit", *options) == 0
    path = "runs/vqvae/version_0/checkpoints/last.ckpt"
    capsys.readouterr()
    assert experiment("fit", *options, "--trainer.max_steps=4", f"--ckpt_path={path}") == 0
    assert f"runs/vqvae/version_1 is a new run and begins from {path} (step 2, 32" in capsys.readouterr().out
    home = tmp_path / "runs" / "vqvae"
    ids = {json.loads((home / f"version_{n}" / "run.json").read_text())["id"] for n in range(2)}
    assert len(ids) == 2
    assert [int(row["step"]) for row in table(home / "version_1" / "metrics.csv") if row["train/loss"]] == [2, 3]
    # The newest run is the second: the first goes on where it is named.
    assert experiment("fit", *options, "--trainer.max_steps=3", "--ckpt_path=last", "--run.version=0") == 0
    steps = [checkpoint(home / f"version_{n}" / "checkpoints" / "last.ckpt")["global_step"] for n in range(2)]
    assert steps == [3, 4]
    # No run begins at its end; one that has reached it may be started once more.
    capsys.readouterr()
    assert experiment("fit", *options, f"--ckpt_path={path}") == 1
    nothing = f"nothing was trained: {path} is at step 3, the end of this run; set a larger trainer.max_steps"
    assert nothing in capsys.readouterr().err
    assert not (home / "version_2").exists()
    assert experiment("fit", *options, "--trainer.max_steps=3", "--ckpt_path=last", "--run.version=0") == 0
    assert nothing in capsys.readouterr().out


def test_a_job_that_starts_again_goes_on_in_its_own_run(experiment, monkeypatch, tmp_path):
    home = tmp_path / "runs" / "vqvae"

    def fit(steps):
        options = [*RUNS["vqvae"], *SHORT, f"--trainer.max_steps={steps}", "--run.resume=auto"]
        assert experiment("fit", *options) == 0
        return sorted(
            (path.name, checkpoint(path / "checkpoints" / "last.ckpt")["global_step"]) for path in home.iterdir()
        )

    assert fit(2) == [("version_0", 2)]
    # It had ended: outside of a job that is no reason to go on.
    assert fit(2) == [("version_0", 2), ("version_1", 2)]
    monkeypatch.setattr("lightning.fabric.plugins.environments.slurm.SLURMEnvironment.detect", lambda: False)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert fit(2)[2:] == [("version_2", 2)]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    assert fit(2)[2:] == [("version_2", 2), ("version_3", 2)]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert fit(4)[2:] == [("version_2", 4), ("version_3", 2)]


# Of 1,437 digits 96 make 14 iterations an epoch, and the first run stops in the middle of its second.
@pytest.mark.parametrize("change", ["--data.batch_size=200", "--data.batch_size=8", "--data.val_size=700"])
@pytest.mark.parametrize("model", RUNS)
def test_another_batch_size_or_fewer_images_begin_a_new_epoch(experiment, capsys, tmp_path, model, change):
    options = [*RUNS[model], *SHORT, "--data.batch_size=96", "--trainer.val_check_interval=100"]
    assert experiment("fit", *options, "--trainer.max_steps=19") == 0
    capsys.readouterr()
    assert experiment("fit", *options, "--trainer.max_steps=24", "--ckpt_path=last", change) == 0
    assert "training goes on with a new epoch" in capsys.readouterr().out
    last = checkpoint(tmp_path / "runs" / model / "version_0" / "checkpoints" / "last.ckpt")
    size = int(change.rpartition("=")[2]) if "batch" in change else 96
    assert (last["global_step"], last["images_seen"], last["epoch"]) == (24, 19 * 96 + 5 * size, 1)
    # The order of the images is not that of the epoch before.
    (order,) = last["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert order["epoch"] == 2
