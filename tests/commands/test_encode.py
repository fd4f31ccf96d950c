import re
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import CONFIGS, SHORT, SMALL
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.images import to_float, to_uint8
from gen_experiments.models.vqvae import VQVAE
from pictures_on_disk import write_pictures


@pytest.fixture
def encoded(experiment, checkpoints, tmp_path):
    write_pictures(tmp_path / "pictures", 3, size=(32, 32), mode="L")
    assert experiment("encode", checkpoints["vqvae"], "--images=pictures") == 0
    return tmp_path / "codes.npz"


def test_decoded_codes_are_the_reconstructions(experiment, checkpoints, encoded, capsys):
    from PIL import Image

    assert experiment("decode", checkpoints["vqvae"], f"--codes={encoded}", "--out=decoded") == 0
    model = load_model(checkpoints["vqvae"], VQVAE, "test")
    for number in range(3):
        original = torch.from_numpy(np.asarray(Image.open(f"pictures/00{number}.png")).copy())[None, None]
        with torch.no_grad():
            expected = to_uint8(model.reconstruct(to_float(original)))[0, 0]
        decoded = np.asarray(Image.open(f"decoded/00{number}.png")).astype(int)
        assert np.abs(decoded - expected.numpy()).max() <= 1


def test_decoded_pictures_have_the_names_of_the_originals(experiment, checkpoints, tmp_path, capsys):
    write_pictures(tmp_path / "cells" / "day 1", 2, size=(32, 32), mode="L")
    (tmp_path / "cells" / "day 1" / "001.png").rename(tmp_path / "cells" / "grün.b.PNG")
    assert experiment("encode", checkpoints["vqvae"], "--images=cells") == 0
    decode = ["decode", checkpoints["vqvae"], "--codes=codes.npz"]
    assert experiment(*decode, "--out=decoded") == 0
    assert experiment("reconstruct", checkpoints["vqvae"], "--images=cells", "--out=remade") == 0
    names = {"day 1/000.png", "grün.b.png"}
    for folder in ("decoded", "remade"):
        files = {file.relative_to(folder).as_posix(): file for file in Path(folder).rglob("*.png")}
        assert set(files) == names
        assert all(file.read_bytes() == (Path("decoded") / name).read_bytes() for name, file in files.items())
    # Neither an original nor an earlier result is overwritten.
    before = Path("cells/day 1/000.png").read_bytes()
    capsys.readouterr()
    assert experiment(*decode, "--out=cells") == 1
    assert "error: cells holds day 1/000.png already: name a new folder by --out\n" in capsys.readouterr().err
    assert experiment("reconstruct", checkpoints["vqvae"], "--images=cells", "--out=cells") == 1
    assert Path("cells/day 1/000.png").read_bytes() == before


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["a.png", "a.tif", "b.png"], {"00000.png", "00001.png", "00002.png"}),  # two would be a.png
        (["a.png", "b.png"], {"00000.png", "00001.png", "00002.png"}),  # one is missing
        (None, {"00000.png", "00001.png", "00002.png"}),
        (["a.png", "b.png", "../c.png"], None),
        (["a.png", "b.png", "/tmp/c.png"], None),
        (["a.png", "b.png", "."], None),
    ],
)
def test_names_that_cannot_be_written_are_numbers_or_refused(experiment, checkpoints, tmp_path, capsys, names, written):
    held = {"codes": np.zeros((3, 8, 8), dtype=np.uint8)} | ({} if names is None else {"files": np.array(names)})
    np.savez(tmp_path / "codes.npz", **held)
    done = experiment("decode", checkpoints["vqvae"], "--codes=codes.npz", "--out=out/in")
    assert done == (1 if written is None else 0)
    assert {file.name for file in tmp_path.rglob("*.png")} == (written or set())
    assert written or "which is no path below a folder" in capsys.readouterr().err
    if written:  # numbers say nothing of what they are of
        assert experiment("decode", checkpoints["vqvae"], "--codes=codes.npz", "--out=out/in") == 1
        assert "out/in exists and is no empty folder" in capsys.readouterr().err


def test_the_bits_are_those_of_the_codes(experiment, checkpoints, encoded, capsys):
    assert experiment("encode", checkpoints["vqvae"], "--images=pictures") == 0
    with np.load(encoded) as archive:
        codes = archive["codes"]
    assert codes.shape == (3, 8, 8)
    assert codes.dtype == np.uint8
    fixed, entropy = re.findall(r"([\d.e-]+)(?: bits per pixel| by the entropy)", capsys.readouterr().out)
    # 8 x 8 codes of 5 bits for 32 x 32 pixels.
    assert float(fixed) == pytest.approx(64 * 5 / 1024, rel=1e-3)
    _, counts = np.unique(codes, return_counts=True)
    shares = counts / counts.sum()
    assert float(entropy) == pytest.approx(-(shares * np.log2(shares)).sum() / 16, rel=1e-2)


