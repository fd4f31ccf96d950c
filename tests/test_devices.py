"""Two real processes against one: the same mathematics, and ranks that agree to the last bit."""

import csv
import os
import subprocess

import numpy as np
import pytest
import torch

from conftest import CONFIGS, SHORT, SMALL
from pictures_on_disk import write_png16
from processes import PYTHONPATH, TORCHRUN, finished

MODELS = {
    "vqvae": [*SMALL["vqvae"], "--data.val_size=251"],  # of which two processes have unequal shares
    "gan": SMALL["gan"],  # with batch norm, also under R1
}
NARROW = ["--model.generator.batch_norm=false", "--model.generator.width=8", "--model.discriminator.width=8"]
# One recipe for each way to a step: gradients of penalties, several critics, micro-batches, spectral norm with drawn
# labels, pairs.
RECIPES = {
    "plain": [],
    "mnist_wgan_gp": [],
    # Batch norm would normalise micro-batches, which are of other images.
    "wgan_gp": ["--model.accumulate=2", *NARROW],
    "mnist_cgan_projection": [],
    "r3gan": ["--model.generator.width=16", "--model.discriminator.width=16"],
}
LAUNCHERS = {"alone": [], "devices": ["--trainer.devices=2"], "torchrun": ["--trainer.devices=2"]}


def fit(options, launcher, folder, steps):
    """Runs a real `fit` with these options, and returns how it ended."""
    arguments = [
        "fit",
        *map(str, options),
        *SHORT,
        f"--trainer.max_steps={steps}",
        f"--trainer.val_check_interval={steps}",
        "--trainer.accelerator=cpu",
        *LAUNCHERS[launcher],
    ]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"}
    if launcher != "torchrun":
        return finished(folder, *arguments, environment=environment)
    return subprocess.run(
        [*TORCHRUN, "-m", "gen_experiments", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def train(options, launcher, folder, steps):
    """Returns the final state of each process of a `fit` in float64, where only quantizers compute in float32.

    A gradient near 0 has the sign of its rounding errors, which are others in the sums of two ranks, and Adam's first
    step is as long as the learning rate for whatever gradient: in float32 one weight of 200,000 differed by 2e-5.
    """
    states = folder / launcher
    callback = f'{{"class_path": "rank_states.SaveRankState", "init_args": {{"folder": "{states}"}}}}'
    options = [*options, "--trainer.precision=64-true", f"--trainer.callbacks+={callback}"]
    done = fit(options, launcher, folder, steps)
    assert done.returncode == 0, done.stderr[-3000:]
    # Lightning would advise what is done already, once for each score.
    assert "sync_dist" not in done.stderr
    return [torch.load(path, weights_only=True) for path in sorted(states.glob("rank-*.pt"))]


def reported(folder):
    """Every number of a run's last iteration that was logged, and of its last validation, by name."""
    with open(folder / "metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: float(row[name]) for row in rows for name in row if name.startswith(("train/", "val/")) and row[name]}


def assert_trained_as_one(alone, ranks):
    """Two ranks have the same state to the last bit, and up to rounding that of a process alone."""
    first, second = ranks
    for name, expected in alone.items():
        assert torch.equal(first[name], second[name]), f"{name} differs between ranks"
        torch.testing.assert_close(first[name], expected, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(
    ("model", "launcher"),
    [
        ("vqvae", "devices"),
        pytest.param("vqvae", "torchrun", marks=pytest.mark.long),
        pytest.param("gan", "devices", marks=pytest.mark.long),
        pytest.param("gan", "torchrun", marks=pytest.mark.long),
    ],
)
def test_two_processes_train_as_one(model, launcher, tmp_path):
    (alone,) = train(MODELS[model], "alone", tmp_path, 1)
    assert_trained_as_one(alone, train(MODELS[model], launcher, tmp_path, 1))
    expected, found = (reported(tmp_path / "runs" / model / f"version_{number}") for number in range(2))
    assert expected
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param("plain", marks=pytest.mark.long),
        pytest.param("mnist_wgan_gp", marks=pytest.mark.long),
        pytest.param("wgan_gp", marks=pytest.mark.long),
        pytest.param("mnist_cgan_projection", marks=pytest.mark.long),
        pytest.param("r3gan", marks=pytest.mark.long),
    ],
)
def test_two_processes_take_a_recipes_first_step_as_one(recipe, tmp_path):
    path = CONFIGS / "experiments" / "gan" / f"{recipe}.yaml"
    options = [f"--config={CONFIGS / 'gan.yaml'}", f"--config={path}", *RECIPES[recipe], "--evaluation.samples=20"]
    (alone,) = train(options, "alone", tmp_path, 1)
    assert_trained_as_one(alone, train(options, "devices", tmp_path, 1))


@pytest.mark.long
def test_two_processes_train_as_one_on_pictures_of_16_bits_with_alpha(tmp_path):
    (tmp_path / "in").mkdir()
    source = np.random.default_rng(0)
    for number in range(40):
        write_png16(tmp_path / "in" / f"{number:02d}.png", source.integers(0, 65536, (20, 30, 4), dtype=np.uint16))
    options = [*SMALL["vqvae"], "--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}"]
    options += ["--data.source.channels=4", "--data.size=[16, 24]", "--data.depth=16", "--data.val_size=5"]
    options += ["--data.crop=random", "--data.crop_scale=[0.5, 1]", "--evaluation.extractor=null"]
    (alone,) = train(options, "alone", tmp_path, 3)
    assert_trained_as_one(alone, train(options, "devices", tmp_path, 3))
    expected, found = (reported(tmp_path / "runs" / "vqvae" / f"version_{number}") for number in range(2))
    assert expected
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.long
def test_fewer_validation_images_than_processes_are_refused_before_the_first_step(tmp_path):
    done = fit([*SMALL["vqvae"], "--data.val_size=1"], "devices", tmp_path, 1)
    assert done.returncode == 1
    assert "error: 2 devices cannot share 1 val images in batches of 250: set fewer devices" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.long
def test_what_two_processes_warn_of_is_said_once(tmp_path):
    options = [*SMALL["vqvae"], "--model.quantizer.num_codes=4096", "--model.lr_schedule.images=16"]
    done = fit([*options, "--trainer.precision=16-true", "--evaluation.extractor=null"], "devices", tmp_path, 2)
    assert done.returncode == 0, done.stderr[-3000:]
    for warning in ("lr_schedule reaches 0", "4096 codes start from", "is 0 in float16"):
        assert done.stderr.count(warning) == 1, warning


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
def test_ranks_stay_bit_identical(model, tmp_path):
    first, second = train(MODELS[model], "devices", tmp_path, 6)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (tmp_path / "runs" / model / "version_0" / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "runs" / model / "version_1").exists()
