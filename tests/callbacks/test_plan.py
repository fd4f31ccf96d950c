"""`fit --plan`: what a run will take is said, and nothing is left behind."""

import re
import resource

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from conftest import SHORT, SMALL
from gen_experiments.callbacks import plan as plans
from gen_experiments.data.datamodule import ImageDataModule
from small_models import quiet_trainer


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


class Timed(LightningModule):
    """Four megabytes of weights; 2 s an iteration, 10 s a validation, and 30 s more before the first one's batch."""

    def __init__(self, patch):
        super().__init__()
        self.weight, self.seconds, self.validated = nn.Parameter(torch.ones(1_000_000)), 1000.0, False
        patch.setattr(plans.time, "monotonic", lambda: self.seconds)

    def training_step(self, batch, batch_idx):
        self.seconds += 2
        return self.weight.mean()

    def on_validation_start(self):
        self.seconds += 0 if self.validated else 30
        self.validated = True

    def validation_step(self, batch, batch_idx):
        self.seconds += 10

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def probed(patch, tmp_path, seconds, steps=1000, **options):
    """The plan of a program that began 100 s before its first iteration, with 22 iterations an epoch."""
    plan, model = plans.Plan(900.0, seconds), Timed(patch)
    trainer = quiet_trainer(plan, steps, tmp_path, num_sanity_val_steps=0, **options)
    trainer.fit(model, datamodule=ImageDataModule(size=8, batch_size=64))
    return plan.lines(trainer, model)


@pytest.mark.parametrize(
    ("seconds", "options", "measured", "time"),
    [
        # 1000 / 6 validations, the first with 30 s more: 2000 + 1700 + 100 s.
        (
            1000,
            {"val_check_interval": 6, "check_val_every_n_epoch": None},
            "3 iterations of 2000 ms and two validations",
            "63 min, of 1,000 iterations (33 min), 167 validations (28 min) and the start (100 s)",
        ),
        # After 6, 12 and 18 iterations of each of 45 epochs, after 6 of the last one, and at the end.
        (
            1000,
            {"val_check_interval": 6},
            "3 iterations of 2000 ms and two validations",
            "58 min, of 1,000 iterations (33 min), 137 validations (23 min) and the start (100 s)",
        ),
        # At the end of every second epoch, and of the run; its validation takes longer than the probe.
        (
            35,
            {"check_val_every_n_epoch": 2},
            "18 iterations of 2000 ms and one validation",
            "39 min, of 1,000 iterations (33 min), 23 validations (4 min) and the start (100 s)",
        ),
    ],
)
def test_a_plan_by_hand(tmp_path, monkeypatch, cache, seconds, options, measured, time):
    lines = probed(monkeypatch, tmp_path, seconds, **options)
    assert lines[0] == f"measured: {measured}"
    assert lines[1] == f"time: {time}".replace("100 s", "2 min")
    assert lines[2] == "a validation: 10 s, the first one 30 s more"
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    assert float(lines[3].split()[2]) == pytest.approx(held, abs=0.05)
    # 2 · 7 / 8 and 2 · 63 / 64 of 4 MB, by the speeds that the makers state: 450, 32, 25 and 3.1 GB/s.
    times = ("0.016 ms by NVLink 4, 0.22 ms by PCIe 4 x16, 0.28 ms by InfiniBand at 200 Gb/s", "2.3 ms by Ethernet")
    assert lines[5].startswith(f"on paper, 8 GPUs: each sends 7.0 MB of gradients an iteration, {', '.join(times)}")
    assert lines[6].startswith("on paper, 64 GPUs: each sends 7.9 MB of gradients an iteration, ")


def test_a_probe_ends_after_its_seconds_or_its_iterations(tmp_path, monkeypatch, cache):
    assert "measured: 4 iterations" in probed(monkeypatch, tmp_path, 7)[0]
    monkeypatch.setattr(plans, "MAX_ITERATIONS", 5)
    lines = probed(monkeypatch, tmp_path, 1000, steps=-1, max_epochs=-1)
    assert "measured: 5 iterations" in lines[0]
    assert lines[1] == "time: without end; 1,800 iterations an hour without validations"
