"""`translate`, `restore` and `damage`."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from conftest import CONFIGS, SHORT
from gen_experiments import load
from gen_experiments.commands.tiles import apply_in_tiles
from gen_experiments.images import to_float, to_uint8
from pictures_on_disk import write_pictures

SMALL = ("--model.generator.width=4", "--model.discriminator.width=4", "--trainer.max_steps=2", "--data.size=16")
RECIPES = {
    "translation": (f"--config={CONFIGS / 'translation.yaml'}",),
    "restoration_digits": (
        f"--config={CONFIGS / 'translation.yaml'}",
        f"--config={CONFIGS / 'experiments' / 'translation' / 'restoration_digits.yaml'}",
    ),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from gen_experiments.__main__ import main

    root, found = tmp_path_factory.mktemp("trained"), {}
    for name, recipe in RECIPES.items():
        assert main(["fit", *recipe, *SHORT, *SMALL, f"--run.root={root}"]) == 0
        found[name] = root / name / "version_0" / "checkpoints" / "last.ckpt"
    return found


def read(path):
    return torch.from_numpy(np.array(Image.open(path).convert("L")))[None]


def test_a_folder_is_translated_by_names(experiment, trained, tmp_path, capsys):
    write_pictures(tmp_path / "in" / "class", 3, size=(16, 16), mode="L")
    assert experiment("translate", trained["translation"], "--images=in", "--out=out") == 0
    assert "wrote 3 images to out" in capsys.readouterr().out
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert names == ["class/000.png", "class/001.png", "class/002.png"]
    model = load(trained["translation"])
    for name in names:
        with torch.inference_mode():
            expected = to_uint8(model.translate(to_float(read(tmp_path / "in" / name)[None])))[0]
        assert torch.equal(read(tmp_path / "out" / name), expected)


def test_a_grid_shows_originals_above_translations(experiment, trained, tmp_path):
    write_pictures(tmp_path / "in", 8, size=(16, 16), mode="L")
    assert experiment("translate", trained["translation"], "--images=in", "--to=B") == 0
    grid = read(tmp_path / "translations.png")[0]
    assert grid.shape == (2 * 18 + 2, 8 * 18 + 2)
    assert torch.equal(grid[2:18, 2:18], read(tmp_path / "in" / "000.png")[0])


def test_batches_do_not_matter_and_a_grid_shows_the_first(
    experiment, trained, checkpoints, tmp_path, capsys, monkeypatch
):
    write_pictures(tmp_path / "in", 5, size=(16, 16), mode="L")
    restorer = trained["restoration_digits"]
    commands = {
        "translate": ("translate", trained["translation"]),
        "restore": ("restore", restorer),
        "damage": ("damage", restorer),
        "reconstruct": ("reconstruct", checkpoints["vqvae"]),
    }

    def distances():
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("PSNR")]

    of_batches = []
    for size in (32, 2):
        monkeypatch.setattr("gen_experiments.commands.outputs.BATCH", size)
        for name, command in commands.items():
            assert experiment(*command, "--images=in", f"--out={name}/{size}") == 0
        assert experiment("restore", restorer, "--images=in", "--damaging", "--out=all.png") == 0
        of_batches.append(distances())
    assert len(of_batches[0]) == 2
    assert of_batches[0] == of_batches[1]
    for name in commands:
        whole, parts = (sorted((tmp_path / name / size).iterdir()) for size in ("32", "2"))
        assert [path.name for path in parts] == [path.name for path in whole] == [f"00{i}.png" for i in range(5)]
        for one, other in zip(whole, parts, strict=True):
            assert (read(one).int() - read(other).int()).abs().max() <= 1  # another batch rounds otherwise
    monkeypatch.setattr("gen_experiments.commands.outputs.SHOWN", 3)
    for name in ("translate", "reconstruct"):
        assert experiment(*commands[name], "--images=in", f"--out={name}.png") == 0
        assert Image.open(f"{name}.png").height in (2 * 18 + 2, 2 * 34 + 2)
    said = capsys.readouterr().out
    assert "wrote 3 images below their originals to translate.png" in said
    assert "wrote 3 images above their reconstructions to reconstruct.png" in said
    assert of_batches[0][0] in said  # of all five


def test_tiles_leave_no_seam():
    picture = torch.rand(3, 37, 61, generator=torch.Generator().manual_seed(0)) * 2 - 1
    # Of what each pixel says alone nothing is changed, wherever the tiles lie.
    torch.testing.assert_close(apply_in_tiles(lambda tiles: -0.5 * tiles, picture, 16), -0.5 * picture)
    # A network that knows only its tile's mean makes steps between tiles, which are blended: on a ramp no two
    # neighbouring pixels differ by more than the means of two tiles do over half a tile.
    ramp = torch.linspace(-1, 1, 64).expand(1, 64, 64)
    made = apply_in_tiles(lambda tiles: tiles.mean((2, 3), keepdim=True).expand_as(tiles), ramp, 16)
    assert made.diff(dim=-1).abs().max() < 1.1 * (2 / 63)
    assert made.diff(dim=-2).abs().max() < 1e-5
    assert apply_in_tiles(lambda tiles: tiles, picture[:, :5, :3], 16).shape == (3, 5, 3)


def test_whole_pictures_keep_their_size(experiment, trained, tmp_path):
    write_pictures(tmp_path / "in", 2, size=(40, 24), mode="L")
    assert experiment("translate", trained["translation"], "--images=in", "--out=out", "--whole") == 0
    assert read(tmp_path / "out" / "001.png").shape == (1, 24, 40)


def test_pictures_are_damaged_and_restored(experiment, trained, tmp_path, capsys):
    write_pictures(tmp_path / "in", 8, size=(16, 16), mode="L")
    recipe = CONFIGS / "experiments" / "translation" / "restoration_digits.yaml"
    assert experiment("damage", recipe, "--images=in", "--out=spoilt", "--seed=3") == 0
    assert experiment("damage", recipe, "--images=in", "--out=again", "--seed=3") == 0
    assert experiment("damage", recipe, "--images=in", "--out=other", "--seed=4") == 0
    first, again, other = (
        torch.stack([read(tmp_path / folder / f"{number:03d}.png") for number in range(8)])
        for folder in ("spoilt", "again", "other")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    capsys.readouterr()
    assert experiment("restore", trained["restoration_digits"], "--images=in", "--damaging") == 0
    said = capsys.readouterr().out
    grid = read(tmp_path / "restored.png")[0]
    tiles = [[grid[2 + 18 * row : 18 + 18 * row, 2 + 18 * i : 18 + 18 * i] for i in range(8)] for row in range(3)]
    squared = [
        [float((tiles[2][i].double() - tiles[row][i].double()).square().mean()) for i in range(8)] for row in (0, 1)
    ]
    before, after = (np.mean([10 * np.log10(255**2 / error) for error in row]) for row in squared)
    assert f"PSNR {before:.2f} dB damaged, {after:.2f} dB restored: {after - before:+.2f} dB" in said
    assert experiment("restore", trained["restoration_digits"], "--images=spoilt", "--out=out") == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 8


def test_what_cannot_be_done_is_said_in_one_line(refused, experiment, trained, checkpoints, tmp_path):
    write_pictures(tmp_path / "in", 2, size=(16, 16))
    translate = ("translate", trained["translation"])
    assert "cannot translate to A: choose from B" in refused(*translate, "--images=in", "--to=A")
    assert "there is no image folder nothing" in refused(*translate, "--images=nothing")
    assert "in holds originals" in refused(*translate, "--images=in", "--out=in")
    write_pictures(tmp_path / "nested", 1, size=(16, 16))
    write_pictures(tmp_path / "nested" / "deeper", 1, size=(16, 16))
    before = (tmp_path / "nested" / "deeper" / "000.png").read_bytes()
    assert "deeper holds originals" in refused(*translate, "--images=nested", "--out=nested/deeper")
    assert (tmp_path / "nested" / "deeper" / "000.png").read_bytes() == before
    assert "name a folder by --out" in refused(*translate, "--images=in", "--whole")
    assert "holds a VQVAE, which cannot translate" in refused("translate", checkpoints["vqvae"], "--images=in")
    assert "was trained without damage" in refused("restore", trained["translation"], "--images=in", "--damaging")
    config = tmp_path / "plain.yaml"
    config.write_text(yaml.safe_dump({"data": {"class_path": "ImageDataModule", "init_args": {"size": 16}}}))
    assert "damages nothing" in refused("damage", config, "--images=in")
    write_pictures(tmp_path / "in", 1, size=(16, 16), suffix=".bmp")
    assert "two pictures would both be written to out/000.png" in refused(*translate, "--images=in", "--out=out")
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_written_no_model_computes(refused, checkpoints, trained, monkeypatch, tmp_path):
    write_pictures(tmp_path / "in", 2, size=(16, 16))
    write_pictures(tmp_path / "in", 1, size=(16, 16), suffix=".bmp")
    write_pictures(tmp_path / "fine", 2, size=(16, 16))
    (tmp_path / "taken").write_text("a file")

    def forward(*_, **__):
        raise AssertionError("the model computed in vain")

    monkeypatch.setattr("gen_experiments.models.vqvae.VQVAE.reconstruct", forward)
    monkeypatch.setattr("gen_experiments.commands.outputs.to_float", forward)
    for command in (("reconstruct", checkpoints["vqvae"]), ("translate", trained["translation"])):
        assert "two pictures would both be written" in refused(*command, "--images=in", "--out=out")
        assert "in holds originals" in refused(*command, "--images=in", "--out=in")
        assert "cannot write taken: File exists" in refused(*command, "--images=fine", "--out=taken")
        assert "cannot write taken/deep: Not a directory" in refused(*command, "--images=fine", "--out=taken/deep")
        assert "cannot write taken: File exists" in refused(*command, "--images=fine", "--out=taken/a.png")
        assert "--out is empty" in refused(*command, "--images=fine", "--out=")


@pytest.mark.parametrize("command", ["memorisation", "project", "explore", "interpolate", "inpaint"])
def test_where_no_grid_can_be_written_nothing_is_loaded(refused, monkeypatch, tmp_path, command):
    def load(*_, **__):
        raise AssertionError("the model was loaded in vain")

    (tmp_path / "taken").write_text("a file")
    (tmp_path / "any.ckpt").write_text("of no use")
    write_pictures(tmp_path / "in", 1)
    monkeypatch.setattr(f"gen_experiments.commands.{command}.load_on_device", load)
    words = {"project": ["--images=in"], "inpaint": ["--images=in", "--mask=box"]}.get(command, [])
    if command == "inpaint":  # may write into a folder too
        assert "cannot write taken/proposal_1: Not a directory" in refused(command, "any.ckpt", *words, "--out=taken")
    else:
        no_grid = refused(command, "any.ckpt", *words, "--out=grid.txt")
        assert "cannot write grid.txt: name a file that ends in" in no_grid
    assert "cannot write taken: File exists" in refused(command, "any.ckpt", *words, "--out=taken/a.png")


@pytest.mark.parametrize(
    ("command", "words", "out"),
    [
        ("sample", ["{gan}"], "--out={}/a.png"),
        ("sample", ["{gan}"], "--out={}/samples"),
        ("encode", ["{vqvae}", "--images=in"], "--out={}/codes.npz"),
        ("decode", ["{vqvae}", "--codes=codes.npz"], "--out={}/a.png"),
        ("decode", ["{vqvae}", "--codes=codes.npz"], "--out={}/pictures"),
        ("stats", ["in", "--extractor=DigitsFeatures"], "--out={}/stats.npz"),
        ("evaluate", ["in", "in", "--extractor=DigitsFeatures"], "--json={}/record.json"),
        ("project", ["{gan}", "--images=in"], "--latents={}/noise.npz"),
    ],
)
def test_what_takes_long_is_not_begun_where_its_result_cannot_be_written(
    experiment, refused, checkpoints, monkeypatch, tmp_path, command, words, out
):
    write_pictures(tmp_path / "in", 2, size=(32, 32))
    assert experiment("encode", checkpoints["vqvae"], "--images=in") == 0
    (tmp_path / "taken").write_text("a file")

    def compute(*_, **__):
        raise AssertionError("all was computed in vain")

    work = {
        "sample": "models.gan.GAN.sample",
        "encode": "models.vqvae.VQVAE.encode",
        "decode": "models.vqvae.VQVAE.decode",
        "project": "commands.project._descend",
    }
    monkeypatch.setattr(f"gen_experiments.{work.get(command, 'metrics.features.DigitsFeatures.extract')}", compute)
    words = [word.format(**checkpoints) for word in words]
    assert "cannot write taken" in refused(command, *words, out.format("taken"))
