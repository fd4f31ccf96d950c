"""Groups that must not be torn apart."""

import csv
import itertools
import json

import numpy as np
import pytest

from conftest import SHORT, SMALL
from gen_experiments.commands.training_data import data_of
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.division import check_apart, held_out
from gen_experiments.data.groups import CSVGroups, FolderGroups, PatternGroups
from gen_experiments.data.labels import CSVLabels, StyleGANLabels
from gen_experiments.data.pairs import Edges
from gen_experiments.data.sources import Decoded, ImageFolder, Source
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures

pytestmark = pytest.mark.usefixtures("cache")

SIZES = [1, 5, 2, 9, 3, 4, 1, 7]  # pictures of each patient


@pytest.fixture
def patients(tmp_path):
    """Pictures of patients in two classes, and a table of them, in a folder."""
    root, rows = tmp_path / "set", []
    for patient, size in enumerate(SIZES):
        for number, kind in enumerate(("sick", "well")):
            folder = f"{kind}/p{patient}"
            write_pictures(root / folder, size, size=(4, 4), seed=2 * patient + number)
            rows += [(f"{folder}/{picture:03d}.png", kind, f"p{patient}") for picture in range(size)]
    table(root / "labels.csv", ("file", "label", "group"), *rows)
    return root


def table(path, *rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


GROUPS = {
    "folder": FolderGroups(),
    "pattern": PatternGroups(r"/(p\d+)/"),
    "table": CSVGroups(),
}


@pytest.mark.parametrize("name", GROUPS)
def test_no_patient_is_in_two_splits(patients, name):
    def split(seed):
        source = ImageFolder(str(patients), 1, groups=GROUPS[name])
        data = ImageDataModule(source, size=4, val_size=0.2, test_size=10, split_seed=seed)
        files = [str(file.parent.name) for file in source.pictures("train")]
        return {part: [files[member] for member in data.split(part).members] for part in ("train", "val", "test")}

    outlined = ImageDataModule(
        Edges(ImageFolder(str(patients), 1, groups=GROUPS[name])), size=4, val_size=0.2, test_size=10
    )
    parts = split(0)
    whole = ImageFolder(str(patients), 1).pictures("train")
    for part, names in parts.items():  # outlines are of the same patients
        assert [whole[member].parent.name for member in outlined.split(part).members] == names
    assert sorted(itertools.chain(*parts.values())) == sorted(
        f"p{p}" for p, size in enumerate(SIZES) for _ in range(2 * size)
    )
    assert sum(len(set(part)) for part in parts.values()) == len(SIZES)
    assert len(parts["val"]) >= round(0.2 * 2 * sum(SIZES))
    assert len(parts["test"]) >= 10
    assert split(0) == parts
    assert split(1) != parts


def test_whole_groups_are_drawn_until_there_are_enough():
    """By hand: with this seed the groups are drawn in the order 3, 1, 2, 4, 0."""
    groups = np.repeat([7, 8, 9, 11, 20], [3, 1, 2, 4, 3])
    order = np.random.default_rng([23, 5]).permutation(5).tolist()
    parts = held_out(13, {"test": 2, "val": 0.3}, 5, groups)
    assert order == [3, 1, 2, 4, 0]
    assert {name: sorted(set(groups[part].tolist())) for name, part in parts.items()} == {
        "test": [11],
        "val": [8, 9, 20],
        "train": [7],
    }
    with pytest.raises(UserError, match=r"data\.val_size=0\.99 leaves no training images of 13 in 5 groups: lower it"):
        held_out(13, {"val": 0.99}, 5, groups)


def test_the_summary_counts_the_groups(patients, capsys):
    source = ImageFolder(str(patients), 1, groups=FolderGroups())
    ImageDataModule(source, size=4, val_size=0, test_size=1).setup("fit")
    assert "(held out of train by data.test_size=1, 1 whole groups)" in capsys.readouterr().out


def test_a_patient_in_two_folders_of_splits_is_refused(tmp_path):
    for folder in ("train/a/p1", "train/a/p2", "test/a/p2", "test/a/p3"):
        write_pictures(tmp_path / folder, 1)
    with pytest.raises(UserError, match="1 groups, such as p2, are in test and in train: move each"):
        ImageFolder(str(tmp_path), groups=PatternGroups(r"(p\d)"))


def test_a_source_of_ones_own_is_checked_too():
    class Mine(Source):
        channels, num_classes = 1, None

        def splits(self):
            return {"train", "test"}

        def key(self, split):
            return "mine"

        def decode(self, split, size):
            return Decoded(np.zeros((4, 1, size, size), dtype=np.uint8), None)

        def groups(self, split):
            return np.array([3, 4, 4, 4]) if split == "train" else np.array([4, 5, 5, 6])

    with pytest.raises(UserError, match="1 groups, such as 4, are in test and in train"):
        ImageDataModule(Mine(), size=4, val_size=0).split("train")
    with pytest.raises(UserError, match="1 groups, such as 4, are in test and in val"):
        check_apart({"train": np.array([1]), "val": np.array([3, 4]), "test": np.array([4])})


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (lambda: FolderGroups(levels_up=3), r"sick/p0/000\.png lies in no folder 3 levels up"),
        (lambda: FolderGroups(levels_up=0), r"groups\.levels_up must be >= 1"),
        (lambda: PatternGroups(r"(p[1-9])"), r"finds no group in sick/p0/000\.png"),
        (lambda: PatternGroups(r"sick/p([1-9]*)"), r"finds no group in sick/p0/000\.png"),
        (lambda: PatternGroups(r"p\d"), "must have one pair of parentheses"),
        (lambda: PatternGroups(r"(p)(\d)"), "must have one pair of parentheses"),
        (lambda: PatternGroups("(p"), "is no regular expression"),
        (lambda: CSVGroups(group_column="patient"), r"no column patient \(it has: file, label, group\)"),
        (
            lambda: CSVGroups("nowhere.csv"),
            r"no file nowhere\.csv in the folder .*: give its path below",
        ),
    ],
)
def test_groups_that_cannot_be_found_are_told(patients, groups, message):
    with pytest.raises(UserError, match=message):
        ImageFolder(str(patients), 1, groups=groups())


