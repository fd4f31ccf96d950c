"""An export keeps how the data of its run frame pictures, and weights of any layout."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image

from exported_models import write_livened
from gen_experiments.checkpoints.exports import weights_bytes

PICTURES = {"crop": "none", "filter": "box", "value_range": [100, 40000], "depth": 16}


@pytest.fixture
def run(contents, tmp_path):
    """The folder of a run over arrays that were squeezed, and a folder of such."""
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    write_livened(contents["vqvae"]["hyper_parameters"], run / "checkpoints" / "best.ckpt", gain=2.0)
    source = {"class_path": "ImageFolder", "init_args": {"root": "elsewhere", "channels": 1, "arrays": True}}
    data = {"class_path": "ImageDataModule", "init_args": {"source": source, "size": 32, **PICTURES}}
    (run / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    (tmp_path / "in").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 50_000, (60, 40), dtype=np.uint16)
        np.save(tmp_path / "in" / f"{number}.npy", pixels)
    return run


def test_an_export_frames_pictures_as_its_run_does(experiment, run, tmp_path):
    for given, out in ((run, "first"), ("first", "again")):
        assert experiment("export", given, f"--out={out}", "--formats=[safetensors]") == 0
        held = json.loads((tmp_path / out / "config.json").read_text())["pictures"]
        assert held == {**PICTURES, "fast_decoding": False, "arrays": True}
    numbers = np.load(tmp_path / "in" / "0.npy").astype(np.float64)
    plane = Image.fromarray(((numbers.clip(100, 40000) - 100) / 39900).astype(np.float32))
    expected = np.rint(np.asarray(plane.resize((32, 32), Image.Resampling.BOX)) * 255)
    codes = []
    for given in (run, "again"):
        assert experiment("encode", given, "--images=in", "--out=codes.npz") == 0
        codes.append(np.load(tmp_path / "codes.npz")["codes"])
        assert experiment("reconstruct", given, "--images=in", "--out=grid.png") == 0
        shown = np.asarray(Image.open(tmp_path / "grid.png"))[2:34, 2:34].astype(int)
        assert np.abs(shown - expected).max() <= 1
    assert np.array_equal(*codes)


def test_an_export_whose_run_is_not_known_says_nothing_of_pictures(experiment, run, tmp_path):
    (run / "config.yaml").unlink()
    checkpoint = run / "checkpoints" / "best.ckpt"
    assert experiment("export", checkpoint, "--out=out", "--formats=[safetensors]") == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["pictures"] is None
    Image.new("L", (40, 20)).save(tmp_path / "in" / "picture.png")
    del config["pictures"]  # as exports of earlier releases have none
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    assert experiment("encode", "out", "--images=in", "--out=codes.npz") == 0
    assert list(np.load(tmp_path / "codes.npz")["files"]) == ["picture.png"]


def test_pictures_that_are_framed_by_nonsense_are_framed_as_usual(experiment, run, tmp_path):
    assert experiment("export", run, "--out=out", "--formats=[safetensors]") == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    Image.new("L", (40, 20)).save(tmp_path / "in" / "picture.png")
    nonsense = {"crop": ["none"], "filter": 7, "value_range": "wide", "depth": {}, "arrays": "yes"}
    for pictures in (nonsense, "none"):
        (tmp_path / "out" / "config.json").write_text(json.dumps(config | {"pictures": pictures}))
        assert experiment("encode", "out", "--images=in", "--out=codes.npz") == 0
        assert len(np.load(tmp_path / "codes.npz")["codes"]) == 1


def test_weights_of_one_memory_and_of_any_strides_are_written():
    shared = torch.arange(6.0).view(2, 3)
    weights = {"a": shared, "b": shared, "turned": shared.T}
    written = safetensors.torch.load(weights_bytes(weights))
    assert written.keys() == weights.keys()
    assert all(torch.equal(written[name], weight) for name, weight in weights.items())
