"""A classifier of one's own data, and the extractor that it becomes."""

import copy
import csv
import functools
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import gen_experiments
import independent
from conftest import CONFIGS
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec, to_float
from gen_experiments.metrics.classifier_net import ClassifierNet
from gen_experiments.metrics.scripted import ScriptedFeatures
from gen_experiments.metrics.trained import TrainedFeatures
from gen_experiments.models.classifier import Classifier, shift_randomly
from gen_experiments.randomness import Stream, generator
from small_models import ADAM, IMAGES, Logged, quiet_trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a short run of `configs/extractor.yaml`."""
    from gen_experiments.__main__ import main

    folder = tmp_path_factory.mktemp("extractor")
    quick = ["--model.network.width=8", "--trainer.max_steps=60", "--trainer.val_check_interval=60"]
    arguments = [
        f"--config={CONFIGS / 'extractor.yaml'}",
        f"--run.root={folder}",
        "--trainer.enable_progress_bar=false",
    ]
    assert main(["fit", *arguments, *quick, "--data.size=16"]) == 0
    return folder / "extractor" / "version_0"


def test_accuracy_and_confusion_are_those_of_the_checkpoint(run):
    model = gen_experiments.load(run)
    pixels, labels = independent.digits(16)
    chosen = independent.held_out(len(pixels))["val"]
    with torch.no_grad():
        found = model(pixels[chosen].float() / 127.5 - 1).argmax(1).numpy()
    true = labels[chosen].numpy()
    (accuracy,) = independent.column(run / "metrics.csv", "val/accuracy")
    assert accuracy == pytest.approx((found == true).mean(), abs=1e-6)
    assert accuracy > 0.3
    with (run / "confusion.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["true class", *(f"found {number}" for number in range(10))]
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (true, found), 1)
    assert [[int(count) for count in row[1:]] for row in rows] == expected.tolist()


def test_its_features_compare_images(run, experiment, tmp_path):
    checkpoint = run / "checkpoints" / "best.ckpt"
    network = TrainedFeatures(str(run))
    pixels, _ = independent.digits(16)
    model = gen_experiments.load(checkpoint)
    activations = []
    model.network.layers.register_forward_hook(lambda module, given, found: activations.append(found))
    logits = model(pixels[:200].float() / 127.5 - 1)
    torch.testing.assert_close(network(pixels[:200]), activations[0].detach())
    torch.testing.assert_close(network.classify(network(pixels[:200])), logits.detach())
    # Images of another size and colour are brought to those of the training.
    assert network(torch.zeros(2, 3, 40, 40, dtype=torch.uint8)).shape == (2, 128)
    (tmp_path / "own.yaml").write_text(
        "data:\n  class_path: ImageDataModule\n  init_args: {source: Digits, size: 16}\n"
        f"evaluation:\n  extractor:\n    class_path: TrainedFeatures\n    init_args: {{weights: {checkpoint}}}\n"
    )
    assert experiment("evaluate", "own.yaml:val", "own.yaml:test", "--metrics=[fid,is]", "--json=r.json") == 0
    parts = independent.held_out(len(pixels))
    expected = independent.frechet(network(pixels[parts["val"]]), network(pixels[parts["test"]]))
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["scores"]["fid"]["value"] == pytest.approx(expected, rel=1e-3)
    assert record["protocol"]["extractor"] == "TrainedFeatures"


def test_other_checkpoints_are_refused(checkpoints, tmp_path):
    with pytest.raises(UserError, match="holds no classifier"):
        TrainedFeatures(str(checkpoints["gan"]))
    with pytest.raises(UserError, match="there is no checkpoint of a classifier"):
        TrainedFeatures("nowhere.ckpt")
    (tmp_path / "text.ckpt").write_text("none")
    with pytest.raises(UserError, match="is a text and holds no weights"):
        TrainedFeatures(str(tmp_path / "text.ckpt"))


def test_images_without_labels_or_of_one_class_are_refused():
    with pytest.raises(UserError, match="needs images with labels"):
        Classifier(ImageSpec(1, 16), ClassifierNet, ADAM)
    with pytest.raises(UserError, match="of one"):
        Classifier(ImageSpec(1, 16, 1), ClassifierNet, ADAM)


def labelled(labels, images=IMAGES[:8]):
    return DataLoader([Batch(to_float(images), torch.tensor(labels))], batch_size=None)


def test_the_loss_of_smoothed_labels_by_hand(tmp_path):
    """A fifth of a label's probability is spread over all four classes."""
    torch.manual_seed(0)
    model = Classifier(
        ImageSpec(1, 8, 4), functools.partial(ClassifierNet, width=4), ADAM, shift=0, label_smoothing=0.2
    )
    labels, watch = [0, 1, 2, 3, 0, 1, 2, 3], Logged()
    logits = copy.deepcopy(model).train()(to_float(IMAGES[:8])).detach().double().log_softmax(1)
    targets = 0.8 * torch.eye(4).double()[labels] + 0.2 / 4
    quiet_trainer(watch, 1, tmp_path, log_every_n_steps=1).fit(model, labelled(labels))
    assert watch.logged[0]["train/loss"] == pytest.approx(-(targets * logits).sum(1).mean().item(), rel=1e-5)