def test_from_the_command_line(experiment, patients, capsys):
    options = ["--data.source=ImageFolder", f"--data.source.root={patients}", "--data.source.channels=1"]
    parts = ["--data.source.labels=CSVLabels", "--data.source.groups=CSVGroups", "--data.batch_size=4"]
    short = ["--trainer.max_steps=1", "--evaluation.extractor=null", "--data.size=32"]
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *options, *parts, *short) == 0
    said = capsys.readouterr().out
    assert "classes: 2 (training images: sick" in said
    assert "whole groups)" in said
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *options, *parts, *short, "--data.source.labels.file=no.csv") == 1
    assert "there is no file no.csv in the folder of the pictures" in capsys.readouterr().err


def test_a_run_finds_its_labels_again(patients, tmp_path, monkeypatch):
    """Also where a file of that name lies in the folder that a command is called in."""
    monkeypatch.chdir(patients)
    source = {"class_path": "ImageFolder", "init_args": {"root": str(patients)}}
    source["init_args"] |= {
        "labels": {"class_path": "CSVLabels", "init_args": {"file": "labels.csv"}},
        "groups": {"class_path": "CSVGroups", "init_args": {"file": str(patients / "labels.csv")}},
    }
    described = {"data": {"class_path": "ImageDataModule", "init_args": {"source": source, "size": 8}}}
    (tmp_path / "config.yaml").write_text(json.dumps(described))
    data = data_of(tmp_path / "config.yaml")
    assert data.source.class_names == ("sick", "well")


@pytest.mark.parametrize("reader", [CSVLabels, StyleGANLabels, CSVGroups])
def test_a_file_in_the_working_folder_is_named(tmp_path, monkeypatch, reader):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "table.csv").write_text("file,label,group")
    monkeypatch.chdir(tmp_path)
    part = reader("table.csv")
    with pytest.raises(UserError, match=rf"no file table\.csv in .*pictures: {tmp_path / 'table.csv'} is there"):
        (part.of if reader is CSVGroups else lambda root, _: part.read(root))(tmp_path / "pictures", [])
    with pytest.raises(UserError, match=r"there is no file /nowhere/table\.csv$"):
        reader("/nowhere/table.csv").read(tmp_path) if reader is not CSVGroups else reader("/nowhere/table.csv").of(
            tmp_path, []
        )
