"""Names of classes travel from the folders through the checkpoint to the commands, and back into folders."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import SHORT, SMALL
from gen_experiments.checkpoints.loading import load_model
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import CIFAR10, MNIST, Digits, FashionMNIST, ImageFolder
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.models.gan import GAN
from pictures_on_disk import write_pictures

# Numbers, of which "3" is not the class number 3; names that YAML reads as something else; one that is a file here.
NAMES = ("10", "11", "3", "a b", "cats", "co_va", "dogs", "eel", "null", "pictures.txt", "true", "zebra")


def train(folder, *more):
    from gen_experiments.__main__ import main

    data = ["--data.source=ImageFolder", f"--data.source.root={folder / 'set'}", "--data.source.channels=1"]
    classes = ["--model.generator.conditional=true", "--model.discriminator.conditional=true", "--data.val_size=4"]
    few = [*SHORT, "--trainer.max_steps=2", "--data.size=32", f"--run.root={folder}", "--evaluation.extractor=null"]
    assert main(["fit", *SMALL["gan"], *few, *data, *classes, *more]) == 0
    return folder / "gan" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A conditional GAN over folders of these names, and where its folder `set` is."""
    folder = tmp_path_factory.mktemp("named")
    for number, name in enumerate(NAMES):
        for split, count in (("train", 3), ("val", 2), ("test", 1)):
            write_pictures(folder / "set" / split / name, count, size=(32, 32), mode="L", seed=number)
    path = train(folder)
    # The images of a GAN that is hardly trained would be of the same grey in every class.
    contents = torch.load(path, weights_only=True)
    for weight_name, weight in contents["state_dict"].items():
        if weight_name.startswith("ema") and weight.ndim > 1:
            weight.mul_(60 if "embedding" in weight_name else 6)
    torch.save(contents, path)
    first, other = (of_class(path, number) for number in (0, 1))
    assert np.abs(first - other).mean() > 10
    return path


def pixels(path):
    return np.asarray(Image.open(path))


def of_class(checkpoint, number, first=0):
    """A sample of a class, straight from the model: the first of a seed, or a later one."""
    from gen_experiments.images import to_uint8

    with torch.no_grad():
        images = load_model(checkpoint, GAN, "test").sample(first, 1, labels=torch.tensor([number]))
    return to_uint8(images)[0, 0].numpy().astype(int)


def test_a_checkpoint_knows_the_names_that_the_data_have(named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures.txt").write_text("a file that is called as a class is")
    assert load_model(named, GAN, "test").image == ImageSpec(1, 32, 12, NAMES)


def test_a_checkpoint_without_names_has_numbers_that_sort(experiment, named, tmp_path):
    checkpoint = torch.load(named, weights_only=True)
    del checkpoint["hyper_parameters"]["image"]["class_names"]
    torch.save(checkpoint, "old.ckpt")
    assert experiment("sample", "old.ckpt", "--per-class=1", "--out=set") == 0
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [f"{number:02d}" for number in range(12)]
    assert np.abs(pixels("set/03/00000.png") - of_class("old.ckpt", 3, first=3)).max() <= 1
    assert experiment("sample", "old.ckpt", "--num=1", "--class=3", "--out=three") == 0
    assert np.abs(pixels("three/00000.png") - of_class("old.ckpt", 3)).max() <= 1


def test_what_is_sampled_is_a_training_set_beside_the_real_validation_images(experiment, named, tmp_path):
    assert experiment("sample", named, "--per-class=2", "--out=made/train") == 0
    shutil.copytree(named.parents[3] / "set" / "val", tmp_path / "made" / "val")
    real = ImageFolder(str(named.parents[3] / "set"), channels=1)
    made = ImageFolder(str(tmp_path / "made"), channels=1)
    assert made.class_names == real.class_names == NAMES
    assert made.decode("val", 32).labels.tolist() == real.decode("val", 32).labels.tolist()
    train_images = made.decode("train", 32)
    assert train_images.labels.tolist() == [number for number in range(12) for _ in range(2)]
    with torch.no_grad():
        labels = torch.from_numpy(train_images.labels)
        expected = load_model(named, GAN, "test").sample(0, 24, labels=labels)
    assert np.abs(train_images.images / 127.5 - 1 - expected.numpy()).max() < 0.02


@pytest.mark.parametrize(
    ("given", "number"), [("cats", 4), ("3", 2), ("5", 5), ("a b", 3), ("true", 10), ("0", 0), ("10", 0)]
)
def test_a_class_is_given_by_name_or_number(experiment, named, given, number):
    assert experiment("sample", named, "--num=1", f"--class={given}", "--out=a") == 0
    assert np.abs(pixels("a/00000.png") - of_class(named, number)).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["sample", "--class=cat"],
            "--class must be a class (10, 11, 3, a b, cats, co_va, dogs, eel, …) or be in 0",
        ),
        (["sample", "--class=cat"], "not cat; did you mean cats?"),
        (["sample", "--class=12"], "or be in 0 ... 11, not 12"),
        (["sample", "--class=" + "9" * 5000], "or be in 0 ... 11, not 999"),
        (["interpolate", "--classes=[cats, wolves]"], "--classes must be a class"),
        (["project", "--images=.", "--class=cats", "--classes=[12]"], "or be in 0 ... 11, not 12"),
    ],
)
def test_a_class_that_there_is_not(refused, named, arguments, message):
    Image.new("L", (32, 32)).save("picture.png")
    assert message in refused(arguments[0], named, *arguments[1:])


