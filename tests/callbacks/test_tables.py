"""Tables at Weights & Biases, read back from what the real client wrote offline."""

import numpy as np
import pytest
import torch

import independent
from conftest import CONFIGS, SHORT, SMALL
from gen_experiments import load
from gen_experiments.data.pairs import outlines
from gen_experiments.images import to_float, to_uint8
from pictures_on_disk import write_pictures, write_png16
from wandb_files import table

TRANSLATOR = (
    f"--config={CONFIGS / 'translation.yaml'}",
    "--model.generator.width=4",
    "--model.discriminator.width=4",
    "--data.size=16",
)
TABLES = (*SHORT, "--trainer.max_steps=2", "--trainer.callbacks+=Tables", "--trainer.callbacks.count=5")


@pytest.fixture
def offline(experiment, monkeypatch, tmp_path):
    """Trains for two iterations; returns the run's folder."""
    monkeypatch.setenv("WANDB_MODE", "offline")

    def run(*options):
        assert experiment("fit", *options, *TABLES) == 0
        (folder,) = tmp_path.glob("runs/*/*")
        return folder

    return run


def chosen_digits(size):
    """The five of the validation digits that a table shows."""
    return independent.digits(size)[0][independent.held_out(1797)["val"]][np.linspace(0, 179, 5).astype(int)]


def test_pairs_are_shown_with_the_errors_of_their_translations(offline):
    folder = offline(*TRANSLATOR)
    truths = chosen_digits(16)
    sources = torch.from_numpy(outlines(truths.numpy()))
    with torch.inference_mode():
        made = to_uint8(load(folder / "checkpoints" / "last.ckpt").translate(to_float(sources)))
    columns, rows = table(folder, "translations", 32)
    assert columns == ["class", "source", "translation", "truth", "psnr", "ssim", "mse"]
    for number, (_, source, translation, truth, psnr, ssim, mse) in enumerate(rows):
        np.testing.assert_array_equal(source, sources[number, 0])
        np.testing.assert_array_equal(translation, made[number, 0])
        np.testing.assert_array_equal(truth, truths[number, 0])
        pair = made[number : number + 1], truths[number : number + 1]
        assert psnr == pytest.approx(independent.psnr(*pair).item(), rel=1e-5)
        assert ssim == pytest.approx(independent.ssim(*pair).mean(), abs=1e-5)
        assert mse == pytest.approx(10 ** (-psnr / 10), rel=1e-5)
    assert len(rows) == 5


def test_without_pairs_there_is_no_truth_to_be_shown(offline, tmp_path):
    for side in "ab":
        write_pictures(tmp_path / side, 20, (16, 16), seed=ord(side))
    folders = [f"--data.source.{side}={tmp_path / side}" for side in "ab"]
    data = ("--data.source=UnpairedFolders", *folders, "--data.size=32")
    recipe = f"--config={CONFIGS / 'experiments' / 'translation' / 'cyclegan.yaml'}"
    small = ("--model.generator.width=4", "--model.discriminator.width=4", "--evaluation.extractor=null")
    folder = offline(f"--config={CONFIGS / 'translation.yaml'}", recipe, *data, *small)
    columns, rows = table(folder, "translations", 32)
    assert columns == ["source", "translation"]
    assert {cell.shape for row in rows for cell in row} == {(32, 32, 3)}


def test_a_tokenizer_that_restores_is_shown_what_it_restored(offline):
    folder = offline(*SMALL["vqvae"], "--data.damage=[{class_path: Blur, init_args: {deviation: [3.0, 3.0]}}]")
    truths = chosen_digits(32)
    columns, rows = table(folder, "reconstructions", 32)
    assert columns == ["class", "source", "reconstruction", "truth", "psnr", "ssim", "mse"]
    model = load(folder / "checkpoints" / "last.ckpt")
    for number, (_, source, made, truth, *_) in enumerate(rows):
        np.testing.assert_array_equal(truth, truths[number, 0])
        assert np.abs(source.astype(int) - truth).mean() > 10
        with torch.inference_mode():
            expected = to_uint8(model.reconstruct(to_float(torch.tensor(source)[None, None])))
        assert np.abs(made.astype(int) - expected[0, 0].numpy()).max() <= 8  # the source was not rounded to 8 bits


LOWER_BITS = """
from gen_experiments.models.vqvae import VQVAE

class LowerBits(VQVAE):
    def reconstruct(self, images):
        return (((images + 1) * 32767.5).round() % 257) / 128 - 1
"""


def test_a_model_of_16_bits_is_given_16_bits(offline, tmp_path, monkeypatch):
    (tmp_path / "lower_bits.py").write_text(LOWER_BITS)
    monkeypatch.syspath_prepend(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 16, 16, 4), dtype=np.uint16)
    (tmp_path / "in").mkdir()
    for number, each in enumerate(pixels):
        write_png16(tmp_path / "in" / f"{number:02d}.png", each)
    data = ("--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=4")
    deep = ("--data.size=16", "--data.depth=16", "--evaluation.extractor=null")
    folder = offline(*SMALL["vqvae"], *data, *deep, "--model=lower_bits.LowerBits")
    _, rows = table(folder, "reconstructions", 32)
    # From eight bits all would be 0.
    assert all(made[..., :3].std() > 30 for _, _, made, *_ in rows)
