"""The prior over the codes of a VQ-VAE, through the command line."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import CONFIGS, SHORT, SMALL, SMALL_PRIOR
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.images import to_float, to_uint8
from gen_experiments.models.prior import CodePrior
from gen_experiments.priors.base import Draws
from pictures_on_disk import write_pictures
from run_files import checkpoint, equal, last
from test_devices import assert_trained_as_one, reported, train

EMA = {"class_path": "EMAQuantizer", "init_args": {"num_codes": 16, "dim": 8}}


@pytest.fixture
def options(checkpoints):
    return [*SMALL_PRIOR, *SHORT, f"--model.vqvae={checkpoints['vqvae']}"]


@pytest.fixture
def model(checkpoints):
    return load_model(checkpoints["prior"], CodePrior, "test")


def logged(path, name):
    with open(path, newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_an_autoregressive_prior_trains_and_is_scored(experiment, tmp_path, checkpoints, capsys):
    chosen = [f"--config={CONFIGS / 'prior.yaml'}", "--model.prior=AutoregressivePrior", "--model.prior.width=16"]
    small = ["--model.prior.depth=1", "--model.prior.heads=2", f"--model.vqvae={checkpoints['vqvae']}"]
    assert experiment("fit", *chosen, *small, *SHORT, "--trainer.max_steps=2", "--evaluation.samples=40") == 0
    metrics = tmp_path / "runs" / "prior" / "version_0" / "metrics.csv"
    # An untrained prior over 32 codes needs about five bits a code.
    assert logged(metrics, "val/nll")[0] == pytest.approx(5, abs=0.6)
    assert len(logged(metrics, "val/fid")) == 1
    assert logged(metrics, "train/loss")[-1] == pytest.approx(5, abs=0.6)
    printed = capsys.readouterr().out
    assert "train/loss (bits per code)" in printed
    assert "val/nll (bits per code)" in printed


def test_the_first_batch_is_read_in_random_orders(experiment, tmp_path, options):
    # The annealing ends with the 16 images of the first batch, before which none were seen.
    short = ["--model.prior=AutoregressivePrior", "--model.lr_schedule=null", "--trainer.max_steps=1"]
    short += ["--trainer.val_check_interval=1"]
    orders = {"raster": "null", "random": "[0, 16]"}
    held = {}
    for name, annealing in orders.items():
        chosen = [f"--model.prior.order_annealing={annealing}", f"--run.name={name}", "--evaluation.extractor=null"]
        assert experiment("fit", *options, *short, *chosen) == 0
        held[name] = checkpoint(last(tmp_path, name))["state_dict"]
    assert not equal(held["random"], held["raster"])


def test_a_masked_prior_is_scored_and_drawn(checkpoints):
    folder = checkpoints["prior"].parent.parent
    assert logged(folder / "metrics.csv", "val/nll")[0] == pytest.approx(5, abs=0.6)
    assert len(logged(folder / "metrics.csv", "val/fid")) == 2
    assert len(list((folder / "images").glob("samples-*.png"))) == 2


def test_the_checkpoint_stands_alone(experiment, checkpoints):
    for out in ("a.png", "b.png"):
        assert experiment("sample", checkpoints["prior"], "--num=4", f"--out={out}") == 0
    assert np.array_equal(Image.open("a.png"), Image.open("b.png"))


def test_truncation_makes_samples_more_alike(model):
    def agreement(truncation):
        draws = Draws([torch.Generator().manual_seed(seed) for seed in range(40)])
        codes = model.draw(torch.zeros(40, dtype=torch.int64), draws, truncation=truncation)
        return (codes == codes[:1]).float().mean().item()

    assert agreement(1.0) < 0.2
    assert agreement(1e-3) > 0.5
    assert agreement(1.0) < 0.2


def test_the_vqvae_stays_as_it_is(checkpoints):
    before, after = checkpoint(checkpoints["vqvae"])["state_dict"], checkpoint(checkpoints["prior"])["state_dict"]
    assert all(torch.equal(value, after[f"vqvae.{name}"]) for name, value in before.items())


def test_images_are_encoded_once_and_mirrored_ones_too(experiment, monkeypatch, checkpoints, options, model):
    cache = checkpoints["prior"].parents[3] / "cache"
    files = {path: path.stat().st_mtime_ns for path in (cache / "codes").iterdir()}
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(cache))
    assert experiment("fit", *options, "--data.flip=true", "--trainer.max_steps=1", "--evaluation.samples=20") == 0
    assert {path: path.stat().st_mtime_ns for path in (cache / "codes").iterdir()} == files
    data = ImageDataModule()
    images = {name: to_float(data.split(name).read(np.arange(len(data.split(name))))) for name in ("train", "val")}
    with torch.no_grad():
        wanted = [model.encode(part) for part in (images["train"], images["train"].flip(-1), images["val"])]
    stored = [torch.from_numpy(np.load(path)).long() for path in files]
    assert len(stored) == 3
    for expected in wanted:
        assert sum(codes.shape == expected.shape and torch.equal(codes, expected) for codes in stored) == 1


def test_validate_repeats_the_numbers_of_the_run(experiment, tmp_path, options, checkpoints):
    printed = logged(checkpoints["prior"].parent.parent / "metrics.csv", "val/nll")[-1]
    assert experiment("validate", *options, f"--ckpt_path={checkpoints['prior']}") == 0
    (again,) = logged(checkpoints["prior"].parent.parent / "scores.csv", "val/nll")
    assert again == pytest.approx(printed, rel=1e-6)


def test_the_likelihood_does_not_depend_on_the_batches(experiment, options, checkpoints):
    scores = checkpoints["prior"].parent.parent / "scores.csv"
    for size in (250, 7):
        chosen = [f"--data.eval_batch_size={size}", "--evaluation.extractor=null"]
        assert experiment("validate", *options, *chosen, f"--ckpt_path={checkpoints['prior']}") == 0
    first, second = logged(scores, "val/nll")[-2:]
    assert second == pytest.approx(first, rel=1e-6)


def test_a_resumed_run_ends_with_the_same_weights(experiment, tmp_path, options):
    options = [*options, "--data.batch_size=96", "--data.flip=true", "--trainer.val_check_interval=4"]
    options += ["--evaluation.samples=10", "--evaluation.batch_size=10", "--model.lr_schedule.images=2000"]
    assert experiment("fit", *options, "--run.name=whole", "--trainer.max_steps=8") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=4") == 0
    assert experiment("fit", *options, "--run.name=part", "--trainer.max_steps=8", "--ckpt_path=last") == 0
    unbroken, resumed = checkpoint(last(tmp_path, "whole")), checkpoint(last(tmp_path, "part"))
    for key in ("state_dict", "optimizer_states", "images_seen"):
        assert equal(resumed[key], unbroken[key]), key


LEVELS = {
    "residual": ({"quantizer": EMA, "depth": 2}, "ResidualQuantizer", ((8, 8), (8, 8))),
    "hierarchical": ({"top": EMA, "bottom": EMA}, "HierarchicalQuantizer", ((4, 4), (8, 8))),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_codes_of_several_levels(experiment, tmp_path, kind):
    arguments, name, grids = LEVELS[kind]
    quantizer = json.dumps({"class_path": name, "init_args": arguments})
    networks = [option for option in SMALL["vqvae"] if "quantizer" not in option]
    short = [*SHORT, "--trainer.max_steps=2", "--evaluation.samples=10", "--evaluation.batch_size=10"]
    assert experiment("fit", *networks, *short, f"--model.quantizer={quantizer}") == 0
    tokenizer = last(tmp_path, "vqvae")
    assert experiment("fit", *SMALL_PRIOR, *short, f"--model.vqvae={tokenizer}") == 0
    model = load_model(last(tmp_path, "prior"), CodePrior, "test")
    assert model.prior.codes.grids == grids
    images = torch.zeros(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.decode(model.encode(images)), model.vqvae.reconstruct(images))


# Of 251 images two processes have unequal shares of the last batch.
@pytest.mark.long
def test_two_processes_train_and_are_scored_as_one(tmp_path, options):
    options = [*options, "--data.val_size=251"]
    (alone,) = train([*options, "--data.eval_batch_size=250"], "alone", tmp_path, 1)
    assert_trained_as_one(alone, train([*options, "--data.eval_batch_size=31"], "devices", tmp_path, 1))
    expected, found = (reported(tmp_path / "runs" / "prior" / f"version_{number}") for number in range(2))
    assert {"train/loss", "val/nll", "val/fid"} <= expected.keys()
    assert found == pytest.approx(expected, rel=1e-4)


def test_labels_choose_what_is_made(model):
    assert model.num_classes == 10
    with torch.no_grad():
        for parameter in model.averaged.parameters():  # an untrained prior hardly listens to its label
            parameter.mul_(3)
        zeros, ones = (model.sample(0, 8, labels=torch.full((8,), label)) for label in (0, 1))
        assert torch.equal(zeros[3:], model.sample(3, 5, labels=torch.zeros(5, dtype=torch.long)))
    assert not torch.equal(zeros, ones)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda paths: f"--model.vqvae={paths['gan']}", "holds a GAN, which cannot turn images into codes"),
        (lambda paths: "--model.vqvae=nowhere.ckpt", "there is no checkpoint at nowhere.ckpt"),
        (lambda paths: "--data.size=16", "set data.source and data.size to those of the VQ-VAE"),
        (lambda paths: "--model.ema_half_life=-1", "ema_half_life must be >= 0"),
    ],
)
def test_mistakes_get_one_line(experiment, capsys, options, checkpoints, change, message):
    assert experiment("fit", *options, change(checkpoints)) not in (0, None)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert message in said[0]


def test_validation_images_without_labels_are_refused_before_the_first_step(experiment, tmp_path, capsys, options):
    for folder in ("train/a", "train/b", "val"):
        write_pictures(tmp_path / "pictures" / folder, 16)
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'pictures'}", "--data.source.channels=1"]
    assert experiment("fit", *options, *data, "--evaluation.extractor=null") == 1
    assert "the val images have no labels" in capsys.readouterr().err
    assert not list((tmp_path / "runs").rglob("metrics.csv"))


def test_a_checkpoint_that_names_a_foreign_class_inside_the_vqvae_is_refused(experiment, checkpoints, capsys):
    held = checkpoint(checkpoints["prior"])
    described = json.loads(held["hyper_parameters"]["vqvae"]) | {"_class_path": "os.path.Model"}
    held["hyper_parameters"]["vqvae"] = json.dumps(described)
    torch.save(held, "changed.ckpt")
    assert experiment("sample", "changed.ckpt") not in (0, None)
    assert "names os.path.Model" in capsys.readouterr().err


def test_the_picture_of_samples_has_a_column_for_each_class(checkpoints, model):
    picture = sorted((checkpoints["prior"].parent.parent / "images").glob("samples-*.png"))[-1]
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape == (6 * 34 + 2, 10 * 34 + 2)
    with torch.no_grad():
        expected = to_uint8(model.sample(0, 60, labels=torch.arange(10).repeat(6)))
    difference = pixels[36:68, 2 + 34 * 3 : 34 + 34 * 3].astype(int) - expected[13, 0].numpy()
    assert np.abs(difference).max() <= 1
