"""A conditional model draws its classes as often as it was trained on them."""

import json

import pytest
import torch

from conftest import SHORT, SMALL
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.errors import UserError
from gen_experiments.models.gan import GAN
from pictures_on_disk import write_pictures
from run_files import checkpoint as contents_of

COUNTS = {"few": 5, "many": 30, "some": 15}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The checkpoint of a conditional GAN over classes of different sizes; validation has as many of each."""
    from gen_experiments.__main__ import main

    folder = tmp_path_factory.mktemp("shares")
    for number, (name, count) in enumerate(COUNTS.items()):
        write_pictures(folder / "set" / "train" / name, count, size=(32, 32), mode="L", seed=number)
        write_pictures(folder / "set" / "val" / name, 2, size=(32, 32), mode="L", seed=10 + number)
    data = ["--data.source=ImageFolder", f"--data.source.root={folder / 'set'}", "--data.source.channels=1"]
    classes = ["--model.generator.conditional=true", "--model.discriminator.conditional=true"]
    few = ["--trainer.max_steps=2", "--data.size=32", "--data.test_size=0.1", "--evaluation.extractor=null"]
    assert main(["fit", *SMALL["gan"], *SHORT, *few, *data, *classes, f"--run.root={folder}"]) == 0
    return folder / "gan" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.fixture
def model(trained):
    return load_model(trained, GAN, "test")


def shares(model):
    return torch.bincount(model.sample_labels(0, 4000), minlength=3) / 4000


def test_samples_have_the_shares_of_the_training_images(trained, model):
    """45 of the 50 images are trained on: the test has the others."""
    counts = torch.tensor(model.class_counts)
    assert contents_of(trained)["class_counts"] == model.class_counts
    assert counts.sum() == 45
    assert counts[1] > counts[2] > counts[0] > 0
    torch.testing.assert_close(shares(model), counts / 45, rtol=0.0, atol=0.04)  # five deviations of a share of 0.5


def test_an_export_keeps_them(trained, model, experiment, tmp_path):
    assert experiment("export", trained, "--out=exported", "--formats=[safetensors]") == 0
    assert load_model(tmp_path / "exported", GAN, "test").class_counts == model.class_counts


def test_a_class_whose_only_picture_is_held_out_is_named_before_training(experiment, tmp_path):
    names = [f"kind{number}" for number in range(6)]
    for number, name in enumerate(names):
        write_pictures(tmp_path / "set" / name, 1, size=(32, 32), mode="L", seed=number)
    data = ["--data.source=ImageFolder", "--data.source.root=set", "--data.source.channels=1", "--data.size=32"]
    classes = ["--model.generator.conditional=true", "--model.discriminator.conditional=true"]
    few = ["--trainer.max_steps=1", "--data.batch_size=2", "--evaluation.extractor=null"]
    with pytest.warns(UserWarning, match=r"no training image is of kind\d, kind\d: samples") as warned:
        assert experiment("fit", *SMALL["gan"], *SHORT, *few, *data, *classes) == 0
    text = " ".join(str(warning.message) for warning in warned)
    counts = contents_of(tmp_path / "runs" / "gan" / "version_0" / "checkpoints" / "last.ckpt")["class_counts"]
    for name, count in zip(names, counts, strict=True):
        assert (name in text) == (count == 0)


def test_a_class_without_training_images_is_never_drawn(model):
    model.class_counts = [2, 0, 1]
    torch.testing.assert_close(shares(model), torch.tensor([2 / 3, 0, 1 / 3]), rtol=0.0, atol=0.04)
    assert shares(model)[1] == 0


def test_a_sample_has_its_label_whatever_the_batch(model):
    labels = model.sample_labels(0, 20, seed=3)
    assert torch.equal(torch.cat([model.sample_labels(number, 1, seed=3) for number in range(20)]), labels)


def test_without_counts_all_classes_are_alike(model):
    model.on_load_checkpoint({"images_seen": 0})
    torch.testing.assert_close(shares(model), torch.full((3,), 1 / 3), rtol=0.0, atol=0.04)


def test_the_record_of_an_evaluation_says_how_classes_are_drawn(trained, experiment, tmp_path):
    folder = trained.parents[3] / "set" / "val"
    words = ["--num=12", "--metrics=[precision]", "--extractor=DigitsFeatures", "--extractor.any_images=true"]
    assert experiment("evaluate", trained, folder, *words, "--json=record.json") == 0
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["protocol"]["evaluated"]["classes"] == "as often as in training"


@pytest.mark.parametrize("counts", [[1, 2], [0, 0, 0], [1, -1, 4], [1, 2.5, 4], "123", [2**62] * 3])
def test_counts_of_other_classes_are_refused(model, counts):
    with pytest.raises(UserError, match="class_counts are not the numbers of images of each class"):
        model.on_load_checkpoint({"images_seen": 0, "class_counts": counts})
