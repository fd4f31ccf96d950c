"""Every YAML that is shipped runs."""

import pytest
import yaml

from conftest import CONFIGS, SMALL
from pictures_on_disk import write_cifar10, write_mnist, write_parquet, write_pictures, write_shards
from recipes import BASES, FEW, RECIPES, described, small


def ids(path):
    return "/".join(path.parts[-2:])


# The prior's base is run in tests/models/test_prior.py: it needs a trained VQ-VAE.
@pytest.mark.parametrize("name", sorted({*BASES.values()} - {"prior.yaml"}))
def test_a_base_config_trains(experiment, tmp_path, name):
    assert experiment("fit", "--config", CONFIGS / name, *FEW) == 0
    folder = tmp_path / "runs" / name.removesuffix(".yaml") / "version_0"
    assert {"checkpoints", "config.yaml", "images", "metrics.csv"} <= {path.name for path in folder.iterdir()}
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list((folder / "images").glob("*.png"))


def chosen(paths, every_day):
    """The files of a folder as parameters: some are tried every day, all in the long tests."""
    return [
        pytest.param(path, id=ids(path), marks=[] if path.stem in every_day else pytest.mark.long)
        for path in sorted(paths)
    ]


# The long tests train all of them and export the result: test_recipes_export.py.
EVERY_DAY = {"sngan", "r3gan", "vqgan_mnist", "residual_2x512", "cyclegan_digits", "masked_f16"}


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem in EVERY_DAY], ids=ids)
def test_an_experiment_trains(experiment, tmp_path, checkpoints, backbone_weights, path):
    assert experiment("fit", *small(path, FEW, checkpoints, backbone_weights)) == 0
    run = tmp_path / "runs" / described(path)["run"]["name"]
    assert (run / "version_0" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("path", sorted((CONFIGS / "trainer").glob("*.yaml")), ids=ids)
def test_a_trainer_config_trains_where_there_is_no_gpu(experiment, path):
    here = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1"]
    assert experiment("fit", *SMALL["gan"], "--config", path, *FEW, *here) == 0


@pytest.mark.parametrize("model", ["vqvae", pytest.param("gan", marks=pytest.mark.long)])
@pytest.mark.parametrize("path", chosen((CONFIGS / "data").glob("*.yaml"), {"digits", "mnist", "folder", "pairs"}))
def test_a_data_config_goes_over_any_model(experiment, tmp_path, monkeypatch, inception_weights, path, model):
    root = tmp_path / "data"
    write_mnist(root, train=60, test=20)
    write_mnist(root, train=60, test=20, name="FashionMNIST")
    write_cifar10(root, monkeypatch)
    write_pictures(root / "pictures", 40, size=(70, 80))
    options = [*SMALL[model], "--config", path, *FEW, "--data.val_size=4", "--trainer.val_check_interval=2"]
    options += ["--evaluation.samples=4", "--evaluation.reference=val"]  # a VQ-VAE draws no samples
    files = {"train": sorted((root / "pictures").iterdir())}
    if path.stem == "folder":
        options.append(f"--data.source.root={root / 'pictures'}")
    if path.stem == "huggingface":
        write_parquet(root / "parquet", files, label=lambda file: "ab"[int(file.stem) % 2])
        options.append(f"--data.source.path={root / 'parquet'}")
    if path.stem == "shards":
        write_shards(root / "shards", files, lambda file: int(file.stem) % 2)
        options.append(f"--data.source.root={root / 'shards'}")
    if path.stem == "pairs":
        options += [f"--data.source.{side}={root / 'pictures'}" for side in "ab"]
    if yaml.safe_load(path.read_text())["evaluation"]["extractor"]["class_path"] == "InceptionFeatures":
        options.append(f"--evaluation.extractor.weights={inception_weights}")
    assert experiment("fit", *options) == 0
