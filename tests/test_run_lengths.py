"""How long a run lasts, and that its last iteration is scored and saved."""

import csv

import pytest

from conftest import SHORT, SMALL
from resumable_runs import RUNS, table
from run_files import checkpoint

# Of 240 training digits 64 make three iterations an epoch.
FEW = ["--data.val_size=60", "--data.test_size=1497", "--data.batch_size=64"]


@pytest.mark.parametrize(
    ("end", "steps"),
    [
        (["--trainer.max_steps=5"], 5),
        (["--trainer.max_steps=4"], 4),
        (["--trainer.max_steps=-1", "--trainer.max_epochs=1", *FEW], 3),
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


def test_every_run_ends_with_a_checkpoint_and_its_losses(experiment, tmp_path, capsys):
    ends = {
        "no_validation": ["--trainer.limit_val_batches=0"],
        "epochs": ["--trainer.limit_val_batches=0", "--trainer.max_steps=-1", "--trainer.max_epochs=1"],
        "time": ["--trainer.limit_val_batches=0", "--trainer.max_steps=-1", "--trainer.max_time=00:00:00:01"],
    }
    for name, end in ends.items():
        options = [*RUNS["vqvae"], *SHORT, *FEW, f"--run.name={name}", "--trainer.log_every_n_steps=1000000"]
        assert experiment("fit", *options, *end) == 0
        assert ("train/loss" in capsys.readouterr().out) == (name != "time")  # whose last iteration nobody foresees
        last = checkpoint(tmp_path / "runs" / name / "version_0" / "checkpoints" / "last.ckpt")
        assert last["global_step"] == {"no_validation": 4, "epochs": 3}.get(name, last["global_step"])


def test_a_start_that_fails_and_a_trial_leave_no_folder(experiment, capsys, tmp_path):
    assert experiment("fit", *RUNS["vqvae"], *SHORT, "--trainer.fast_dev_run=true") == 0
    assert capsys.readouterr().out.endswith("\nthis was a trial (trainer.fast_dev_run), of which nothing is kept\n")
    assert experiment("fit", *RUNS["vqvae"], *SHORT, "--data.source=ImageFolder", "--data.source.root=nowhere") == 1
    assert experiment("fit", *RUNS["gan"], *SHORT, "--trainer.gradient_clip_val=1.0") == 1
    assert [str(path) for path in tmp_path.rglob("version_*")] == []


def test_a_schedule_without_a_length_lasts_as_long_as_the_run(experiment, tmp_path):
    given = ["--data.batch_size=16", "--trainer.max_steps=8"]
    options = [*SMALL["vqvae"], *SHORT]
    assert experiment("fit", *options, *given, "--run.name=without") == 0
    assert experiment("fit", *options, *given, "--run.name=with", "--model.lr_schedule.images=128") == 0
    with pytest.warns(UserWarning, match="reaches 0 before the 128 images of this run"):
        experiment("fit", *options, *given, "--run.name=short", "--model.lr_schedule.images=64")
    factors = [
        [
            float(row["train/lr_factor"])
            for row in table(tmp_path / "runs" / name / "version_0" / "metrics.csv")
            if row["train/lr_factor"]
        ]
        for name in ("without", "with")
    ]
    assert factors[0] == factors[1]
    # The fifth of eight batches is taken at half of the run, the first at its begin.
    assert (factors[0][0], factors[0][4]) == (1, pytest.approx(0.5))
    endless = ["--trainer.max_steps=-1", "--trainer.max_time=00:00:01:00"]
    assert experiment("fit", *options, *endless) == 1
