"""The folder of an exported model stands wherever a checkpoint does."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import gen_experiments
from conftest import SHORT, SMALL
from gen_experiments.checkpoints.loading import read_checkpoint, read_description
from gen_experiments.storage import file_sha256


@pytest.fixture(scope="module")
def folders(checkpoints, tmp_path_factory):
    """The weights and configuration of each model."""
    from gen_experiments.__main__ import main

    folder = tmp_path_factory.mktemp("exported")
    for model, path in checkpoints.items():
        assert main(["export", str(path), "--formats=[safetensors]", f"--out={folder / model}"]) == 0
    return {model: folder / model for model in checkpoints}


@pytest.mark.parametrize("model", ["gan", "vqvae", "prior"])
def test_what_is_loaded_is_the_model(checkpoints, folders, model):
    ours, theirs = gen_experiments.load(folders[model]), gen_experiments.load(checkpoints[model])
    assert type(ours) is type(theirs)
    assert not ours.training
    assert (ours.images_seen, ours.image) == (theirs.images_seen, theirs.image)
    state = ours.state_dict()
    assert state.keys() == theirs.state_dict().keys()
    for name, weight in theirs.state_dict().items():
        assert weight.dtype == state[name].dtype
        assert torch.equal(weight, state[name]), name
    kept = dict(read_checkpoint(checkpoints[model])["hyper_parameters"])
    kept.pop("_instantiator", None)
    # A prior over its codes keeps the description.
    assert json.loads(read_description(folders[model])) == json.loads(json.dumps(kept))


@pytest.mark.parametrize("model", ["gan", "prior"])
def test_samples_are_the_same_to_the_last_pixel(experiment, checkpoints, folders, model):
    for name, path in (("ours", folders[model]), ("theirs", checkpoints[model])):
        assert experiment("sample", path, "--num=4", f"--out={name}.png") == 0
    assert np.array_equal(np.asarray(Image.open("ours.png")), np.asarray(Image.open("theirs.png")))


def test_it_is_scored_as_the_checkpoint_is(experiment, checkpoints, folders, tmp_path):
    few = ["--trainer.enable_progress_bar=false", "--evaluation.samples=40"]
    rows = []
    for path, place in ((folders["gan"], folders["gan"]), (checkpoints["gan"], checkpoints["gan"].parent.parent)):
        assert experiment("validate", *SMALL["gan"], *few, f"--ckpt_path={path}") == 0
        rows.append(list(csv.DictReader((place / "scores.csv").open()))[-1])
    assert rows[0]["val/fid"] == rows[1]["val/fid"]
    assert rows[0]["images_seen"] == rows[1]["images_seen"] == "32"


def test_it_is_evaluated_without_its_run(experiment, folders, tmp_path, refused):
    config, moved = tmp_path / "config.yaml", tmp_path / "moved" / "gan"
    config.write_text("data: {class_path: ImageDataModule, init_args: {source: Digits, size: 32}}\n")
    shutil.copytree(folders["gan"], moved)
    # The configuration that lies where that of a checkpoint's run would lie is another's.
    assert "does not say what data was trained on" in refused("memorisation", moved, "--num=20")
    options = ["--num=20", "--metrics=[fid]", "--extractor=DigitsFeatures", "--json=record.json"]
    assert experiment("evaluate", folders["gan"], f"{config}:test", *options) == 0
    held = json.loads((tmp_path / "record.json").read_text())["protocol"]["evaluated"]
    assert held["path"] == str(folders["gan"])
    # What it is compared with says by which features.
    with config.open("a") as file:
        file.write("evaluation: {extractor: DigitsFeatures}\n")
    assert experiment("evaluate", folders["gan"], f"{config}:test", *options[:2], "--json=told.json") == 0
    assert (
        json.loads((tmp_path / "told.json").read_text())["scores"]
        == json.loads((tmp_path / "record.json").read_text())["scores"]
    )
    assert held["sha256"] == file_sha256(folders["gan"] / "model.safetensors")


def test_training_does_not_go_on_from_it(refused, folders):
    said = refused("fit", *SMALL["gan"], *SHORT, f"--ckpt_path={folders['gan']}")
    assert "is an export, without the optimizers' state" in said
