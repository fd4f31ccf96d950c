"""Pictures of another height than width through whole programs: training, samples, codes, scores and every command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import CONFIGS, SHORT, SMALL, SMALL_PRIOR
from gen_experiments import load
from gen_experiments.images import to_float, to_uint8
from pictures_on_disk import write_pictures

HEIGHT, WIDTH = 32, 48
pytestmark = pytest.mark.long  # seven trainings
SIZE = f"--data.size=[{HEIGHT}, {WIDTH}]"
TRANSLATOR = (
    f"--config={CONFIGS / 'translation.yaml'}",
    "--model.generator.width=4",
    "--model.discriminator.width=4",
    "--data.source.source=ImageFolder",
    "--data.source.source.channels=1",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pictures of two classes, and runs of a VQ-VAE, its prior, a hierarchy, a GAN, a translator and an extractor."""
    from gen_experiments.__main__ import main

    root = tmp_path_factory.mktemp("wide")
    for number, name in enumerate(("one", "two")):
        write_pictures(root / "in" / name, 40, size=(60, 50), mode="L", seed=number)
    extractor = root / "extractor" / "version_0" / "checkpoints" / "last.ckpt"
    scored = ["--evaluation.extractor=TrainedFeatures", f"--evaluation.extractor.weights={extractor}"]
    folder = ["--data.source=ImageFolder", f"--data.source.root={root / 'in'}", "--data.source.channels=1"]
    few = [*SHORT, SIZE, "--trainer.max_steps=2", f"--run.root={root}", "--data.eval_batch_size=8"]
    tokenizer = root / "vqvae" / "version_0" / "checkpoints" / "last.ckpt"
    level = "{class_path: EMAQuantizer, init_args: {num_codes: 32, dim: 8}}"
    levels = [f"--model.quantizer.init_args.{name}={level}" for name in ("top", "bottom")]
    plain = SMALL["vqvae"][:-2]
    runs = [
        (f"--config={CONFIGS / 'extractor.yaml'}", "--model.network.width=4", "--run.name=extractor", *folder),
        (*SMALL["vqvae"], *folder, *scored),
        (*SMALL_PRIOR, f"--model.vqvae={tokenizer}", *folder, *scored, "--data.flip=true", "--evaluation.samples=16"),
        (*plain, "--model.quantizer=HierarchicalQuantizer", *levels, "--run.name=levels", *folder, *scored),
        (*SMALL["gan"], *folder, *scored, "--evaluation.samples=16"),
        (*TRANSLATOR, f"--data.source.source.root={root / 'in'}", *scored),
    ]
    for arguments in runs:
        assert main(["fit", *arguments, *few]) == 0, arguments
    return root


def checkpoint(root, name):
    return root / name / "version_0" / "checkpoints" / "last.ckpt"


def sizes(folder):
    return {Image.open(path).size for path in folder.rglob("*.png")}


@pytest.mark.parametrize("name", ["gan", "prior"])
def test_samples_are_as_high_and_wide_as_the_data(experiment, root, tmp_path, name):
    assert experiment("sample", checkpoint(root, name), "--num=3", "--out=samples") == 0
    assert sizes(tmp_path / "samples") == {(WIDTH, HEIGHT)}


