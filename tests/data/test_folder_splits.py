"""Which folders are splits and which are classes, and what is not clear."""

import numpy as np
import pytest
from grey_folders import grey, levels, make

from gen_experiments.data.cache import cached_split
from gen_experiments.data.sources import ImageFolder
from gen_experiments.errors import UserError


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Train", "valid", "TEST"),
        ("training", "Validation", "testing"),
        ("TRAIN", "dev", "Test"),
    ],
)
def test_splits_are_recognised_as_people_spell_them(tmp_path, train, val, test):
    for number, split in enumerate((train, val, test)):
        grey(tmp_path / split / "cats" / "x.png", number)
    folder = ImageFolder(str(tmp_path), channels=1)
    assert folder.splits() == {"train", "val", "test"}
    assert [levels(folder, split)[0][0] for split in ("train", "val", "test")] == [0, 1, 2]
    assert folder.origin("val") == f"folder {tmp_path / val}"


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["train/a/x.png", "val/a/x.png", "Valid/a/x.png"], "Valid and val, which are the same split, val"),
        (["train2017/x.png", "val2017/x.png"], "train2017 looks like a split: call it one of train, training, val,"),
        (["cats/x.png", "test_set/x.png"], "test_set looks like a split"),
        (["Evaluation/x.png", "other/x.png"], "Evaluation looks like a split"),
        (["train/a/x.png", "evaluation/a/x.png"], "holds train beside evaluation, so that it is not clear"),
        (["bus/x.png", "train/x.png"], "holds train beside bus, so that it is not clear what is to train on"),
        (["cats/x.png", "dogs/x.png", "test/x.png"], "holds test beside cats, dogs, so that"),
        (["val/x.png"], "holds val, so that it is not clear what is to train on"),
        (
            ["train/cats/x.png", "train/loose.png"],
            r"train holds 1 pictures, such as loose\.png, beside .* cats",
        ),
        (
            ["data/train/a/x.png", "data/val/a/x.png"],
            "data holds the splits train, val, which would be one class: name",
        ),
        (["cats/Training/x.png", "cats/test/x.png", "dogs/x.png"], "cats holds the splits test, train, which would"),
        (["cats/x.png", "loose.png"], r"holds 1 pictures, such as loose\.png, beside folders of classes, such as cats"),
        (["train/a/x.png", "test/a/x.png", "test/loose.png"], r"test holds 1 pictures, such as loose\.png"),
        (["train/a/x.png", "test/b/x.png"], "test has a class b that .*train does not have"),
        (["train/a/x.png", "val/a/x.png", "val/A/x.png"], "val has a class A that .*train does not have"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path, paths, message):
    make(tmp_path, *paths)
    with pytest.raises(UserError, match=message):
        ImageFolder(str(tmp_path))


def test_a_split_without_pictures_is_told(tmp_path):
    make(tmp_path, "train/x.png")
    (tmp_path / "val").mkdir()
    with pytest.raises(UserError, match="val holds no picture"):
        ImageFolder(str(tmp_path))


def test_pictures_beside_two_splits_are_named_and_trained_on_by_nobody(tmp_path):
    make(tmp_path, "train/a/x.png", "test/a/x.png", "eval/a/y.png", "sample.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.xml").write_text("")
    folder = ImageFolder(str(tmp_path), channels=1)
    assert folder.splits() == {"train", "test"}
    assert folder.class_names == ("a",)
    assert len(folder.decode("train", 4).images) == 1
    assert folder.passed_over() == {
        "beside the splits": ["eval/a/y.png", "sample.png"],
        "no picture by their ending": ["annotations/a.xml"],
    }


def test_folders_of_no_pictures_beside_the_training_images_are_no_split(tmp_path):
    make(tmp_path, "train/a/x.png")
    (tmp_path / "annotations").mkdir()
    assert ImageFolder(str(tmp_path)).splits() == {"train"}


def test_a_split_may_lack_classes_and_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    make(tmp_path / "set", "train/a/x.png", "train/b/x.png", "val/b/x.png", "test/1.png", "test/2.png")
    folder = ImageFolder(str(tmp_path / "set"), channels=1)
    assert folder.class_names == ("a", "b")
    assert levels(folder, "val") == [(10, "b")]
    assert (folder.labelled("val"), folder.labelled("test")) == (True, False)
    assert cached_split(folder, "test", 4).labels(np.arange(2)) is None
    assert cached_split(folder, "val", 4).labels(np.arange(1)).tolist() == [1]


def test_labels_are_made_anew_when_a_class_is_added(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    make(tmp_path / "set", "train/b/x.png", "val/b/x.png")
    assert cached_split(ImageFolder(str(tmp_path / "set")), "val", 4).labels(np.arange(1)).tolist() == [0]
    make(tmp_path / "set", "train/a/x.png")
    assert cached_split(ImageFolder(str(tmp_path / "set")), "val", 4).labels(np.arange(1)).tolist() == [1]


@pytest.mark.parametrize("paths", [["data/a/x.png", "data/b/x.png"], ["train/data/a/x.png", "train/data/b/x.png"]])
def test_classes_one_folder_too_deep_are_warned_of(tmp_path, paths):
    make(tmp_path, *paths)
    with pytest.warns(
        UserWarning, match="one class, (train/)?data/: if a and b are classes, they lie one folder too deep"
    ):
        assert ImageFolder(str(tmp_path)).class_names == ("data",)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "paths",
    [
        ["data/x.png", "data/y.png"],
        ["data/a/x.png", "data/a/y.png"],
        ["a/1/x.png", "b/1/x.png", "b/2/x.png"],
        ["a/train/x.png"],
    ],
)
def test_folders_within_classes_are_no_mistake(tmp_path, paths):
    make(tmp_path, *paths)
    assert ImageFolder(str(tmp_path)).num_classes
