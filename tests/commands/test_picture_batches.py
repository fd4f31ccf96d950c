"""The pictures of a folder, batch by batch."""

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import CONFIGS
from gen_experiments import progress as progress_shown
from gen_experiments.commands import image_files, outputs
from gen_experiments.commands.reading import Reading
from gen_experiments.data.framing import Framing
from gen_experiments.errors import UserError
from gen_experiments.images import IMAGE_SUFFIXES, ImageSpec
from pictures_on_disk import write_pictures

RESTORATION = CONFIGS / "experiments" / "translation" / "restoration_digits.yaml"


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(outputs, "BATCH", 2)


def cut_short(file):
    """Leaves a picture whose header tells nothing of what is missing."""
    file.write_bytes(file.read_bytes()[:-60])


def test_progress_is_of_what_is_done_and_not_of_what_is_decoded_ahead(tmp_path, monkeypatch):
    write_pictures(tmp_path / "in", 5, size=(16, 16), mode="L")
    begun = []

    def progress(total, what, chunk):
        for first in range(0, total, chunk):
            begun.append(first)
            yield range(first, min(first + chunk, total))

    monkeypatch.setattr(image_files, "progress", progress)
    reading = Reading(Framing(), IMAGE_SUFFIXES)
    files, _ = image_files.found_pictures(str(tmp_path / "in"), reading)
    parts = image_files.read_in_batches(files, ImageSpec(1, 16), reading, 2)
    assert [(len(part), begun[-1]) for part in parts] == [(2, 0), (2, 2), (1, 4)]


@pytest.mark.parametrize("command", ["translate", "restore", "reconstruct", "encode", "inpaint", "damage", "project"])
def test_what_is_no_picture_by_its_header_is_refused_before_a_model_is_loaded(refused, monkeypatch, tmp_path, command):
    def load(*_, **__):
        raise AssertionError("the model was loaded in vain")

    write_pictures(tmp_path / "in", 40, size=(16, 16), mode="L")
    (tmp_path / "in" / "035.png").write_bytes(b"no picture")
    (tmp_path / "in" / "038.png").write_bytes(b"")
    module = "restore" if command == "damage" else command
    monkeypatch.setattr(f"gen_experiments.commands.{module}.load_on_device", load)
    (tmp_path / "any.ckpt").write_text("of no use")
    subject = RESTORATION if command == "damage" else "any.ckpt"
    out = {"encode": "codes.npz", "project": "grid.png"}.get(command, "out")
    said = refused(command, subject, "--images=in", f"--out={out}")
    assert "in/035.png cannot be decoded" in said
    assert said.endswith("1 more is refused: in/038.png")
    assert not list(tmp_path.rglob("out/**/*.png"))
    # A grid of the first ones does not care about others.
    assert len(outputs.find_originals("in", Reading(), ["grid.png"], first=32)[0]) == 32


@pytest.mark.parametrize("command", ["damage", "reconstruct", "inpaint"])
def test_a_picture_that_is_cut_short_is_named_beside_what_was_written(
    refused, checkpoints, small_batches, tmp_path, command
):
    write_pictures(tmp_path / "in", 5, size=(32, 32), mode="L")
    cut_short(tmp_path / "in" / "003.png")
    subject = {"damage": RESTORATION, "reconstruct": checkpoints["vqvae"], "inpaint": checkpoints["prior"]}[command]
    words = ["--proposals=2"] if command == "inpaint" else []
    said = refused(command, subject, "--images=in", "--out=out", *words)
    assert "in/003.png cannot be decoded" in said
    what = {"damage": "damaged images", "reconstruct": "reconstructions", "inpaint": "filled images"}[command]
    assert said.endswith(f"; before, 2 of 5 {what} were written to out")
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert names == sorted(["000.png", "001.png"] * (1 + len(words)))


def test_a_picture_that_keeps_its_size_and_is_cut_short_is_named_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "in", 3, size=(20, 16), mode="L")
    cut_short(tmp_path / "in" / "002.png")
    originals = outputs.find_originals("in", Reading(), ["out"], whole=True)
    with pytest.raises(UserError, match=r"002\.png cannot be .*; before, 2 of 3 images were written to out$"):
        outputs.write_outputs(torch.neg, originals, ImageSpec(1, 8), Reading(), "out", True, 1)


def test_all_masks_are_looked_at_before_anything_is_drawn(refused, checkpoints, small_batches, tmp_path):
    write_pictures(tmp_path / "in", 5, size=(32, 32), mode="L")
    write_pictures(tmp_path / "masks", 5, size=(32, 32), mode="L")
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(tmp_path / "masks" / "003.png")
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "masks" / "004.png")
    words = ("inpaint", checkpoints["prior"], "--images=in", "--mask=masks", "--out=out")
    said = refused(*words)
    assert "masks/003.png has 16x16 pixels; a mask must have 32x32; 1 more is refused: masks/004.png" in said
    (tmp_path / "masks" / "000.png").write_bytes(b"no picture")
    assert "masks/000.png cannot be decoded" in refused(*words)
    assert not list((tmp_path / "out").rglob("*.png"))


def test_progress_of_what_is_drawn_counts_each_proposal(experiment, checkpoints, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(progress_shown, "QUIET", 0.0)
    monkeypatch.setattr(progress_shown, "BETWEEN_LINES", 0.0)
    write_pictures(tmp_path / "in", 2, size=(32, 32), mode="L")
    assert experiment("inpaint", checkpoints["prior"], "--images=in", "--proposals=3") == 0
    assert {"2 of 6 images (33%)", "4 of 6 images (67%)"} <= {
        line.split(",")[0] for line in capsys.readouterr().err.splitlines()
    }