def test_the_codes_come_with_what_a_prior_of_somebody_else_needs(experiment, checkpoints, tmp_path):
    for name, count in (("7", 2), ("2", 1)):
        write_pictures(tmp_path / "classes" / name / "deep", count, size=(32, 32), mode="L")
    assert experiment("encode", checkpoints["vqvae"], "--images=classes") == 0
    with np.load(tmp_path / "codes.npz") as archive:
        assert archive["codes"].shape == (3, 8, 8)
        assert archive["codebook_size"] == 32
        assert archive["grids"].tolist() == [[8, 8]]
        assert archive["files"].tolist() == ["2/deep/000.png", "7/deep/000.png", "7/deep/001.png"]
        # The numbers are those of the model, which knows the ten digits.
        assert archive["labels"].tolist() == [2, 7, 7]
        assert archive["class_names"].tolist() == list("0123456789")
    (tmp_path / "classes" / "7").rename(tmp_path / "classes" / "zebra")
    assert experiment("encode", checkpoints["vqvae"], "--images=classes") == 0
    with np.load(tmp_path / "codes.npz") as archive:
        assert archive["labels"].tolist() == [0, 1, 1]
        assert archive["class_names"].tolist() == ["2", "zebra"]
    write_pictures(tmp_path / "classes", 1, size=(32, 32), mode="L")
    assert experiment("encode", checkpoints["vqvae"], "--images=classes") == 0
    with np.load(tmp_path / "codes.npz") as archive:
        assert set(archive.files) == {"codes", "codebook_size", "grids", "files"}
        assert archive["files"][0] == "000.png"


QUANTIZERS = {
    "residual": ["--config", CONFIGS / "experiments" / "vqvae" / "quantizers" / "residual_2x512.yaml"],
    "hierarchy": ["--config", CONFIGS / "experiments" / "vqvae" / "vqvae2_cifar10.yaml"],
}


@pytest.mark.parametrize(("name", "ends"), [("residual", (64, 128)), ("hierarchy", (16, 80))])
def test_the_entropy_is_that_of_a_coder_who_knows_the_level(experiment, tmp_path, capsys, name, ends):
    narrow = [word for word in SMALL["vqvae"][1:] if "quantizer" not in word]
    few = ["--trainer.max_steps=1", "--data.val_size=20", "--run.name=levels"]
    assert experiment("fit", SMALL["vqvae"][0], *QUANTIZERS[name], *narrow, *SHORT, *few) == 0
    write_pictures(tmp_path / "pictures", 6, size=(32, 32), mode="L")
    capsys.readouterr()
    checkpoint = tmp_path / "runs" / "levels" / "version_0" / "checkpoints" / "last.ckpt"
    assert experiment("encode", checkpoint, "--images=pictures") == 0
    said = capsys.readouterr().out
    with np.load(tmp_path / "codes.npz") as archive:
        codes = archive["codes"].reshape(6, -1)
        sizes = archive["grids"].prod(axis=1)
    assert sizes.cumsum().tolist() == list(ends)
    expected = []
    for level in np.split(codes, ends, axis=1)[:2]:
        shares = np.unique(level, return_counts=True)[1] / level.size
        expected.append(-(shares * np.log2(shares)).sum() * level.shape[1] / 1024)
    pattern = r"([\d.e-]+) by the entropy of the codes of each level \(([\d.e-]+) \+ ([\d.e-]+)\)"
    printed = [float(bits) for bits in re.search(pattern, said).groups()]
    assert printed == pytest.approx([sum(expected), *expected], rel=1e-3)


def test_reconstruct_prints_how_close_they_are(experiment, checkpoints, encoded, capsys):
    options = ["--images=pictures", "--extractor=DigitsFeatures"]
    assert experiment("reconstruct", checkpoints["vqvae"], *options) == 0
    said = capsys.readouterr().out
    assert re.search(r"PSNR [\d.]+ dB, SSIM -?[\d.]+", said)
    assert re.search(r"rFID [\d.]+ of 3 images by DigitsFeatures", said)


def test_mistakes_get_one_line(experiment, checkpoints, encoded, tmp_path, capsys):
    def message(*arguments):
        capsys.readouterr()
        assert experiment(*arguments) not in (0, None)
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return line

    assert "holds a GAN, which cannot encode" in message("encode", checkpoints["gan"], "--images=pictures")
    assert "holds no codes" in message("decode", checkpoints["vqvae"], "--codes=pictures/000.png")
    assert "holds no codes" in message("decode", checkpoints["vqvae"], "--codes=nowhere.npz")
    np.savez(tmp_path / "large.npz", codes=np.full((1, 8, 8), 32))
    assert "holds codes up to 32" in message("decode", checkpoints["vqvae"], "--codes=large.npz")
    np.savez(tmp_path / "wide.npz", codes=np.zeros((1, 9, 8), dtype=np.uint8))
    assert "of shape (1, 9, 8)" in message("decode", checkpoints["vqvae"], "--codes=wide.npz")
    np.savez(tmp_path / "empty.npz", codes=np.zeros((0, 8, 8)))
    assert "holds no codes" in message("decode", checkpoints["vqvae"], "--codes=empty.npz")
