"""The pictures of a folder are read as the run or the data beside it reads its own, and the record says how."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from test_evaluate import BY_DIGITS, digits, record, scores

from conftest import SHORT, SMALL
from gen_experiments.models.base import ImageModel

SPLITS = ("train", "val", "test")


def write_wide(root, kind="png", count=30):
    """Wide pictures in three splits, rough enough for filters to differ; of 16 bits, unless they are JPEGs."""
    source = np.random.default_rng(0)
    for split in SPLITS:
        (root / split).mkdir(parents=True)
        for number in range(count):
            coarse = source.integers(0, 1000 if kind == "npy" else 65536, (10, 30)).astype(np.uint16)
            numbers = coarse.repeat(2, 0).repeat(2, 1)
            path = root / split / f"{number:02d}.{kind}"
            if kind == "npy":
                np.save(path, numbers)
            else:
                Image.fromarray(numbers if kind == "png" else (numbers >> 8).astype(np.uint8)).save(path)


FRAMINGS = {
    "usual": ({"size": 16}, "centre square, bicubic"),
    "squeezed": ({"size": 16, "crop": "none", "filter": "box"}, "none, box"),
    "padded": ({"size": [16, 24], "crop": "pad", "filter": "lanczos"}, "pad, lanczos"),
    "fast": ({"size": 16, "fast_decoding": True}, "centre square, bicubic, decoded fast"),
    "random": ({"size": 16, "crop": "random", "crop_scale": [0.5, 1.0]}, "centre square, bicubic"),
    "deep": ({"size": [24, 16], "depth": 16}, "centre, bicubic, of 16 bits, scored in 8"),
    "arrays": (
        {"size": 16, "crop": "none", "value_range": [100, 900], "depth": 16},
        "none, bicubic, numbers in [100, 900], of 16 bits, scored in 8",
    ),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_folder_is_framed_as_the_data_beside_it(experiment, tmp_path, name):
    options, said = FRAMINGS[name]
    write_wide(tmp_path / "in", {"arrays": "npy", "fast": "jpg"}.get(name, "png"))
    source = {"root": "in", "channels": 1, "arrays": name == "arrays"}
    data = {"source": {"class_path": "ImageFolder", "init_args": source}, **options}
    described = {"data": {"class_path": "ImageDataModule", "init_args": data}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(described))
    for sides in (("in/val", "own.yaml:val"), ("own.yaml:val", "in/val")):
        assert experiment("evaluate", *sides, *BY_DIGITS, "--metrics=[fid]", "--json=record.json") == 0
        mine, theirs = (record()["protocol"][role] for role in ("evaluated", "reference"))
        assert mine["pixels_sha256"] == theirs["pixels_sha256"]
        assert (mine["crop"], theirs["crop"]) == (said.replace("[100, 900]", "[100.0, 900.0]"),) * 2
        assert mine["size"] == theirs["size"] == options["size"]


def test_a_folder_is_framed_as_the_run_beside_it(experiment, tmp_path):
    write_wide(tmp_path / "in")
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=1"]
    data += ["--data.size=[16, 32]", "--data.crop=none", "--data.filter=box", "--data.depth=16"]
    assert (
        experiment("fit", *SMALL["vqvae"], *SHORT, *data, "--trainer.max_steps=1", "--evaluation.extractor=null") == 0
    )
    run = tmp_path / "runs" / "vqvae" / "version_0" / "checkpoints" / "last.ckpt"
    for reference in ("in/val", "val"):
        json = f"--json={reference[-3:]}{len(reference)}.json"
        assert experiment("evaluate", run, reference, "--metrics=[psnr]", json) == 0
    folder, split = record("val6.json"), record("val3.json")
    assert folder["scores"] == split["scores"]
    assert folder["protocol"]["reference"]["kind"] == "folder"
    for field in ("crop", "size", "count", "pixels_sha256"):
        assert folder["protocol"]["reference"][field] == split["protocol"]["reference"][field], field
    assert folder["protocol"]["reference"]["crop"] == "none, box, of 16 bits, scored in 8"


def test_two_folders_stay_as_they_are(experiment, tmp_path):
    for name, chosen in (("real", slice(0, 12)), ("fake", slice(20, 32))):
        digits(tmp_path / name, chosen)
    assert experiment("evaluate", "fake", "real", *BY_DIGITS, "--metrics=[fid]", "--json=record.json") == 0
    for role in ("evaluated", "reference"):
        side = record()["protocol"][role]
        assert side["size"] == "as in the files"
        assert "crop" not in side


def test_each_model_is_loaded_once(experiment, checkpoints, tmp_path, monkeypatch):
    loaded, load = [], torch.nn.Module.load_state_dict

    def counted(self, *arguments, **options):
        if isinstance(self, ImageModel):
            loaded.append(type(self).__name__)
        return load(self, *arguments, **options)

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", counted)
    digits(tmp_path / "real", slice(0, 30))
    options = ("--num=30", "--metrics=[kid]", *BY_DIGITS, "--json=record.json")
    for sides, expected in (
        (("real", checkpoints["gan"]), ["GAN"]),
        ((checkpoints["gan"], "real"), ["GAN"]),
        ((checkpoints["vqvae"], "real"), ["VQVAE"]),
        ((checkpoints["gan"], checkpoints["gan"]), ["GAN", "GAN"]),
    ):
        loaded.clear()
        assert experiment("evaluate", *sides, *options) == 0
        assert loaded == expected
        assert scores().keys() == {"kid"}
