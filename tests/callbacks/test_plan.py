"""`fit --plan`: what a run will take is said, and nothing is left behind."""

import re

import pytest
import torch

from conftest import SHORT, SMALL
from gen_experiments.callbacks import plan as plans


def planned(experiment, capsys, *options):
    assert experiment("fit", *options, "--plan") == 0
    said = capsys.readouterr().out
    return said, said[said.index("measured: ") :]


def in_minutes(words):
    size = {"s": 1 / 60, "min": 1, "h": 60}
    found = words.split()
    return sum(int(number) * size[unit] for number, unit in zip(found[::2], found[1::2], strict=True))


@pytest.mark.parametrize("model", SMALL)
def test_a_plan_says_time_memory_and_disk_and_leaves_nothing(experiment, capsys, tmp_path, model):
    options = [*SMALL[model], *SHORT, "--trainer.max_steps=100000", "--trainer.val_check_interval=20"]
    said, plan = planned(experiment, capsys, *options)
    assert not list(tmp_path.iterdir())
    assert "everything was written to" not in said
    count, each = re.search(r"measured: (\d+) iterations of ([\d.]+) ms and two validations", plan).groups()
    # The first validation ends the probe: three iterations warm up before that.
    assert int(count) == 17
    times = r"time: (.*?), of 100,000 iterations \((.*?)\), 5000 validations \((.*?)\) and the start \((.*?)\)"
    whole, *parts = map(in_minutes, re.search(times, plan).groups())
    assert parts[0] == pytest.approx(float(each) * 100_000 / 60_000, rel=0.02, abs=1)
    assert whole == pytest.approx(sum(parts), abs=2)
    assert experiment("fit", *SMALL[model], *SHORT, "--trainer.max_steps=20", "--trainer.val_check_interval=20") == 0
    checkpoints = list((tmp_path / "runs" / model / "version_0" / "checkpoints").glob("*.ckpt"))
    size = sum(path.stat().st_size for path in {path.resolve() for path in checkpoints}) / 1e6
    found = re.search(r"disk: ([\d.]+) MB of checkpoints \((\d) files\); the decoded images, ([\d.]+) MB", plan)
    assert float(found[1]) == pytest.approx(size, abs=0.1)
    assert int(found[2]) == len(checkpoints)
    assert float(found[3]) == pytest.approx(1797 * 32 * 32 / 1e6, abs=0.05)
    held = torch.load(checkpoints[0], weights_only=True)
    parameters = held["state_dict"]
    trained = sum(
        value.numel()
        for name, value in parameters.items()
        if not name.startswith("ema.") and value.is_floating_point() and "running" not in name
    )
    if model == "gan":
        sent = float(re.search(r"8 GPUs: each sends ([\d.]+) MB of gradients an iteration", plan)[1])
        assert sent == pytest.approx(2 * 7 / 8 * 4 * trained / 1e6, abs=0.05)


def test_a_plan_of_a_run_without_validation_says_so(experiment, capsys):
    options = ["--trainer.max_steps=20", "--trainer.limit_val_batches=0"]
    _, plan = planned(experiment, capsys, *SMALL["vqvae"], *SHORT, *options)
    assert " ms and no validation\n" in plan
    assert re.search(r"validations \(0 s\) and the start", plan)


def test_a_run_that_ends_within_the_probe_is_said_to(experiment, capsys, tmp_path):
    assert experiment("fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=2", "--plan") == 0
    assert "the run has 2 iterations, too few for a plan" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_plan_of_a_run_without_end_counts_iterations(experiment, capsys):
    options = ["--trainer.max_steps=-1", "--trainer.max_epochs=-1", "--trainer.val_check_interval=20"]
    _, plan = planned(experiment, capsys, *SMALL["gan"], *SHORT, *options)
    assert re.search(r"time: without end; [\d,]+ iterations an hour without validations", plan)


@pytest.mark.parametrize(
    ("seconds", "digits", "said"),
    [(0.00171, 3, "1.71 ms"), (0.0992, 2, "99 ms"), (0.2241, 2, "224 ms"), (1.7123, 3, "1712 ms")],
)
def test_a_time_is_written_without_an_exponent(seconds, digits, said):
    assert plans._milliseconds(seconds, digits) == said
