"""How the commands have a trained prior draw its codes, if not as its configuration says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import gen_experiments
from gen_experiments.images import to_uint8
from pictures_on_disk import write_pictures

CHANGED = {"temperature": 0.7, "top_k": 9, "top_p": 0.8, "guidance": 1.5}
OPTIONS = [f"--decoding.{name}={value}" for name, value in CHANGED.items()]


def drawn_in_python(checkpoint, count, **changes):
    """The samples of a prior whose averaged network draws otherwise."""
    model = gen_experiments.load(checkpoint)
    model.averaged.decoding = replace(model.averaged.decoding, **changes)
    return to_uint8(model.sample(0, count, seed=3)).numpy()[:, 0]


def files(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


@pytest.mark.parametrize("name", CHANGED)
def test_samples_are_drawn_with_each_change(experiment, checkpoints, tmp_path, name):
    given = {**CHANGED, "guidance": 1000}[name]  # the network has hardly learnt to tell the classes apart
    command = ["sample", checkpoints["prior"], "--num=6", "--seed=3"]
    assert experiment(*command, "--out=usual") == 0
    assert experiment(*command, "--out=changed", f"--decoding.{name}={given}") == 0
    assert np.array_equal(files(tmp_path / "changed"), drawn_in_python(checkpoints["prior"], 6, **{name: given}))
    assert np.array_equal(files(tmp_path / "usual"), drawn_in_python(checkpoints["prior"], 6))
    assert not np.array_equal(files(tmp_path / "changed"), files(tmp_path / "usual"))


def test_a_record_says_how_the_samples_were_drawn(experiment, checkpoints, tmp_path):
    command = ["evaluate", checkpoints["prior"], "--num=20", "--metrics=[fid]"]
    assert experiment(*command, "--json=usual.json") == 0
    assert experiment(*command, "--json=changed.json", *OPTIONS) == 0
    usual, changed = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("usual", "changed"))
    of_recipe = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "guidance": 0.0}
    assert usual["protocol"]["evaluated"]["decoding"] == of_recipe
    assert changed["protocol"]["evaluated"]["decoding"] == CHANGED
    assert changed["scores"]["fid"]["value"] != usual["scores"]["fid"]["value"]


def test_fillings_are_drawn_so(experiment, checkpoints, tmp_path):
    write_pictures(tmp_path / "pictures", 2, size=(32, 32), mode="L")
    command = ["inpaint", checkpoints["prior"], "--images=pictures", "--proposals=1", "--class=3"]
    assert experiment(*command, "--out=usual.png") == 0
    assert experiment(*command, "--out=changed.png", "--decoding.top_k=1") == 0
    usual, changed = (np.asarray(Image.open(f"{name}.png")) for name in ("usual", "changed"))
    assert not np.array_equal(usual, changed)


def test_what_cannot_be_done_is_refused(mistake, checkpoints, tmp_path):
    write_pictures(tmp_path / "pictures", 2, size=(8, 8))
    other = "--decoding is for priors over codes, not for {}: leave it out"
    assert other.format("a VQVAE") in mistake("evaluate", checkpoints["vqvae"], "--decoding.top_k=3")
    assert other.format("a GAN") in mistake("sample", checkpoints["gan"], "--decoding.top_k=3")
    assert other.format("pictures") in mistake("evaluate", "pictures", "pictures", "--decoding.top_k=3")
    assert "top_p must be in (0, 1]" in mistake("sample", checkpoints["prior"], "--decoding.top_p=2")
