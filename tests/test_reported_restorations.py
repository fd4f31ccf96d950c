"""What is reported of models that restore, computed anew from their checkpoints and the files of their pictures."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from conftest import CONFIGS, SHORT, SMALL
from gen_experiments import load
from gen_experiments.images import to_float, to_uint8
from independent import column, psnr, read_pictures, ssim
from pictures_on_disk import write_pictures
from processes import fit

FOLDER = ("--data.source=ImageFolder", "--data.source.root=pictures", "--data.source.channels=1", "--data.size=16")
# Nothing here is drawn, so that the damaged pictures are known without the package.
SCALED = "[{class_path: OneOf, init_args: {parts: [{class_path: DownScaling, init_args: {factors: [2, 4]}}]}}]"
PIX2PIX = (
    f"--config={CONFIGS / 'translation.yaml'}",
    "--model.generator.width=4",
    "--model.discriminator.width=4",
    "--evaluation.extractor=null",
)


def smaller(images, factor):
    """Means of squares, enlarged again."""
    small = to_float(images).unflatten(2, (-1, factor)).unflatten(4, (-1, factor)).mean((3, 5))
    return F.interpolate(small, images.shape[-2:], mode="bicubic").clamp(-1, 1)


def expected(restore, sources, truth):
    with torch.inference_mode():
        made = to_uint8(restore(sources))
    return {
        "psnr": psnr(made, truth).mean(),
        "ssim": ssim(made, truth).mean(),
        "l1": np.abs(made.numpy().astype(float) - truth.numpy()).mean() / 255,
        "psnr_gain": (psnr(made, truth) - psnr(to_uint8(sources), truth)).mean(),
    }


@pytest.fixture
def truth(tmp_path):
    """The test pictures."""
    for number, split in enumerate(("train", "val", "test")):
        write_pictures(tmp_path / "pictures" / split, 20, size=(16, 16), mode="L", seed=number)
    return read_pictures(sorted((tmp_path / "pictures" / "test").iterdir()))


def values(row):
    return {name: score["value"] for name, score in row["scores"].items()}


def test_every_kind_of_damage_is_scored_alone(experiment, refused, tmp_path, truth, capsys):
    assert experiment("fit", *PIX2PIX, *FOLDER, f"--data.damage={SCALED}", *SHORT) == 0
    run = tmp_path / "runs" / "translation" / "version_0"
    last = run / "checkpoints" / "last.ckpt"
    metrics = "--metrics=[psnr,ssim,l1,psnr_gain]"
    capsys.readouterr()
    assert experiment("evaluate", last, "test", metrics, "--bootstrap=40", "--json=record.json") == 0
    said = capsys.readouterr().out
    held = json.loads((tmp_path / "record.json").read_text())
    model = load(last)
    for row, factor in zip(held["by_damage"], (2, 4), strict=True):
        assert row["damage"]["class_path"].endswith(".DownScaling")
        assert row["damage"]["init_args"] == {"factors": [factor]}
        scores = expected(model.translate, smaller(truth, factor), truth)
        assert values(row) == pytest.approx(scores, rel=1e-3)
        low, high = row["scores"]["psnr"]["interval"]
        assert low < scores["psnr"] < high
        assert f"DownScaling, factors {factor}" in said
        assert f"{values(row)['psnr_gain']:.4g}" in said
    assert held["protocol"]["extractor"] is None
    # Of all pictures together some went one way and some the other.
    low, high = sorted(values(row)["psnr_gain"] for row in held["by_damage"])
    assert low < held["scores"]["psnr_gain"]["value"] < high
    # Strengths that the training did not see, by hand.
    kinds = "--damage=[{class_path: DownScaling, init_args: {factors: [8]}}]"
    # In a process of its own, which knows the kinds by their short names too.
    fit(tmp_path, last, f"{run / 'config.yaml'}:test", metrics, kinds, "--json=other.json", command="evaluate")
    (row,) = json.loads((tmp_path / "other.json").read_text())["by_damage"]
    assert values(row) == pytest.approx(expected(model.translate, smaller(truth, 8), truth), rel=1e-3)
    assert "a split of its data" in refused("evaluate", last, "pictures/test", metrics, kinds)


def test_a_vqvae_is_scored_by_what_it_restores(experiment, refused, tmp_path, truth):
    always = "--data.damage=[{class_path: DownScaling, init_args: {factors: [4]}}]"
    plain = [*SMALL["vqvae"], *FOLDER, "--evaluation.extractor=null", *SHORT]
    assert experiment("fit", *plain, always) == 0
    run = tmp_path / "runs" / "vqvae" / "version_0"
    last = run / "checkpoints" / "last.ckpt"
    model = load(last)
    val = read_pictures(sorted((tmp_path / "pictures" / "val").iterdir()))
    of_validation = expected(model.reconstruct, smaller(val, 4), val)
    found = {name: column(run / "metrics.csv", f"val/{name}")[-1] for name in of_validation}
    assert found == pytest.approx(of_validation, rel=1e-3)
    metrics = "--metrics=[psnr,ssim,l1,psnr_gain]"
    assert experiment("evaluate", last, "test", metrics, "--json=record.json") == 0
    held = json.loads((tmp_path / "record.json").read_text())
    of_test = expected(model.reconstruct, smaller(truth, 4), truth)
    assert values(held) == pytest.approx(of_test, rel=1e-3)
    assert values(held["by_damage"][0]) == pytest.approx(of_test, rel=1e-3)
    assert experiment("restore", last, "--images=pictures/test", "--out=restored") == 0
    with torch.inference_mode():
        made = to_uint8(model.reconstruct(to_float(truth)))
    assert torch.equal(read_pictures(sorted((tmp_path / "restored").iterdir())), made)
    refusal = refused("restore", last, "--images=pictures/test", "--proposals=2")
    assert "makes one restoration" in refusal
    assert experiment("fit", *plain, "--run.name=plain") == 0
    last = tmp_path / "runs" / "plain" / "version_0" / "checkpoints" / "last.ckpt"
    assert "was trained without damage" in refused("restore", last, "--images=pictures/test")


def test_lpips_is_measured_in_validation_if_asked_for(experiment, tmp_path, truth, backbone_weights):
    from gen_experiments.losses.perceptual import Perceptual

    weights = backbone_weights / "alexnet-owt-7be5be79.pth"
    lpips = ("--evaluation.lpips=Perceptual", "--evaluation.lpips.net=alex", f"--evaluation.lpips.weights={weights}")
    always = "--data.damage=[{class_path: DownScaling, init_args: {factors: [4]}}]"
    assert experiment("fit", *PIX2PIX, *FOLDER, always, *lpips, *SHORT) == 0
    run = tmp_path / "runs" / "translation" / "version_0"
    val = read_pictures(sorted((tmp_path / "pictures" / "val").iterdir()))
    with torch.inference_mode():
        made = to_uint8(load(run / "checkpoints" / "last.ckpt").translate(smaller(val, 4)))
        distances = Perceptual(net="alex", weights=str(weights)).lpips(to_float(made), to_float(val))
    assert column(run / "metrics.csv", "val/lpips")[-1] == pytest.approx(float(distances.mean()), rel=1e-3)
