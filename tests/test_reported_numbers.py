"""Scores that a person reads, each beside the same number from the files that the program wrote and the data set."""

import math
import os
import re

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

import independent
from conftest import SMALL
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.commands.training_data import training_data
from gen_experiments.models.prior import CodePrior
from gen_experiments.models.vqvae import VQVAE
from reported_runs import COMMON, GAN, PRIOR, SEED, SIZE, checkpoint, features, write


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run each of a VQ-VAE, a conditional GAN and a masked prior."""
    from gen_experiments.__main__ import main

    folder, before = tmp_path_factory.mktemp("reported"), dict(os.environ)
    tokenizer = folder / "vqvae" / "version_0" / "checkpoints" / "last.ckpt"
    runs = ((*SMALL["vqvae"], "20"), (*GAN, "20"), (*PRIOR, f"--model.vqvae={tokenizer}", "12"))
    for *options, steps in runs:
        assert main(["fit", *options, *COMMON, f"--trainer.max_steps={steps}", f"--run.root={folder}"]) == 0
    os.environ.clear()
    os.environ.update(before)
    return folder


@pytest.fixture(scope="module")
def images():
    """The images of each split, and their labels."""
    pixels, labels = independent.digits(SIZE)
    return {name: (pixels[part], labels[part]) for name, part in independent.held_out(len(pixels)).items()}


def test_fid_is_that_of_the_samples_on_disk_and_the_training_images(experiment, trained, images, tmp_path):
    assert experiment("sample", checkpoint(trained, "gan"), "--num=180", "--out=made") == 0
    made = independent.read_pictures(sorted((tmp_path / "made").iterdir()))
    (reported,) = independent.column(trained / "gan" / "version_0" / "metrics.csv", "val/fid")
    expected = independent.frechet(features(images["train"][0]), features(made))
    assert reported == pytest.approx(expected, rel=1e-4)


def test_reconstructions_score_as_their_files_do(experiment, trained, images, tmp_path, capsys):
    run = trained / "vqvae" / "version_0"
    options = [*SMALL["vqvae"], *COMMON, f"--ckpt_path={checkpoint(trained, 'vqvae')}"]
    options += ["--data.eval_batch_size=100"]  # the last batch is short
    assert experiment("test", *options) == 0
    assert experiment("predict", *options) == 0
    remade = independent.read_pictures(sorted((run / "predictions").iterdir()))
    originals = images["test"][0]
    assert remade.shape == originals.shape

    def reported(name):
        (value,) = independent.column(run / "scores.csv", f"test/{name}")
        return value

    psnr, ssim = independent.psnr(remade, originals).mean(), independent.ssim(remade, originals).mean()
    rfid = independent.frechet(features(originals), features(remade))
    assert reported("psnr") == pytest.approx(psnr, rel=1e-4)
    assert reported("ssim") == pytest.approx(ssim, abs=1e-3)
    assert reported("rfid") == pytest.approx(rfid, rel=1e-3)
    squared = ((remade.double() - originals.double()) / 127.5).square().mean()
    assert reported("recon_mse") == pytest.approx(float(squared), rel=1e-3)
    with torch.no_grad():
        commitment = load_model(checkpoint(trained, "vqvae"), VQVAE, "test")(originals / 127.5 - 1)[1].loss
    assert reported("loss") == pytest.approx(reported("recon_mse") + float(commitment), rel=1e-4)
    write(originals, tmp_path / "pictures")
    assert experiment("encode", checkpoint(trained, "vqvae"), "--images=pictures") == 0
    with np.load("codes.npz") as archive:
        shares = np.unique(archive["codes"], return_counts=True)[1] / archive["codes"].size
    assert reported("perplexity") == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    assert reported("codebook_usage") == pytest.approx(len(shares) / 32, rel=1e-6)
    capsys.readouterr()
    extractor = "--extractor=DigitsFeatures"
    assert experiment("reconstruct", checkpoint(trained, "vqvae"), "--images=pictures", extractor) == 0
    printed = re.search(r"PSNR ([\d.]+) dB, SSIM (-?[\d.]+)\nrFID ([\d.]+)", capsys.readouterr().out)
    assert printed
    assert [float(value) for value in printed.groups()] == pytest.approx([psnr, ssim, rfid], rel=1e-3, abs=1e-3)


def test_the_loss_is_the_sum_of_its_terms(trained):
    terms = ("train/loss", "train/reconstruction", "train/quantizer")
    curves = (independent.column(trained / "vqvae" / "version_0" / "metrics.csv", name) for name in terms)
    whole, *parts = map(np.array, curves)
    assert whole == pytest.approx(sum(parts), rel=1e-5)
    assert (parts[1] > 0).all()


@pytest.fixture
def prior(trained):
    """The prior with the averaged weights of its file; and its raw ones."""
    model = load_model(checkpoint(trained, "prior"), CodePrior, "test")
    held = torch.load(checkpoint(trained, "prior"), weights_only=True)["state_dict"]

    def weights(prefix):
        return {name.removeprefix(prefix): w for name, w in held.items() if name.startswith(prefix)}

    return model, weights("ema.module."), weights("prior.")


def first_in_order(counts, order):
    """Which codes of each image are the so many first in an order."""
    return order.argsort(dim=1).argsort(dim=1) < counts[:, None]


def log_probabilities(prior, codes, hidden, conditions):
    """Natural logarithms, (B, L, K)."""
    with torch.no_grad():
        return prior.logits(codes, hidden, conditions).log_softmax(dim=-1)


def test_the_likelihood_is_that_of_the_averaged_prior(trained, images, prior):
    """Of n codes of an image hidden, n uniform: L / n times their sum of −log₂ p, a code."""
    model, averaged, _ = prior
    data = training_data(str(checkpoint(trained, "prior")), None)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    # One after the other, as in a program of one's own: each split has codes of its own.
    (validated,), (tested,) = (evaluate(model, data, verbose=False) for evaluate in (trainer.validate, trainer.test))
    model.prior.load_state_dict(averaged)
    expected = {}
    for split in ("val", "test"):
        pixels, labels = images[split]
        codes = model.encode(pixels / 127.5 - 1)
        length = codes.shape[1]
        drawn = torch.tensor([independent.uniform_of_image(place, 1 + length, 4) for place in range(len(codes))])
        counts = 1 + (length * drawn[:, 0]).long()
        hidden = first_in_order(counts, drawn[:, 1:])
        log_probs = log_probabilities(model.prior, codes, hidden, labels).gather(-1, codes[..., None])[..., 0]
        expected[f"{split}/nll"] = float(((-log_probs * hidden).sum(dim=1) / counts / math.log(2)).mean())
    (reported,) = independent.column(trained / "prior" / "version_0" / "metrics.csv", "val/nll")
    assert reported == pytest.approx(expected["val/nll"], rel=1e-5)
    assert {name: value for name, value in (validated | tested).items() if "nll" in name} == pytest.approx(
        expected, rel=1e-5
    )


def test_the_loss_is_over_a_cosine_of_the_codes(experiment, trained, images, prior):
    """The thirteenth iteration's in bits, by the weights of the checkpoint after twelve."""
    options = [*PRIOR, *COMMON, "--trainer.max_steps=13", f"--ckpt_path={checkpoint(trained, 'prior')}"]
    tokenizer = f"--model.vqvae={checkpoint(trained, 'vqvae')}"
    assert experiment("fit", *options, tokenizer, "--run.root=further", "--evaluation.samples=2") == 0
    (reported,) = independent.column("further/prior/version_0/metrics.csv", "train/loss")
    model, _, raw = prior
    model.prior.load_state_dict(raw)
    pixels, labels = images["train"]
    batch, _ = independent.batch_of(12, len(pixels), 32)
    codes, random = model.encode(pixels[batch] / 127.5 - 1), independent.source(SEED, 2, 12)
    dropped = torch.rand(32, generator=random) < 0.1
    conditions = torch.where(dropped, 10, labels[batch])
    shares = torch.cos(math.pi / 2 * torch.rand(32, generator=random))
    hidden = first_in_order(torch.ceil(shares * codes.shape[1]), torch.rand(*codes.shape, generator=random))
    log_probs = log_probabilities(model.prior, codes, hidden, conditions)
    entropies = -0.9 * log_probs.gather(-1, codes[..., None])[..., 0] - 0.1 * log_probs.mean(dim=-1)
    assert reported == pytest.approx(float(entropies[hidden].mean()) / math.log(2), rel=1e-5)


