"""Runs over pictures of two and four channels, through the whole program."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import independent
from conftest import CONFIGS, SHORT, SMALL, SMALL_PRIOR
from gen_experiments import load
from gen_experiments.data.picture_decoding import decode_one
from gen_experiments.images import to_uint8
from pictures_on_disk import write_transparent

MODES = {2: "LA", 4: "RGBA"}


@pytest.mark.long
@pytest.mark.parametrize("channels", [2, 4])
def test_a_tokenizer_its_prior_and_a_gan_make_pictures_with_alpha(experiment, tmp_path, channels):
    write_transparent(tmp_path / "in" / "one", 60, MODES[channels])
    write_transparent(tmp_path / "in" / "two", 60, MODES[channels])
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.size=16"]
    data += [f"--data.source.channels={channels}", *SHORT, "--trainer.max_steps=2"]
    scored = ["--evaluation.extractor=ChosenChannels", "--evaluation.extractor.channels=[0,1,1]"]
    scored += ["--evaluation.extractor.of=DigitsFeatures", "--evaluation.extractor.of.any_images=true"]
    scored += ["--evaluation.samples=60"]
    last = {
        name: tmp_path / "runs" / name / "version_0" / "checkpoints" / "last.ckpt" for name in ("vqvae", "prior", "gan")
    }
    codes = ["--trainer.callbacks+=CodePictures", "--evaluation.samples=60"]
    assert experiment("fit", *SMALL["vqvae"], *data, *scored, *codes) == 0
    assert experiment("fit", *SMALL_PRIOR, *data, *scored, f"--model.vqvae={last['vqvae']}") == 0
    assert experiment("fit", *SMALL["gan"], *data, *scored) == 0
    for name in ("prior", "gan"):
        assert experiment("sample", last[name], "--num=3", f"--out={name}") == 0
        model = load(last[name])
        with torch.inference_mode():
            made = to_uint8(model.sample(0, 3, 0))
        for image, path in zip(made, sorted((tmp_path / name).glob("*.png")), strict=True):
            assert np.array_equal(decode_one(path, 16, channels), image)
    assert experiment("sample", last["gan"], "--num=4", "--out=grid.png") == 0
    assert Image.open(tmp_path / "grid.png").mode == ("L" if channels == 2 else "RGBA")
    assert experiment("reconstruct", last["vqvae"], f"--images={tmp_path / 'in'}") == 0
    assert experiment("evaluate", last["gan"], "--num=8", "--metrics=[fid]") == 0


def test_a_tokenizer_without_an_extractor_is_evaluated_by_its_pixels_and_codes(experiment, tmp_path, capsys):
    write_transparent(tmp_path / "in")
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=4"]
    data += [*SHORT, "--data.size=16", "--trainer.max_steps=2", "--evaluation.extractor=null"]
    assert experiment("fit", *SMALL["vqvae"], *data) == 0
    run = tmp_path / "runs" / "vqvae" / "version_0"
    (expected,) = independent.column(run / "metrics.csv", "val/psnr")
    for options in ([], ["--metrics=[psnr,perplexity]"]):
        assert experiment("evaluate", run, *options) == 0
        held = json.loads((run / "evaluation.json").read_text())
        assert held["scores"]["psnr"]["value"] == pytest.approx(expected, rel=1e-5)
        assert "perplexity" in held["scores"]
        assert "fid" not in held["scores"]
        assert held["protocol"]["extractor"] is None
    shutil.copytree(run, tmp_path / "other")
    capsys.readouterr()
    assert experiment("compare", run, "other", "--rescore", "--metrics=[psnr]", "--bootstrap=0") == 0
    assert f"{expected:.4g}" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["vqvae", "gan"])
def test_an_extractor_that_would_have_to_guess_is_refused_before_the_first_step(refused, tmp_path, model):
    write_transparent(tmp_path / "in")
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=4"]
    line = refused("fit", *SMALL[model], *SHORT, *data, "--evaluation.extractor.any_images=true")
    assert "DigitsFeatures takes images of 1 or 3 channels, not 4" in line
    assert not list(tmp_path.rglob("metrics.csv"))


def test_pictures_with_alpha_are_refused_by_a_classifier_of_grey_ones(experiment, refused, tmp_path):
    for name in ("one", "two"):
        write_transparent(tmp_path / "in" / name)
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=4"]
    data += [*SHORT, "--data.size=16", "--trainer.max_steps=2", "--evaluation.extractor=null"]
    conditional = [f"--model.{part}.conditional=true" for part in ("generator", "discriminator")]
    assert experiment("fit", *SMALL["gan"], *data, *conditional, "--model.discriminator.batch_norm=false") == 0
    line = refused("augment-score", tmp_path / "runs" / "gan" / "version_0", "--steps=10", "--per-class=2")
    assert "classifies grey or RGB images, and these have 4 channels" in line


def test_a_classifier_of_pictures_with_alpha_is_their_extractor(experiment, tmp_path):
    for name in ("one", "two"):
        write_transparent(tmp_path / "in" / name)
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=4"]
    data += [*SHORT, "--data.size=16", "--trainer.max_steps=2"]
    quick = [f"--config={CONFIGS / 'extractor.yaml'}", "--model.network.width=4", "--run.name=extractor"]
    assert experiment("fit", *quick, *data) == 0
    weights = tmp_path / "runs" / "extractor" / "version_0" / "checkpoints" / "last.ckpt"
    scored = ["--evaluation.extractor=TrainedFeatures", f"--evaluation.extractor.weights={weights}"]
    assert experiment("fit", *SMALL["gan"], *data, *scored, "--evaluation.samples=20") == 0
