"""Commands give a model of 16 bits the numbers that its training saw."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import independent
from conftest import SHORT, SMALL
from gen_experiments import load
from gen_experiments.images import to_uint8
from pictures_on_disk import write_png16

DEEP = ("--data.source=ImageFolder", "--data.source.channels=4", "--data.size=16", "--data.depth=16", *SHORT)


def deep_pictures(folder):
    """Writes 40 pictures of noise with alpha and 16 bits; returns them as (N, C, H, W)."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 16, 16, 4), dtype=np.uint16)
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


def test_commands_give_a_model_the_16_bits_that_its_training_saw(experiment, tmp_path):
    pixels = deep_pictures(tmp_path / "in")
    data = [*DEEP, f"--data.source.root={tmp_path / 'in'}", "--trainer.max_steps=2", "--evaluation.extractor=null"]
    noise = "--data.damage=[{class_path: GaussianNoise, init_args: {deviation: [0.1, 0.1]}}]"
    many = ["--model.quantizer=FSQ", "--model.quantizer.levels=[255, 255, 255]"]  # so fine that 8 bits are not enough
    assert experiment("fit", *SMALL["vqvae"], *data, noise, *many) == 0
    run = tmp_path / "runs" / "vqvae" / "version_0"
    model = load(run)
    seen = pixels.float() / 32767.5 - 1
    rounded = (pixels.float() / 257).round()

    assert experiment("encode", run, "--images=in", "--out=codes.npz") == 0
    codes = torch.from_numpy(np.load(tmp_path / "codes.npz")["codes"].astype(np.int64))
    assert torch.equal(codes, model.encode(seen))
    assert not torch.equal(codes, model.encode(rounded / 127.5 - 1))

    for command in ("reconstruct", "restore"):
        assert experiment(command, run, "--images=in", "--out=grid.png") == 0
        cells = torch.from_numpy(np.array(Image.open(tmp_path / "grid.png"))).movedim(-1, 0)
        first, below = cells[:, 2:18, 2:18], cells[:, 20:36, 2:18]
        assert torch.equal(first, rounded[0].to(torch.uint8))
        assert torch.equal(below, to_uint8(model.reconstruct(seen))[0])
