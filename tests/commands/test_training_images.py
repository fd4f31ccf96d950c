"""memorisation and augment-score: a checkpoint against the images it was trained on."""

import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gen_experiments.checkpoints.loading import load_model
from gen_experiments.commands import augment_score
from gen_experiments.commands.memorisation import verdict
from gen_experiments.commands.training_data import training_data
from gen_experiments.images import to_uint8
from gen_experiments.metrics.features import DigitsFeatures
from gen_experiments.models.gan import GAN
from gen_experiments.models.prior import CodePrior


def test_the_data_are_those_of_the_run(checkpoints):
    data = training_data(str(checkpoints["prior"]), None)
    assert data.flip
    assert data.batch_size == 16
    assert len(data.split("train")) == 1437


def test_the_nearest_stand_above_their_training_images(experiment, checkpoints, capsys):
    assert experiment("memorisation", checkpoints["gan"], "--num=60", "--out=a.png") == 0
    said = capsys.readouterr().out
    assert "distances between features of DigitsFeatures\n" in said
    assert re.search(
        r"near-copies: [\d.]+% of 60 generated images; 0.55% are expected of unseen images, by the 180", said
    )
    # An untrained generator's grey squares are no proof of privacy.
    assert "which does not prove that there are none: generated images lie farther from training images" in said
    grid = np.asarray(Image.open("a.png"))
    assert grid.shape == (8 * 34 + 2, 8 * 34 + 2)
    generated, beside = grid[2:34, 2:34].astype(int), grid[36:68, 2:34]
    with torch.no_grad():
        made = to_uint8(load_model(checkpoints["gan"], GAN, "test").sample(0, 60))[:, 0].numpy().astype(int)
    assert np.abs(made - generated).max(axis=(1, 2)).min() <= 1
    images = training_data(str(checkpoints["gan"]), None).split("train")
    assert any(np.array_equal(image, beside) for image in images.read(np.arange(len(images)))[:, 0].numpy())


def test_the_nearest_of_a_seed_by_hand(experiment, checkpoints, capsys, tmp_path):
    # With so large weights the samples of a GAN that is hardly trained differ in the image that is nearest.
    shutil.copytree(checkpoints["gan"].parent.parent, tmp_path / "loud")
    loud = tmp_path / "loud" / "checkpoints" / "last.ckpt"
    contents = torch.load(loud, weights_only=True)
    for name, weight in contents["state_dict"].items():
        if name.startswith("ema") and weight.ndim > 1:
            weight.mul_(30)
    torch.save(contents, loud)
    assert experiment("memorisation", loud, "--num=60", "--seed=5", "--out=a.png") == 0
    data, network = training_data(str(loud), None), DigitsFeatures()
    train, test = (data.split(name).read(np.arange(len(data.split(name)))) for name in ("train", "test"))
    with torch.no_grad():
        made = to_uint8(load_model(loud, GAN, "test").sample(0, 60, seed=5))
    distances, unseen = (torch.cdist(network(images).double(), network(train).double()) for images in (made, test))
    grid = np.asarray(Image.open("a.png")).astype(int)
    assert len(distances.argmin(1).unique()) > 3
    for column, number in enumerate(distances.min(1).values.argsort()[:8]):
        left = 2 + 34 * column
        assert np.abs(grid[2:34, left : left + 32] - made[number, 0].numpy()).max() <= 1
        assert np.array_equal(grid[36:68, left : left + 32], train[distances[number].argmin(), 0].numpy())
    said = r"median distance to the nearest training image: ([\d.]+), held-out ([\d.]+)\n"
    medians = [float(each.min(1).values.median()) for each in (distances, unseen)]
    assert [*map(float, re.search(said, capsys.readouterr().out).groups())] == pytest.approx(medians, rel=1e-3)


def test_the_verdict_never_comforts():
    assert (
        verdict(0.02, 1.0)
        == "generated images lie nearer to training images than unseen ones do (p = 0.02): see the picture"
    )
    assert verdict(None, 0.0).startswith("too few images to tell copies from chance")
    assert verdict(1.0, 0.3) == "no sign of copies (p = 1), which does not prove that there are none"


