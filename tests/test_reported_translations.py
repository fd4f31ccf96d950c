"""What a validation of a model that translates reports, computed anew from its checkpoint and the files of its run."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from conftest import CONFIGS, SHORT
from gen_experiments import load
from gen_experiments.data.pairs import outlines
from gen_experiments.images import to_float, to_uint8
from gen_experiments.metrics.features import DigitsFeatures
from independent import column, digits, frechet, held_out, psnr, ssim, tiles
from pictures_on_disk import write_pictures

SMALL = (
    f"--config={CONFIGS / 'translation.yaml'}",
    "--model.generator.width=4",
    "--model.discriminator.width=4",
    "--data.size=16",
)


@pytest.fixture
def captions(monkeypatch):
    """The captions of the pictures that are logged."""
    found = []
    monkeypatch.setattr("gen_experiments.callbacks.pictures._log_image", lambda *parts: found.append(parts[-1]))
    return found


@pytest.fixture
def trained(experiment, captions, tmp_path):
    """Sources, translations and truth of the validation digits, and the run's folder."""
    assert experiment("fit", *SMALL, *SHORT) == 0
    folder = tmp_path / "runs" / "translation" / "version_0"
    truth = digits(16)[0][held_out(1797)["val"]]
    sources = torch.from_numpy(outlines(truth.numpy()))
    with torch.inference_mode():
        made = to_uint8(load(folder / "checkpoints" / "last.ckpt").translate(to_float(sources)))
    return sources, made, truth, folder


def test_scores_are_those_of_the_translations(trained):
    sources, made, truth, folder = trained
    with torch.inference_mode():
        features = [DigitsFeatures()(images).numpy() for images in (made, truth)]
    expected = {
        "psnr": psnr(made, truth).mean(),
        "ssim": ssim(made, truth).mean(),
        "l1": np.abs(made.numpy().astype(float) - truth.numpy()).mean() / 255,
        "psnr_gain": (psnr(made, truth) - psnr(sources, truth)).mean(),
        "fid": frechet(*features),
    }
    found = {name: column(folder / "metrics.csv", f"val/{name}")[-1] for name in expected}
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_model_with_styles_is_scored_in_one_drawn_for_each_picture(experiment, tmp_path):
    recipe = f"--config={CONFIGS / 'experiments' / 'translation' / 'munit.yaml'}"
    small = ("--model.autoencoder.width=4", "--model.autoencoder.residual_blocks=1", "--model.scales=1")
    options = (
        *SMALL[2:],
        "--model.discriminator.layers=1",
        *SHORT,
        "--data.eval_batch_size=70",
        "--trainer.max_steps=2",
    )
    assert experiment("fit", SMALL[0], recipe, *small, *options) == 0
    folder = tmp_path / "runs" / "munit" / "version_0"
    last = folder / "checkpoints" / "last.ckpt"
    truth, model = digits(16)[0][held_out(1797)["val"]], load(last)
    sources = to_float(torch.from_numpy(outlines(truth.numpy())))
    with torch.inference_mode():
        made, in_one = (
            to_uint8(model.translate(sources, styles=model.drawn_styles(numbers)))
            for numbers in (torch.arange(len(truth)), torch.zeros(1, dtype=torch.int64))
        )
        assert not torch.equal(made, in_one)
        features = [DigitsFeatures()(images).numpy() for images in (made, truth)]
        back = to_uint8(model.translate(to_float(made), "A", model.styles_of(sources, "A")))
    absolute = [
        np.abs(one.numpy().astype(float) - other.numpy()).mean() / 255
        for one, other in ((made, truth), (back, to_uint8(sources)))
    ]
    expected = {"l1": absolute[0], "fid": frechet(*features)}
    found = {name: column(folder / "metrics.csv", f"val/{name}")[-1] for name in (*expected, "cycle_l1")}
    # The way back starts from translations that are not rounded.
    assert found.pop("cycle_l1") == pytest.approx(absolute[1], rel=1e-2)
    assert found == pytest.approx(expected, rel=1e-3)
    assert experiment("evaluate", last, "--json=record.json", "--metrics=[fid,l1]") == 0
    held = json.loads((tmp_path / "record.json").read_text())
    assert {name: held["scores"][name]["value"] for name in expected} == pytest.approx(expected, rel=1e-3)
    assert held["protocol"]["evaluated"]["styles"] == "one drawn for each image"
    # Of so many images that they are read in parts.
    assert experiment("evaluate", last, "train", "--json=train.json", "--metrics=[l1]") == 0
    train = digits(16)[0][held_out(1797)["train"]]
    with torch.inference_mode():
        styles = model.drawn_styles(torch.arange(len(train)))
        made = to_uint8(model.translate(to_float(torch.from_numpy(outlines(train.numpy()))), styles=styles))
    found = json.loads((tmp_path / "train.json").read_text())["scores"]["l1"]["value"]
    assert found == pytest.approx(np.abs(made.numpy().astype(float) - train.numpy()).mean() / 255, rel=1e-5)


