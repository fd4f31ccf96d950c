"""Pictures in data sets of Hugging Face: what is found in them, and what is refused."""

import re
import sys

import numpy as np
import pytest
from test_stored_elsewhere import levels

from gen_experiments.data.cache import cached_split
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import HuggingFace
from gen_experiments.errors import UserError
from pictures_on_disk import write_parquet, write_pictures

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def files(tmp_path):
    write_pictures(tmp_path / "set", 6, size=(4, 4))
    return sorted((tmp_path / "set").iterdir())


def table(tmp_path, files, **columns):
    """A data set of one split with more columns."""
    write_parquet(tmp_path / "parquet", {"train": files}, **columns)
    return str(tmp_path / "parquet")


def test_numbers_names_and_classes_are_labels(tmp_path, files):
    import datasets

    path = table(tmp_path, files, number=lambda f: int(f.stem) % 2, name=lambda f: "ba"[int(f.stem) % 2])
    by_number, by_name = (HuggingFace(path, label_column=column) for column in ("number", "name"))
    assert by_number.labels("train").tolist() == [0, 1] * 3
    assert (by_number.num_classes, by_number.class_names) == (2, None)
    assert by_name.labels("train").tolist() == [1, 0] * 3
    assert by_name.class_names == ("a", "b")
    kept = datasets.load_dataset(path, split="train")
    kept = kept.cast_column("number", datasets.ClassLabel(names=["T - shirt / top", "shoe", "none"]))
    kept.save_to_disk(tmp_path / "kept")
    of_classes = HuggingFace(str(tmp_path / "kept"), label_column="number")
    made_alone = datasets.Dataset.from_list(list(kept), features=kept.features)
    made_alone.save_to_disk(tmp_path / "alone")
    alone = HuggingFace(str(tmp_path / "alone"), label_column="number")
    assert (of_classes.origin("train"), alone.origin("train")) == ("split train", "all of it")
    assert of_classes.labels("train").tolist() == [0, 1] * 3
    assert of_classes.class_names == ("T - shirt - top", "shoe", "none")
    assert HuggingFace(path, label_column=None).num_classes is None


def test_one_file_a_folder_of_pictures_and_other_splits(tmp_path, files):
    write_parquet(tmp_path / "one", {"anything": files})
    expected = levels(HuggingFace(str(tmp_path / "one" / "anything-00000-of-00001.parquet"), label_column=None))
    assert levels(HuggingFace(str(tmp_path / "set"), label_column=None)) == expected
    write_parquet(tmp_path / "more", {"train": files, "validation": files[:2]}, label=lambda file: 0)
    source = HuggingFace(str(tmp_path / "more"))
    write_parquet(tmp_path / "odd", {"train": files, "test": files[-1:]}, label=lambda file: f"of {file.stem > '004'}")
    write_parquet(tmp_path / "odd", {"train": files[:2]}, label=lambda file: "of False")
    with pytest.raises(UserError, match=r"test of .*odd has a class of True that the training images do not have"):
        HuggingFace(str(tmp_path / "odd"))
    assert source.splits() == {"train", "val"}
    assert source.origin("val") == "split validation"


def test_secret_labels_and_groups_of_a_data_set(tmp_path, files, capsys):
    write_parquet(tmp_path / "set_", {"train": files}, label=lambda f: 0, who=lambda f: int(f.stem) // 2)
    data = ImageDataModule(HuggingFace(str(tmp_path / "set_"), group_column="who"), size=4, val_size=0, test_size=1)
    assert data.split("test").members.tolist() in ([0, 1], [2, 3], [4, 5])
    data.setup("fit")
    assert f"RGB, from HuggingFace in {tmp_path / 'set_'}\n" in capsys.readouterr().out
    write_parquet(tmp_path / "secret", {"train": files}, label=lambda file: 0)
    write_parquet(tmp_path / "secret", {"test": files}, label=lambda file: -1)
    source = HuggingFace(str(tmp_path / "secret"))
    assert cached_split(source, "test", 4).labels(np.arange(1)) is None
    assert (source.labelled("train"), source.labelled("test")) == (True, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_column": "picture"}, r"no column picture in train \(it has: image, label, odd, hole\)"),
        ({"label_column": "hole"}, r"column hole of .* holds a in train, or nothing in some rows"),
        ({"label_column": "klass"}, r"no column klass"),
        ({"image_column": "label"}, r"column label of .* holds no pictures"),
        ({"label_column": "odd"}, r"column odd of .* holds 0\.5 in train, .*: labels are whole numbers or names"),
        ({}, "has labels up to 6 and none of 0"),
        ({"channels": 0}, "1 channel .* not 0"),
    ],
)
def test_columns_that_do_not_fit_are_told(tmp_path, files, options, message):
    path = table(
        tmp_path,
        files,
        label=lambda file: int(file.stem) + 1,
        odd=lambda file: 0.5,
        hole=lambda file: "a" if file.stem < "003" else None,
    )
    with pytest.raises(UserError, match=message):
        HuggingFace(path, **options)


def test_splits_that_are_not_clear_are_told(tmp_path, files):
    import datasets

    rows = datasets.Dataset.from_dict({"image": [str(file) for file in files]}).cast_column("image", datasets.Image())
    datasets.DatasetDict({"one": rows, "two": rows}).save_to_disk(tmp_path / "kept")
    with pytest.raises(UserError, match="has the splits one, two and none that is called train"):
        HuggingFace(str(tmp_path / "kept"), label_column=None)


HUB = ", and no data set of that name could be loaded from the hub ("


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.parquet", "text.parquet cannot be loaded by the library datasets ("),
        *((name, f"there is no folder or file {name}{HUB}") for name in ("pictres", "nowhere/at_all")),
        *((name, f"there is no folder or file {name}: correct") for name in ("./pictres", "/a/b", "../a", "a/b/c")),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_line(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(UserError, match=rf"^{re.escape(message)}") as told:
        HuggingFace(name)
    assert "\n" not in str(told.value)


def test_a_library_that_is_missing_is_named(monkeypatch, files):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'gen-experiments\[huggingface\]'"):
        HuggingFace(str(files[0].parent))