def test_each_batch_is_shifted_anew(tmp_path):
    model = Classifier(ImageSpec(1, 8, 4), functools.partial(ClassifierNet, width=4), ADAM, shift=1)
    batch, seen = Batch(to_float(IMAGES[:8]), torch.arange(8) % 4), []
    model.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    quiet_trainer(Logged(), 2, tmp_path).fit(model, DataLoader([batch] * 2, batch_size=None))
    for images_seen, images in zip((8, 16), seen, strict=True):
        assert torch.equal(images, shift_randomly(batch.images, 1, generator("cpu", Stream.SHIFT, 0, images_seen)))
    assert not torch.equal(*seen)


def test_a_validation_counts_its_own_images_alone(tmp_path):
    model = Classifier(ImageSpec(1, 8, 4), functools.partial(ClassifierNet, width=4), ADAM).eval()
    with torch.no_grad():
        found = model(to_float(IMAGES[:8])).argmax(1)
    trainer = quiet_trainer(Logged(), 1, tmp_path)
    for labels, accuracy in ((found, 1.0), ((found + 1) % 4, 0.0)):
        (scores,) = trainer.validate(model, labelled(labels.tolist()), verbose=False)
        assert scores["val/accuracy"] == accuracy
    (scores,) = trainer.test(model, labelled(found.tolist()), verbose=False)
    assert scores["test/accuracy"] == 1.0


@pytest.mark.parametrize(("size", "last"), [(4, 4), (7, 7), (28, 7), (32, 4), (64, 4)])
def test_any_size_ends_at_four_to_seven_pixels(size, last):
    network = ClassifierNet(ImageSpec(3, size, 5), width=4)
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 5)
    blocks = [layer for layer in network.layers if type(layer).__name__ == "_Block"]
    values = network.layers[0](torch.zeros(2, 3, size, size))
    for block in blocks:
        values = block(values)
    assert values.shape[-1] == last


def test_images_are_moved_by_whole_pixels_with_their_edges_repeated():
    images = torch.arange(2 * 25, dtype=torch.float32).reshape(2, 1, 5, 5)
    moved = shift_randomly(images, 1, generator("cpu", 0))
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    for image in range(2):
        crops = [padded[image, :, y : y + 5, x : x + 5] for y in range(3) for x in range(3)]
        assert any(torch.equal(moved[image], crop) for crop in crops)
    many = shift_randomly(images[:1].expand(500, -1, -1, -1), 1, generator("cpu", 1))
    assert len(many.flatten(1).unique(dim=0)) == 9
    assert torch.equal(shift_randomly(images, 0, generator("cpu", 0)), images)


class Mean(nn.Module):
    """The mean of each channel of (N, 3, 8, 8) images, and their sum."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean(dim=(2, 3))
        return torch.cat([means, means.sum(1, keepdim=True)], 1)


def saved(kind, path):
    if kind == "script":
        torch.jit.script(Mean()).save(str(path))
    else:
        free = {"images": {0: torch.export.Dim("n", min=1)}}
        torch.export.save(torch.export.export(Mean(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=free), str(path))
    return path


@pytest.mark.parametrize(("kind", "name"), [("script", "net.pt"), ("export", "net.pt2")])
def test_a_network_in_a_file_is_an_extractor(kind, name, tmp_path):
    path = saved(kind, tmp_path / name)
    network = ScriptedFeatures(str(path), size=8, mean=[0.5, 0.25, 0.0], std=[2.0])
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    means = (images.double().mean((2, 3)) / 255 - torch.tensor([0.5, 0.25, 0.0])) / 2
    assert network.num_features == 4
    torch.testing.assert_close(network(images), torch.cat([means, means.sum(1, keepdim=True)], 1).float())
    grey = torch.full((1, 1, 30, 30), 51, dtype=torch.uint8)
    torch.testing.assert_close(network(grey)[0, :3], torch.tensor([-0.15, -0.025, 0.1]))


def test_files_that_are_no_extractors_are_said(tmp_path):
    (tmp_path / "text.pt").write_text("none")
    torch.jit.script(nn.Conv2d(3, 2, 1)).save(str(tmp_path / "grid.pt"))
    for file, options, expected in (
        ("nowhere.pt", {}, "there is no network at"),
        ("text.pt", {}, "is no file of torch.jit.save"),
        ("grid.pt", {}, r"returns \(2, 2, 32, 32\) for two images"),
        ("grid.pt", {"channels": 1}, "does not take images of 1x32x32"),
        ("grid.pt", {"mean": [0.1, 0.2]}, "mean and std need one number or 3, not 2 and 1"),
        ("grid.pt", {"std": [0.0]}, "std must be > 0"),
    ):
        with pytest.raises(UserError, match=expected):
            ScriptedFeatures(str(tmp_path / file), **options)


def test_an_export_has_its_features(experiment, run):
    assert experiment("export", run, "--formats=[safetensors]", "--out=exported") == 0
    images = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8)
    theirs = TrainedFeatures(str(run / "checkpoints" / "best.ckpt"))
    assert torch.equal(TrainedFeatures("exported").extract(images), theirs.extract(images))
