"""`translate` by models that take the style of a picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import CONFIGS, SHORT
from gen_experiments import load
from gen_experiments.commands.tiles import apply_in_tiles
from gen_experiments.images import to_float, to_uint8
from pictures_on_disk import write_pictures

BASE = f"--config={CONFIGS / 'translation.yaml'}"
MUNIT = (
    BASE,
    f"--config={CONFIGS / 'experiments' / 'translation' / 'emoji_munit.yaml'}",
    "--model.autoencoder.width=4",
)
FEW = ("--data.size=16", "--model.discriminator.width=4", "--trainer.max_steps=2", "--evaluation.extractor=null")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """MUNIT and pix2pix after two steps."""
    from gen_experiments.__main__ import main

    root = tmp_path_factory.mktemp("styled")
    for name, recipe in {"munit": MUNIT, "pix2pix": (BASE, "--model.generator.width=4")}.items():
        options = [f"--run.root={root}", f"--run.name={name}", "--trainer.limit_val_batches=1"]
        assert main(["fit", *recipe, *SHORT, *FEW, *options]) == 0
    return {name: root / name / "version_0" / "checkpoints" / "last.ckpt" for name in ("munit", "pix2pix")}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Three pictures to translate and two that have a style."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "in", 3, size=(16, 16), mode="L")
    write_pictures(tmp_path / "styles", 2, size=(16, 16), mode="L", seed=5)
    return torch.cat([read(tmp_path / "in" / f"{number:03d}.png") for number in range(3)])


def read(path):
    return torch.from_numpy(np.array(Image.open(path).convert("L")))[None, None]


def written(folder):
    return torch.cat([read(file) for file in sorted(folder.glob("*.png"))])


@torch.inference_mode()
def translated(model, images, to, styles):
    return to_uint8(model.translate(to_float(images), to, styles))


@pytest.mark.parametrize("to", ["B", "A"])
def test_all_pictures_are_made_in_the_style_of_one(experiment, trained, given, tmp_path, to):
    model, made = load(trained["munit"]), []
    for name in ("000.png", "001.png"):
        command = ("translate", trained["munit"], "--images=in", f"--style=styles/{name}", f"--to={to}")
        assert experiment(*command, f"--out={name[:3]}") == 0
        made.append(written(tmp_path / name[:3]))
        with torch.inference_mode():
            styles = model.styles_of(to_float(read(tmp_path / "styles" / name)), to)
        assert torch.equal(made[-1], translated(model, given, to, styles))
    assert not torch.equal(*made)


def test_without_a_picture_one_style_is_drawn_by_the_seed(experiment, trained, given, tmp_path):
    model, made = load(trained["munit"]), []
    for seed in (0, 1, 1):
        out = f"out{len(made)}"
        assert experiment("translate", trained["munit"], "--images=in", f"--out={out}", f"--seed={seed}") == 0
        made.append(written(tmp_path / out))
        assert torch.equal(
            made[-1], translated(model, given, "B", model.drawn_styles(torch.zeros(1, dtype=torch.int64), seed))
        )
    assert not torch.equal(made[0], made[1])
    assert torch.equal(made[1], made[2])


def test_the_tiles_of_a_picture_share_one_style(experiment, trained, given, tmp_path):
    write_pictures(tmp_path / "large", 1, size=(40, 24), mode="L")
    command = ("translate", trained["munit"], "--images=large", "--style=styles/001.png", "--out=out", "--whole")
    assert experiment(*command) == 0
    model = load(trained["munit"])
    with torch.inference_mode():
        styles = model.styles_of(to_float(read(tmp_path / "styles" / "001.png")))
        picture = to_float(read(tmp_path / "large" / "000.png"))[0]
        expected = to_uint8(apply_in_tiles(lambda tiles: model.translate(tiles, styles=styles), picture, 16))
    assert torch.equal(read(tmp_path / "out" / "000.png")[0], expected)


def test_a_style_that_cannot_be_had_is_refused_in_one_line(refused, trained, given, tmp_path):
    munit, pix2pix = (("translate", trained[name], "--images=in", "--out=out") for name in ("munit", "pix2pix"))
    assert "holds a Pix2Pix, which takes no style" in refused(*pix2pix, "--style=styles/000.png")
    assert "there is no picture nothing.png" in refused(*munit, "--style=nothing.png")
    write_pictures(tmp_path / "colours", 1, size=(16, 16))
    assert "is in colours and what MUNIT makes in grey" in refused(*munit, "--style=colours/000.png")
    (tmp_path / "no.png").write_text("no picture")
    assert "no.png cannot be decoded" in refused(*munit, "--style=no.png")
    assert "cannot translate to C" in refused(*munit, "--style=styles/000.png", "--to=C")
    assert "seed must be >= 0" in refused(*munit, "--seed=-1")
    assert not list(tmp_path.glob("out/*"))