def test_samples_of_a_prior_are_settled_by_confidence_with_fading_noise(experiment, trained, prior, tmp_path, images):
    """MaskGIT's loop: after the share t of the steps the least sure cos(πt/2) of the codes are drawn once more.

    Sure is log p + 4.5 (1 − t) g with a Gumbel number g.
    """
    count, steps = 12, 5
    assert experiment("sample", checkpoint(trained, "prior"), f"--num={count}", "--out=made") == 0
    model, averaged, _ = prior
    model.prior.load_state_dict(averaged)
    sources = [independent.source(3, SEED, number) for number in range(count)]
    # A training image is drawn, whose class the sample gets.
    ends = np.bincount(images["train"][1]).cumsum()
    places = [int(torch.randint(int(ends[-1]), (1,), generator=random)) for random in sources]
    labels = torch.tensor([int((place >= ends).sum()) for place in places])
    length = model.prior.codes.length
    codes = torch.zeros(count, length, dtype=torch.int64)
    hidden = torch.ones(count, length, dtype=torch.bool)
    for step in range(1, steps + 1):
        log_probs = log_probabilities(model.prior, codes, hidden, labels)
        uniform, noise = torch.stack([torch.rand(2, length, generator=random) for random in sources]).unbind(1)
        sums = log_probs.exp().cumsum(dim=-1)
        drawn = (sums <= (uniform * sums[..., -1])[..., None]).sum(dim=-1)
        codes = torch.where(hidden, drawn, codes)
        sure = log_probs.gather(-1, codes[..., None])[..., 0] + 4.5 * (1 - step / steps) * -torch.log(-torch.log(noise))
        left = math.floor(math.cos(math.pi / 2 * step / steps) * length) if step < steps else 0
        ranks = sure.masked_fill(~hidden, math.inf).argsort(dim=1).argsort(dim=1)
        hidden = ranks < left
    with torch.no_grad():
        expected = ((model.decode(codes) + 1) * 127.5).round().clamp(0, 255)
    made = independent.read_pictures(sorted((tmp_path / "made").iterdir()))
    assert (made.float() - expected).abs().max() <= 1


