"""Labels beside a folder of pictures, in a table or as StyleGAN has them."""

import json

import pytest
from test_groups import table

from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.labels import CSVLabels, StyleGANLabels, in_order
from gen_experiments.data.sources import ImageFolder
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures

pytestmark = pytest.mark.usefixtures("cache")


def read(root, labels):
    """What the labels say, by file and by the name or number of the class."""
    folder = ImageFolder(str(root), 1, labels=labels)
    names = folder.class_names or range(folder.num_classes)
    return {
        str(file.relative_to(root)): names[label]
        for file, label in zip(folder.pictures("train"), folder.decode("train", 4).labels, strict=True)
    }


def test_labels_in_a_table(tmp_path):
    write_pictures(tmp_path / "deep", 3, size=(4, 4))
    table(tmp_path / "t.csv", ("age", "file"), ("10", "deep/001.png"), ("9", ".\\deep\\000.png"), ("9", "deep/002.png"))
    # Spreadsheets begin a table with the mark of its encoding.
    marked = "\ufeff" + (tmp_path / "t.csv").read_text()
    (tmp_path / "marked.csv").write_text(marked, encoding="utf-8")
    for name in ("t.csv", "marked.csv"):
        assert read(tmp_path, CSVLabels(name, label_column="age")) == {
            "deep/000.png": "9",
            "deep/001.png": "10",
            "deep/002.png": "9",
        }
    assert ImageFolder(str(tmp_path), labels=CSVLabels("t.csv", label_column="age")).class_names == ("9", "10")


def test_labels_as_stylegan_has_them(tmp_path):
    write_pictures(tmp_path / "00000", 3, size=(4, 4))
    rows = [["00000/001.png", 0], ["00000/000.png", 1], ["00000/002.png", 1]]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": rows}))
    assert read(tmp_path, StyleGANLabels()) == dict(rows)
    assert ImageFolder(str(tmp_path), labels=StyleGANLabels(num_classes=7)).num_classes == 7


def test_names_stand_in_the_order_of_their_numbers():
    assert in_order(["b10", "b9", "a", "b9x", "10", "9", "09", "9"]) == ("09", "9", "10", "a", "b9", "b9x", "b10")


def test_another_label_is_not_taken_from_the_cache(tmp_path):
    write_pictures(tmp_path / "set", 3, size=(4, 4))

    def labels(*classes):
        rows = [(f"{number:03d}.png", name) for number, name in enumerate(classes)]
        table(tmp_path / "set" / "labels.csv", ("file", "label"), *rows)
        source = ImageFolder(str(tmp_path / "set"), labels=CSVLabels())
        return ImageDataModule(source, size=4, val_size=0, test_size=1).split("train").all_labels.tolist()

    assert labels("a", "b", "a") == [0, 1, 0]
    assert labels("b", "a", "a") == [1, 0, 0]


FILES = {
    "rows.csv": "file,label\n000.png,a\n001.png,b\n",
    "gone.csv": "file,label\n000.png,a\n001.png,b\n002.png,b\n003.png,c\n",
    "twice.csv": "file,label\n000.png,a\n./000.png,b\n",
    "hole.csv": "file,label\n000.png,a\n001.png,\n",
    "short.csv": "file,label\n000.png\n",
    "other.csv": "file;label\n000.png;a\n001.png;b\n002.png;c\n",
    "empty.csv": "",
    "latin.csv": "file,label\n000.png,caf\xe9\n".encode("latin-1"),
    "gap.json": '{"labels": [["000.png", 0], ["001.png", 2], ["002.png", 2]]}',
    "below.json": '{"labels": [["000.png", -1], ["001.png", 0], ["002.png", 0]]}',
    "high.json": '{"labels": [["000.png", 0], ["001.png", 1], ["002.png", 2]]}',
    "huge.json": '{"labels": [["000.png", 99999999999999999999]]}',
    "vector.json": '{"labels": [["000.png", [0.1, 0.9]]]}',
    "none.json": '{"labels": null}',
    "text.json": "hello",
    "deep.json": "[" * 100_000,
}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("rows.csv", r"rows\.csv has no row for 1 of 3 pictures, such as 002\.png"),
        ("gone.csv", r"gone\.csv names 1 pictures that .*set does not hold, such as 003\.png"),
        ("twice.csv", r"twice\.csv has two rows for \./000\.png"),
        ("hole.csv", r"hole\.csv has nothing in column label in line 3"),
        ("short.csv", r"short\.csv has nothing in column label in line 2"),
        ("empty.csv", r"empty\.csv has no column file \(it has: none\)"),
        ("other.csv", r"other\.csv separates its columns by ';': separate them by commas"),
        ("latin.csv", r"latin\.csv is no comma-separated table in UTF-8"),
        ("gap.json", r"gap\.json has labels up to 2 and none of 1: number the classes from 0"),
        (
            "below.json",
            r"below\.json has labels from -1 to 0: they must be whole numbers in 0 \.\.\. 1, as num_classes=2",
        ),
        ("high.json", r"high\.json has labels from 0 to 2: they must be whole numbers in 0 \.\.\. 1, as num_classes=2"),
        ("huge.json", r"huge\.json must label each picture as \[path, whole number\]"),
        ("vector.json", r"must label each picture as \[path, whole number\], not \['000\.png', \[0\.1, 0\.9\]\]"),
        ("none.json", r'none\.json has no list of "labels"'),
        ("text.json", r"text\.json is no JSON"),
        ("deep.json", r"deep\.json is no JSON"),
    ],
)
def test_a_file_that_does_not_fit_is_told_in_one_line(tmp_path, file, message):
    write_pictures(tmp_path / "set", 3, size=(4, 4))
    content = FILES[file]
    (tmp_path / "set" / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    declared = 2 if file in ("below.json", "high.json") else None
    labels = CSVLabels(file) if file.endswith(".csv") else StyleGANLabels(file, declared)
    with pytest.raises(UserError, match=message) as told:
        ImageFolder(str(tmp_path / "set"), labels=labels)
    assert "\n" not in str(told.value)


def test_a_label_that_no_training_image_has(tmp_path):
    for folder in ("train", "val"):
        write_pictures(tmp_path / folder, 1, size=(4, 4))
    table(tmp_path / "labels.csv", ("file", "label"), ("train/000.png", "a"), ("val/000.png", "b"))
    with pytest.raises(UserError, match=r"val has a class b that .*train does not have"):
        ImageFolder(str(tmp_path), labels=CSVLabels())