def test_ways_of_named_classes(experiment, named, tmp_path):
    assert experiment("interpolate", named, "--points=2", "--steps=2", "--classes=[cats, 3]", "--out=a.png") == 0
    sheet = pixels("a.png")
    for row, number in enumerate((4, 2)):
        assert np.abs(sheet[2 + 34 * row :, 2:34][:32].astype(int) - of_class(named, number)).max() <= 1
    assert sheet.shape[1] > 2 * 34 + 2
    assert (sheet[:, 2 * 34 + 2 :] != 128).any(axis=1)[:34].any()


def test_styles_of_named_classes(experiment, named, tmp_path):
    write_pictures(tmp_path / "pictures", 1, size=(32, 32), mode="L")
    chosen = ["--images=pictures", "--class=cats", "--classes=[zebra]", "--steps=1"]
    assert experiment("project", named, *chosen) == 0
    assert pixels("projections.png").shape[1] == 3 * 34 + 2
    assert pixels("projections.png").shape[0] > 34 + 2


def test_a_sheet_has_the_names_of_its_rows(experiment, named):
    assert experiment("sample", named, "--per-class=2", "--out=a.png") == 0
    margin = pixels("a.png")[:, 2 * 34 + 2 :]
    assert pixels("a.png").shape[0] == 12 * 34 + 2
    assert all((margin[2 + 34 * row :][:32] != 128).any() for row in range(12))


def test_sources_have_the_names_of_their_classes(tmp_path):
    for source in (Digits(), MNIST(str(tmp_path)), FashionMNIST(str(tmp_path)), CIFAR10(str(tmp_path))):
        image = ImageDataModule(source).image
        assert image.class_names == source.class_names
        assert len(image.class_names) == 10
    assert MNIST.class_names == tuple("0123456789")
    assert FashionMNIST.class_names[9] == "Ankle boot"
    assert CIFAR10.class_names[3] == "cat"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", "a\\b"])
def test_a_name_that_is_no_folders_is_refused(name):
    with pytest.raises(UserError, match="a class cannot be called"):
        ImageSpec(1, 8, 1, (name,))


@pytest.mark.parametrize("names", [("a",), ("a", "a"), ("a", "b", "c")])
def test_names_that_are_not_those_of_the_classes_are_refused(names):
    with pytest.raises(UserError, match="different names cannot be those of 2 classes"):
        ImageSpec(1, 8, 2, names)


def test_a_checkpoint_cannot_have_files_written_elsewhere(refused, named, tmp_path):
    checkpoint = torch.load(named, weights_only=True)
    checkpoint["hyper_parameters"]["image"]["class_names"] = ["../out", *NAMES[1:]]
    torch.save(checkpoint, "evil.ckpt")
    assert "a class cannot be called" in refused("sample", "evil.ckpt", "--per-class=1", "--out=set/of")
    assert not list(tmp_path.rglob("00000.png"))