def test_distances_to_training_images_are_those_of_the_files(experiment, trained, images, capsys, tmp_path):
    """Unseen images are at their distance from the training images, which themselves are at 0."""
    assert experiment("sample", checkpoint(trained, "gan"), "--num=40", "--out=made") == 0
    capsys.readouterr()
    assert experiment("memorisation", checkpoint(trained, "gan"), "--num=40") == 0
    said = capsys.readouterr().out
    reported = re.search(r"nearest training image: ([\d.]+), held-out ([\d.]+)", said)
    assert reported, said
    made = independent.read_pictures(sorted((tmp_path / "made").iterdir()))
    references = features(images["train"][0])
    for number, pictures in zip(reported.groups(), (made, images["test"][0]), strict=True):
        distances = np.linalg.norm(features(pictures)[:, None] - references, axis=-1).min(axis=1)
        assert float(number) == pytest.approx(np.sort(distances)[(len(distances) - 1) // 2], rel=2e-3)


def test_a_projection_is_no_worse_than_its_start(experiment, trained, images, capsys, tmp_path):
    """At a rate at which every step overshoots, the nearest of the 512 samples of its start is what it must keep."""
    pictures = images["val"][0][:3]
    write(pictures, tmp_path / "pictures")
    made = ["sample", checkpoint(trained, "gan"), "--num=512", "--class=3", "--out=made.png"]
    assert experiment(*made) == 0
    candidates = independent.tiles("made.png", SIZE)[:512]
    capsys.readouterr()
    options = ["--images=pictures", "--class=3", "--lr=20", "--steps=20"]
    assert experiment("project", checkpoint(trained, "gan"), *options) == 0
    reported = [float(value) for value in re.findall(r"PSNR ([\d.]+) dB", capsys.readouterr().out)]
    shown = independent.tiles("projections.png", SIZE)
    assert torch.equal(shown[:3], pictures)
    for number, picture in enumerate(pictures):
        assert reported[number] == pytest.approx(independent.psnr(shown[8 + number], picture[None])[0], abs=0.01)
        nearest = independent.psnr(candidates, picture[None]).max()
        assert reported[number] > nearest - 0.02


@pytest.mark.long
def test_a_classifier_is_trained_on_what_the_table_says(experiment, trained, capsys, tmp_path):
    """Most training images are ones: who learnt from them is wrong of test images that are zeros, right of ones."""
    random = np.random.default_rng(0)
    for split, common in (("train", {1: 100}), ("test", {0: 70, 1: 22})):  # of 100 test images
        for label in range(10):
            count = common.get(label, 1)
            pictures = random.integers(0, 256, (count, 1, SIZE, SIZE), dtype=np.uint8)
            write(pictures, tmp_path / "pictures" / split / str(label))
    source = f"{{class_path: ImageFolder, init_args: {{root: {tmp_path / 'pictures'}, channels: 1}}}}"
    (tmp_path / "data.yaml").write_text(
        f"data: {{class_path: ImageDataModule, init_args: {{size: {SIZE}, source: {source}}}}}\n"
    )
    options = ["--config=data.yaml", "--per-class=1", "--steps=20"]
    assert experiment("augment-score", checkpoint(trained, "gan"), *options) == 0
    rows = dict(re.findall(r"(real|both) +│ +\d+ +│ ([\d.]+)%", capsys.readouterr().out))
    assert all(21 <= float(rows[name]) <= 24 for name in ("real", "both")), rows