def test_a_picture_shows_sources_above_translations_above_the_truth(trained, captions):
    assert captions[-1] == "step 4, 64 images seen: sources above translations above truths"
    parts, folder = trained[:3], trained[3]
    shown = tiles(folder / "images" / "translations-0000004.png", 16).unflatten(0, (-1, 3, 8))
    places = torch.arange(0, 180, 180 // 32)[:32]
    for row, part in enumerate(parts):
        assert torch.equal(shown[:, row].flatten(0, 1), part[places])


def test_unpaired_pictures_are_not_compared(experiment, refused, captions, tmp_path):
    write_pictures(tmp_path / "a", 30, size=(16, 16))
    write_pictures(tmp_path / "b", 40, size=(16, 16), seed=1)
    data = ["--data.source=UnpairedFolders", "--data.source.a=a", "--data.source.b=b", "--evaluation.extractor=null"]
    recipe = CONFIGS / "experiments" / "translation" / "cyclegan.yaml"
    options = [SMALL[0], f"--config={recipe}", *SMALL[1:], "--model.discriminator.layers=1", *data]
    assert experiment("fit", *options, "--model.generator.residual_blocks=1", *SHORT, "--data.batch_size=8") == 0
    folder = tmp_path / "runs" / "cyclegan" / "version_0"
    header = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert [name for name in header if name.startswith("val/")] == ["val/cycle_l1"]
    picture = Image.open(folder / "images" / "translations-0000004.png")
    assert picture.size[0] == 8 * 18 + 2
    assert captions[-1].endswith(" images seen: sources above translations")
    # Three held-out sources above their translations, in one row each.
    assert picture.size[1] == 2 * 18 + 2
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["data"]["init_args"]["source"]["class_path"].endswith("UnpairedFolders")
    data = ["--data.source=PairedFolders", "--data.source.a=a", "--data.source.b=b", "--evaluation.extractor=null"]
    assert "pairs that show the same" in refused("fit", *SMALL, *data, "--data.source.shuffled=true", *SHORT)


def test_a_conditional_discriminator_of_unpaired_pictures_needs_classes_that_both_sides_share(
    experiment, refused, tmp_path
):
    for side in "ab":
        for name in ("cat", "dog"):
            write_pictures(tmp_path / side / name, 20, size=(16, 16), seed=ord(name[0]))
    recipe = CONFIGS / "experiments" / "translation" / "cut.yaml"
    options = [
        *(SMALL[0], f"--config={recipe}", SMALL[1], SMALL[3], "--data.crop=centre", "--data.crop_scale=[1, 1]"),
        *("--model.generator.residual_blocks=1", "--model.stages=[0,2]", "--model.patches=8", "--model.width=8"),
        *("--model.discriminator=ProjectedDiscriminator", "--model.discriminator.encoder=ConvEncoder"),
        *("--model.discriminator.width=2", "--model.discriminator.mixed=2", "--model.discriminator.conditional=true"),
        *("--model.loss=Hinge", "--data.source=PairedFolders", "--data.source.a=a", "--data.source.b=b"),
        *("--evaluation.extractor=null", "--data.batch_size=8", *SHORT),
    ]
    assert "shuffled within_classes" in refused("fit", *options, "--data.source.shuffled=true")
    assert experiment("fit", *options, "--data.source.shuffled=within_classes") == 0


def test_evaluate_scores_the_translations_of_a_split(trained, experiment, refused, tmp_path):
    _, made, truth, folder = trained
    expected = {
        "psnr": psnr(made, truth).mean(),
        "ssim": ssim(made, truth).mean(),
        "l1": np.abs(made.numpy().astype(float) - truth.numpy()).mean() / 255,
        "fid": column(folder / "metrics.csv", "val/fid")[-1],
    }
    last = folder / "checkpoints" / "last.ckpt"
    assert experiment("evaluate", last, "--json=record.json") == 0
    held = json.loads((tmp_path / "record.json").read_text())
    assert {name: held["scores"][name]["value"] for name in expected} == pytest.approx(expected, rel=1e-3)
    assert held["protocol"]["evaluated"]["kind"] == "translations"
    assert held["protocol"]["reference"]["split"] == "val"
    assert experiment("evaluate", last, f"{folder / 'config.yaml'}:test", "--json=test.json", "--metrics=[l1]") == 0
    test = digits(16)[0][held_out(1797)["test"]]
    with torch.inference_mode():
        again = to_uint8(load(last).translate(to_float(torch.from_numpy(outlines(test.numpy())))))
    found = json.loads((tmp_path / "test.json").read_text())["scores"]["l1"]["value"]
    assert found == pytest.approx(np.abs(again.numpy().astype(float) - test.numpy()).mean() / 255, rel=1e-5)
    write_pictures(tmp_path / "pictures", 4, size=(16, 16))
    assert "name a split of its data" in refused("evaluate", last, "pictures")