@pytest.mark.parametrize("name", ["vqvae", "levels"])
def test_codes_are_written_and_give_the_reconstructions(experiment, root, tmp_path, name):
    path, model = checkpoint(root, name), load(checkpoint(root, name))
    assert experiment("encode", path, f"--images={root / 'in'}") == 0
    held = np.load(tmp_path / "codes.npz")
    # Two halvings of 32 × 48.
    assert held["grids"].tolist() == ([[8, 12]] if name == "vqvae" else [[4, 6], [8, 12]])
    assert experiment("decode", path, "--codes=codes.npz", "--out=decoded") == 0
    first = np.array(Image.open(root / "in" / held["files"][0]).resize((60, 50)))
    assert first.shape == (50, 60)
    # 50 × 60 is brought to 32 × 48 from the central 40 × 60.
    cut = Image.fromarray(first[5:45]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    with torch.inference_mode():
        expected = to_uint8(model.reconstruct(to_float(torch.from_numpy(np.array(cut))[None, None])))[0, 0]
    made = torch.from_numpy(
        np.array(Image.open(tmp_path / "decoded" / Path(str(held["files"][0])).with_suffix(".png")))
    )
    assert made.shape == (HEIGHT, WIDTH)
    assert (made.int() - expected.int()).abs().max() <= 1


def test_a_prior_fills_what_a_box_or_a_picture_covers_and_nothing_else(experiment, root, tmp_path):
    write_pictures(tmp_path / "few", 2, size=(WIDTH, HEIGHT), mode="L")
    covered = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    covered[4:12, 30:48] = 255
    Image.fromarray(covered).save(tmp_path / "mask.png")
    for mask in ("30,4,48,12", "mask.png"):
        arguments = ["--images=few", f"--mask={mask}", "--proposals=1"]
        assert experiment("inpaint", checkpoint(root, "prior"), *arguments) == 0
        sheet = np.array(Image.open(tmp_path / "inpainted.png"))
        assert sheet.shape == (2 * (HEIGHT + 2) + 2, 3 * (WIDTH + 2) + 2)
        original, _, filled = (sheet[2 : 2 + HEIGHT, left : left + WIDTH] for left in (2, 52, 102))
        assert (original[covered == 0] == filled[covered == 0]).all()
        assert (original[covered > 0] != filled[covered > 0]).any()


def test_a_box_or_a_mask_that_lies_the_other_way_round_is_refused(refused, root, tmp_path):
    write_pictures(tmp_path / "few", 1, size=(WIDTH, HEIGHT), mode="L")
    Image.new("L", (HEIGHT, WIDTH), 255).save(tmp_path / "mask.png")
    arguments = ["inpaint", checkpoint(root, "prior"), "--images=few"]
    assert "a mask must have 32x48" in refused(*arguments, "--mask=mask.png")
    assert "does not lie in a picture of 32x48" in refused(*arguments, "--mask=4,30,12,48")


@pytest.mark.parametrize("name", ["vqvae", "gan", "prior", "translation"])
def test_every_model_is_scored(experiment, root, tmp_path, name):
    in_pairs = name in ("vqvae", "translation")
    metrics = f"--metrics=[fid{',psnr,ssim' if in_pairs else ''}]"
    assert experiment("evaluate", checkpoint(root, name), "--num=8", metrics, "--json=score.json") == 0
    held = json.loads((tmp_path / "score.json").read_text())
    assert held["protocol"]["evaluated"]["size"] == held["protocol"]["reference"]["size"] == [HEIGHT, WIDTH]
    assert set(held["scores"]) == ({"fid", "psnr", "ssim"} if in_pairs else {"fid"})


def test_pictures_are_translated_at_the_models_size_and_whole(experiment, root, tmp_path):
    path = checkpoint(root, "translation")
    write_pictures(tmp_path / "some", 1, size=(61, 83), mode="L")
    assert experiment("translate", path, "--images=some", "--out=out") == 0
    assert sizes(tmp_path / "out") == {(WIDTH, HEIGHT)}
    assert experiment("translate", path, "--images=some", "--out=whole", "--whole") == 0
    assert sizes(tmp_path / "whole") == {(61, 83)}


def test_the_other_commands_take_them(experiment, root, tmp_path):
    gan, vqvae = checkpoint(root, "gan"), checkpoint(root, "vqvae")
    assert experiment("interpolate", gan, "--points=2", "--steps=3") == 0
    assert Image.open(tmp_path / "interpolation.png").height % (HEIGHT + 2) == 2
    write_pictures(tmp_path / "few", 1, size=(WIDTH, HEIGHT), mode="L")
    assert experiment("project", gan, "--images=few", "--steps=2") == 0
    assert experiment("reconstruct", vqvae, "--images=few") == 0
    assert experiment("memorisation", gan, "--num=64") == 0
    assert experiment("export", checkpoint(root, "levels"), "--formats=[safetensors,torch_export]") == 0
    exported, kept = load(tmp_path / "exported"), load(checkpoint(root, "levels"))
    assert exported.image == kept.image
    codes = torch.randint(0, 32, (2, 6 * 4 + 12 * 8))
    assert torch.equal(exported.decode(codes), kept.decode(codes))
    assert kept.decode(codes).shape == (2, 1, HEIGHT, WIDTH)
