"""Commands give a model of 16 bits the numbers that its training saw."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import independent
from conftest import SHORT, SMALL, SMALL_PRIOR
from exported_models import write_livened
from gen_experiments import load
from gen_experiments.commands.demo_pages import proposals, remade
from gen_experiments.images import to_uint8
from pictures_on_disk import write_png16

DEEP = ("--data.source=ImageFolder", "--data.source.channels=4", "--data.size=16", "--data.depth=16", *SHORT)


def deep_pictures(folder, upper_bits=False):
    """Writes pictures of noise with alpha and 16 bits; returns them as (N, C, H, W).

    Those of the upper bits alone are the nearest of 8 bits to the others.
    """
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 16, 16, 4), dtype=np.uint16)
    if upper_bits:
        pixels = (np.rint(pixels / 257) * 257).astype(np.uint16)
    for number, each in enumerate(pixels):
        write_png16(folder / f"{number:02d}.png", each)
    return torch.from_numpy(pixels).movedim(-1, 1)


def test_a_tokenizer_of_16_bits_is_evaluated_on_the_numbers_that_its_training_saw(experiment, tmp_path):
    deep_pictures(tmp_path / "in")
    data = [*DEEP, f"--data.source.root={tmp_path / 'in'}", "--trainer.max_steps=2", "--evaluation.extractor=null"]
    assert experiment("fit", *SMALL["vqvae"], *data) == 0
    run = tmp_path / "runs" / "vqvae" / "version_0"
    assert experiment("evaluate", run) == 0
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    for name in ("psnr", "ssim"):
        (expected,) = independent.column(run / "metrics.csv", f"val/{name}")
        assert scores[name]["value"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.long
def test_commands_give_a_model_the_16_bits_that_its_training_saw(experiment, tmp_path):
    pixels = deep_pictures(tmp_path / "in")
    data = [*DEEP, f"--data.source.root={tmp_path / 'in'}", "--trainer.max_steps=2", "--evaluation.extractor=null"]
    # Far less than the difference of two numbers of 16 bits.
    noise = "--data.damage=[{class_path: GaussianNoise, init_args: {deviation: [1e-6, 1e-6]}}]"
    many = ["--model.quantizer=FSQ", "--model.quantizer.levels=[255, 255, 255]"]  # so fine that 8 bits are not enough
    assert experiment("fit", *SMALL["vqvae"], *data, noise, *many) == 0
    run = tmp_path / "runs" / "vqvae" / "version_0"
    best = run / "checkpoints" / "best.ckpt"
    write_livened(torch.load(best, weights_only=True)["hyper_parameters"], best, gain=2.0)
    model = load(run)
    seen = pixels.float() / 32767.5 - 1
    rounded = (pixels.float() / 257).round()

    assert experiment("encode", run, "--images=in", "--out=codes.npz") == 0
    codes = torch.from_numpy(np.load(tmp_path / "codes.npz")["codes"].astype(np.int64))
    assert torch.equal(codes, model.encode(seen))
    assert not torch.equal(codes, model.encode(rounded / 127.5 - 1))

    for command, *options in (["reconstruct"], ["restore"], ["restore", "--damaging"]):
        assert experiment(command, run, "--images=in", "--out=grid.png", *options) == 0
        cells = torch.from_numpy(np.array(Image.open(tmp_path / "grid.png"))).movedim(-1, 0)
        first, below = cells[:, 2:18, 2:18], cells[:, 20:36, 2:18]
        assert torch.equal(first, rounded[0].to(torch.uint8))
        assert torch.equal(below, to_uint8(model.reconstruct(seen))[0])
        assert not torch.equal(below, to_uint8(model.reconstruct(rounded / 127.5 - 1))[0])
    assert torch.equal(remade(model, pixels[0]), torch.stack([first, below]))


@pytest.fixture
def alike(tmp_path):
    """Pictures in the folders `deep` and `upper` that differ in their lower bits alone, and the data of a run."""
    pixels = [deep_pictures(tmp_path / name, upper_bits=name == "upper") for name in ("deep", "upper")]
    assert (pixels[0].int() - pixels[1].int()).abs().max() == 128
    root = f"--data.source.root={tmp_path / 'deep'}"
    return pixels, [*DEEP, root, "--trainer.max_steps=1", "--evaluation.extractor=null"]


@pytest.mark.long
def test_the_lower_bits_of_the_known_pixels_tell_a_prior_what_to_fill_in(experiment, tmp_path, alike):
    pixels, data = alike
    assert experiment("fit", *SMALL["vqvae"], *data, "--model.quantizer=FSQ", "--model.quantizer.levels=[255]") == 0
    vqvae = tmp_path / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt"
    assert experiment("fit", *SMALL_PRIOR, *data, f"--model.vqvae={vqvae}") == 0
    prior = tmp_path / "runs" / "prior" / "version_0" / "checkpoints" / "last.ckpt"
    write_livened(torch.load(prior, weights_only=True)["hyper_parameters"], prior, gain=2.0)
    grids = {}
    chosen = ["--mask=0,0,4,4", "--proposals=1"]  # twelve of sixteen codes stay
    for folder in ("deep", "upper"):
        assert experiment("inpaint", prior, f"--images={folder}", f"--out={folder}.png", *chosen) == 0
        grids[folder] = np.asarray(Image.open(tmp_path / f"{folder}.png"))
    given, filled = np.s_[:, : 2 + 2 * 18], np.s_[:, 2 + 2 * 18 :]  # 16 pixels and 2 between the columns
    assert np.array_equal(grids["deep"][given], grids["upper"][given])
    assert not np.array_equal(grids["deep"][filled], grids["upper"][filled])
    model = load(prior)
    with torch.inference_mode():
        pairs = ([proposals(model, each, (0, 0, 4, 4), None, 0) for each in pair] for pair in zip(*pixels, strict=True))
        first, second = next(pair for pair in pairs if not torch.equal(*pair))
    assert torch.equal(first[:2], second[:2])


def test_noise_is_looked_for_that_makes_the_lower_bits_too(experiment, tmp_path, alike):
    assert experiment("fit", *SMALL["gan"], *alike[1]) == 0
    run, latents = tmp_path / "runs" / "gan" / "version_0", []
    for folder in ("deep", "upper"):
        assert experiment("project", run, f"--images={folder}", "--steps=2", f"--out={folder}.png") == 0
        latents.append(np.load(tmp_path / "latents.npz")["latents"])
    assert not np.array_equal(*latents)
    grids = [np.asarray(Image.open(tmp_path / f"{folder}.png")) for folder in ("deep", "upper")]
    assert np.array_equal(grids[0][2:18], grids[1][2:18])  # the pictures themselves, in 8 bits
