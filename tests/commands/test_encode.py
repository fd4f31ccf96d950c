import re

import numpy as np
import pytest
import torch

from gen_experiments.images import to_float, to_uint8
from gen_experiments.models.checkpoints import load_model
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
        decoded = np.asarray(Image.open(f"decoded/0000{number}.png")).astype(int)
        assert np.abs(decoded - expected.numpy()).max() <= 1


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


def test_reconstruct_prints_how_close_they_are(experiment, checkpoints, encoded, capsys):
    options = ["--images=pictures", "--extractor=DigitsFeatures"]
    assert experiment("reconstruct", checkpoints["vqvae"], *options) == 0
    said = capsys.readouterr().out
    assert re.search(r"PSNR [\d.]+ dB, SSIM -?[\d.]+", said)
    assert re.search(r"rFID [\d.]+ of 3 images by DigitsFeatures", said)


def test_mistakes_get_one_line(experiment, checkpoints, encoded, tmp_path, capsys):
    def told(*arguments):
        capsys.readouterr()
        assert experiment(*arguments) not in (0, None)
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return line

    assert "holds a GAN, which cannot encode" in told("encode", checkpoints["gan"], "--images=pictures")
    assert "holds no codes" in told("decode", checkpoints["vqvae"], "--codes=pictures/000.png")
    assert "holds no codes" in told("decode", checkpoints["vqvae"], "--codes=nowhere.npz")
    np.savez(tmp_path / "large.npz", codes=np.full((1, 8, 8), 32))
    assert "holds codes up to 32" in told("decode", checkpoints["vqvae"], "--codes=large.npz")
    np.savez(tmp_path / "wide.npz", codes=np.zeros((1, 9, 8), dtype=np.uint8))
    assert "of shape (1, 9, 8)" in told("decode", checkpoints["vqvae"], "--codes=wide.npz")
    np.savez(tmp_path / "empty.npz", codes=np.zeros((0, 8, 8)))
    assert "holds no codes" in told("decode", checkpoints["vqvae"], "--codes=empty.npz")