def test_three_classifiers_are_compared(experiment, checkpoints, capsys, tmp_path):
    # With fewer test images than validation images.
    described = yaml.safe_load((checkpoints["prior"].parents[1] / "config.yaml").read_text())
    described["data"]["init_args"]["test_size"] = 30
    (tmp_path / "fewer.yaml").write_text(yaml.safe_dump({"data": described["data"]}))
    options = ["--per-class=3", "--steps=10", "--config=fewer.yaml"]
    with pytest.warns(UserWarning, match="trained on other images"):
        assert experiment("augment-score", checkpoints["prior"], *options) == 0
    said = capsys.readouterr().out
    rows = re.findall(r"(real|generated|both) +│ +(\d+) +│ ([\d.]+)% +│ ([\d.]+)% to ([\d.]+)%", said)
    assert [(name, int(count)) for name, count, *_ in rows] == [("real", 1587), ("generated", 30), ("both", 1617)]
    for _, _, *shares in rows:
        accuracy, low, high = (float(share) / 100 for share in shares)
        # Wilson's interval of so many right ones of 30: the roots of (p̂ − p)² = z² p(1 − p)/n.
        right, z = round(30 * accuracy), 1.959964
        wilson = np.roots([1 + z**2 / 30, -(2 * right / 30 + z**2 / 30), (right / 30) ** 2]).real
        assert (accuracy, low, high) == pytest.approx((right / 30, *sorted(wilson)), abs=1e-4)


def test_a_classifier_judges_each_image_by_itself(monkeypatch):
    monkeypatch.setattr(augment_score, "BATCH", 8)
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat(16)
    images = (labels * 2.0 - 1).view(-1, 1, 1, 1) + 0.1 * torch.randn(32, 1, 32, 32, generator=rng)
    of_each = [(images[labels == label], labels[labels == label]) for label in (0, 1)]
    right = [augment_score._right(images, labels, test, 2, 20, 0, torch.device("cpu")) for test in of_each]
    # Normalised by the images beside it, one of a batch of one brightness alone would have none.
    assert right == [16, 16]


def test_each_class_is_generated_as_often_and_a_seed_names_the_result(experiment, checkpoints, capsys, monkeypatch):
    asked, drawn = [], CodePrior.sample

    def sample(model, first, count, seed=0, labels=None, truncation=1.0):
        asked.append((first, count, seed, labels.tolist()))
        return drawn(model, first, count, seed, labels, truncation)

    monkeypatch.setattr(CodePrior, "sample", sample)
    said = []
    for _ in range(2):
        torch.rand(1)  # what was drawn before has no influence
        assert experiment("augment-score", checkpoints["prior"], "--per-class=20", "--steps=10", "--seed=4") == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert [(first, count, seed) for first, count, seed, _ in asked[:2]] == [(0, 128, 4), (128, 72, 4)]
    assert [label for *_, labels in asked[:2] for label in labels] == [label for label in range(10) for _ in range(20)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memorisation", "vqvae"], "holds a VQVAE, which cannot sample"),
        (["memorisation", "gan", "--share=1"], "share must be in (0, 1)"),
        (["memorisation", "gan", "--config=nowhere.yaml"], "nowhere.yaml does not say what data was trained on"),
        (["augment-score", "gan"], "augment-score needs a model of classes"),
        (["augment-score", "prior", "--steps=0"], "steps must be >= 10"),
    ],
)
def test_mistakes_get_one_line(experiment, checkpoints, capsys, arguments, message):
    command, model, *options = arguments
    assert experiment(command, checkpoints[model], *options) not in (0, None)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert message in said[0]


def test_a_config_that_names_foreign_code_is_not_imported(experiment, checkpoints, capsys, tmp_path):
    run = tmp_path / "copied"
    shutil.copytree(checkpoints["gan"].parent.parent, run)
    message = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(re.sub(r"gen_experiments\.data\.sources\.Digits", "os.path.Digits", message))
    assert experiment("memorisation", run / "checkpoints" / "last.ckpt") not in (0, None)
    assert "names os.path.Digits" in capsys.readouterr().err
