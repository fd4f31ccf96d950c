"""A run that is stopped and resumed ends as one that was not, bit for bit."""

import csv

import pytest
import torch

from conftest import SHORT, SMALL

RUNS = {
    "vqvae": [*SMALL["vqvae"], "--model.quantizer.revive_below=0.5"],
    "gan": [*SMALL["gan"], "--model.n_critic=2"],
}


def checkpoint(path):
    return torch.load(path, weights_only=True)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


# 1,437 training digits in batches of 96 make 14 iterations an epoch: both stops lie in the middle of one.
@pytest.mark.parametrize("stop", [7, 19])
@pytest.mark.parametrize("model", RUNS)
def test_a_resumed_run_ends_with_the_same_weights(experiment, tmp_path, model, stop):
    options = [*RUNS[model], *SHORT, "--data.batch_size=96", "--data.flip=true", "--trainer.val_check_interval=38"]
    folder = tmp_path / "runs"
    whole = [*options, "--run.name=whole", f"--trainer.max_steps={2 * stop}"]
    assert experiment("fit", *whole) == 0
    part = [*options, "--run.name=part"]
    assert experiment("fit", *part, f"--trainer.max_steps={stop}") == 0
    assert experiment("fit", *part, f"--trainer.max_steps={2 * stop}", "--ckpt_path=last") == 0
    unbroken = checkpoint(folder / "whole" / "version_0" / "checkpoints" / "last.ckpt")
    resumed = checkpoint(folder / "part" / "version_1" / "checkpoints" / "last.ckpt")
    assert resumed["global_step"] == unbroken["global_step"] == 2 * stop
    for key in ("state_dict", "optimizer_states", "images_seen", "epoch"):
        assert equal(resumed[key], unbroken[key]), key


# Of 1,437 training digits 400 make three iterations an epoch.
@pytest.mark.parametrize(
    ("end", "steps"),
    [
        (["--trainer.max_steps=5"], 5),
        (["--trainer.max_steps=4"], 4),
        (["--trainer.max_steps=-1", "--trainer.max_epochs=1", "--data.batch_size=400"], 3),
    ],
)
@pytest.mark.parametrize("model", RUNS)
def test_the_last_iteration_is_scored_and_saved_wherever_it_falls(experiment, tmp_path, model, end, steps):
    assert experiment("fit", *RUNS[model], *SHORT, *end) == 0
    folder = tmp_path / "runs" / model / "version_0"
    assert checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == steps
    score = {"vqvae": "val/rfid", "gan": "val/fid"}[model]
    with (folder / "metrics.csv").open() as file:
        scored = [int(row["step"]) + 1 for row in csv.DictReader(file) if row[score]]
    assert scored == sorted({*range(2, steps + 1, 2), steps})


def test_resuming_obeys_an_override(experiment, tmp_path):
    options = [*RUNS["vqvae"], *SHORT, "--trainer.max_steps=2"]
    assert experiment("fit", *options) == 0
    last = tmp_path / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt"
    override = ["--trainer.max_steps=4", "--model.optimizer.lr=0.0", f"--ckpt_path={last}"]
    assert experiment("fit", *RUNS["vqvae"], *SHORT, *override) == 0
    before = checkpoint(last)["state_dict"]
    after = checkpoint(tmp_path / "runs" / "vqvae" / "version_1" / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith(("encoder", "decoder")))


def logged(folder, prefix):
    """The last value of every metric that starts with `prefix` in a run's metrics.csv."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: row[name] for row in rows for name in row if name.startswith(prefix) and row[name]}


@pytest.mark.parametrize("model", RUNS)
def test_validate_and_test_repeat_the_numbers_of_training(experiment, tmp_path, model):
    runs = tmp_path / "runs" / model
    assert experiment("fit", *RUNS[model], *SHORT) == 0
    for version, command in enumerate(("validate", "test", "test"), 1):
        assert experiment(command, *RUNS[model], "--ckpt_path=last") == 0
        assert (runs / f"version_{version}" / "metrics.csv").is_file()
    trained = logged(runs / "version_0", "val/")
    assert trained == logged(runs / "version_1", "val/")
    tested = logged(runs / "version_2", "test/")
    assert tested.keys() == {name.replace("val/", "test/") for name in trained}
    assert tested == logged(runs / "version_3", "test/")
