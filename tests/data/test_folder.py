"""Folders as people have them: what is a split, a class, a picture, and what is passed over."""

import os
import shutil
import threading

import pytest
from grey_folders import grey, levels, make
from PIL import Image

from gen_experiments.data import pages, sources
from gen_experiments.data.cache import cached_split
from gen_experiments.data.folder import find_pictures, list_pictures
from gen_experiments.data.groups import CSVGroups
from gen_experiments.data.labels import CSVLabels
from gen_experiments.data.sources import ImageFolder
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures


def test_pictures_without_folders_have_no_labels(tmp_path):
    write_pictures(tmp_path)
    folder = ImageFolder(str(tmp_path))
    assert folder.num_classes is None
    decoded = folder.decode("train", 16)
    assert decoded.images.shape == (12, 3, 16, 16)
    assert decoded.labels is None


def test_folders_are_classes_and_splits(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for label in ("cat", "dog"):
            write_pictures(tmp_path / split / label, count)
    folder = ImageFolder(str(tmp_path))
    assert folder.splits() == {"train", "test"}
    assert folder.num_classes == 2
    assert folder.decode("test", 8).labels.tolist() == [0, 0, 1, 1]


def test_pictures_stand_in_the_order_of_the_folders_on_their_way(tmp_path):
    """A split, a fingerprint and the number of an image follow from it: it is the same on every file system."""
    for folder in ("b", "a-1", "a", "a/c"):
        write_pictures(tmp_path / folder, 2, size=(4, 4))
    (tmp_path / "b" / "001.png").rename(tmp_path / "b" / "001.PNG")  # as cameras write them
    names, _ = list_pictures(tmp_path)
    assert [name.lower() for name in names] == [
        f"{folder}/00{n}.png" for folder in ("a", "a/c", "a-1", "b") for n in (0, 1)
    ]


def test_missing_and_empty_folders_are_told(tmp_path):
    with pytest.raises(UserError, match="there is no image folder"):
        ImageFolder(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="holds no picture"):
        ImageFolder(str(tmp_path))
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"one\.png is a file: name the folder"):
        ImageFolder(str(tmp_path / "one.png"))


def test_the_key_changes_with_the_files(tmp_path):
    write_pictures(tmp_path, 3)
    before = ImageFolder(str(tmp_path)).key("train")
    assert ImageFolder(str(tmp_path)).key("train") == before
    assert ImageFolder(str(tmp_path), channels=1).key("train") != before
    write_pictures(tmp_path, 4)
    assert ImageFolder(str(tmp_path)).key("train") != before


def test_two_folders_out_of_archives_have_keys_of_their_own(tmp_path, cache):
    """Archives give all files one time, and pictures without compression have one size."""
    for name, level in (("clean", 10), ("noisy", 20)):
        for number in range(3):
            grey(tmp_path / name / f"{number}.bmp", level)
            os.utime(tmp_path / name / f"{number}.bmp", (0, 0))
    clean, noisy = (ImageFolder(str(tmp_path / name), 1) for name in ("clean", "noisy"))
    shutil.copytree(tmp_path / "clean", tmp_path / "copied")
    assert ImageFolder(str(tmp_path / "copied"), 1).key("train") == clean.key("train")
    assert cached_split(noisy, "train", 8).pixels[0].max() == 20
    assert cached_split(clean, "train", 8).pixels[0].max() == 10


def test_the_class_is_the_first_folder_whatever_lies_below(tmp_path):
    grey(tmp_path / "n01" / "images" / "x.png", 10)
    grey(tmp_path / "n01" / "y.png", 20)
    grey(tmp_path / "n02" / "images" / "deep" / "x.png", 30)
    folder = ImageFolder(str(tmp_path), channels=1)
    assert folder.class_names == ("n01", "n02")
    assert levels(folder) == [(10, "n01"), (20, "n01"), (30, "n02")]


def test_below_a_split_too(tmp_path):
    grey(tmp_path / "train" / "n01" / "images" / "x.png", 10)
    grey(tmp_path / "train" / "n02" / "images" / "x.png", 20)
    grey(tmp_path / "val" / "n02" / "x.png", 30)
    assert levels(ImageFolder(str(tmp_path), channels=1), "val") == [(30, "n02")]


def test_links_are_followed_but_not_in_circles(tmp_path):
    grey(tmp_path / "elsewhere" / "a.png", 10)
    grey(tmp_path / "elsewhere" / "b.png", 20)
    grey(tmp_path / "root" / "dogs" / "c.png", 30)
    (tmp_path / "root" / "cats").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "dogs" / "self").symlink_to(tmp_path / "root" / "dogs")
    (tmp_path / "root" / "dogs" / "d.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "root" / "dogs" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "root" / "dogs" / "loop.png").symlink_to(tmp_path / "root" / "dogs" / "loop.png")
    folder = ImageFolder(str(tmp_path / "root"), channels=1)
    assert levels(folder) == [(10, "cats"), (20, "cats"), (30, "dogs"), (10, "dogs")]
    assert folder.passed_over() == {"broken link": ["dogs/gone.png", "dogs/loop.png"]}


def test_the_same_folder_may_be_linked_twice(tmp_path):
    grey(tmp_path / "store" / "a.png", 10)
    for name in ("cats", "dogs"):
        (tmp_path / "root").mkdir(exist_ok=True)
        (tmp_path / "root" / name).symlink_to(tmp_path / "store")
    assert levels(ImageFolder(str(tmp_path / "root"), channels=1)) == [(10, "cats"), (10, "dogs")]


def test_hidden_names_and_other_files_are_passed_over_and_named(tmp_path):
    grey(tmp_path / "cats" / "x.png", 10)
    (tmp_path / "cats" / "._x.png").write_bytes(b"a resource fork")
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "cats" / "Thumbs.db").write_bytes(b"")
    grey(tmp_path / ".ipynb_checkpoints" / "x-checkpoint.png", 20)
    folder = ImageFolder(str(tmp_path), channels=1)
    assert levels(folder) == [(10, "cats")]
    assert folder.passed_over() == {
        "hidden": [".DS_Store", ".ipynb_checkpoints/", "cats/._x.png"],
        "no picture by their ending": ["cats/Thumbs.db"],
    }


def test_a_table_that_is_read_is_not_passed_over(tmp_path):
    root = tmp_path / "root"
    grey(root / "x.png", 10)
    (root / "tables").mkdir()
    (root / "tables" / "t.csv").write_text("file,label,group\nx.png,a,1\n")
    labels, groups = CSVLabels("tables/t.csv"), CSVGroups(str(root / "tables" / "t.csv"))
    for given in ({"labels": labels}, {"groups": groups}):
        assert ImageFolder(str(root), channels=1, **given).passed_over() == {}
    (root / "other.csv").write_text("")
    given = {"labels": labels, "groups": groups}
    assert ImageFolder(str(root), channels=1, **given).passed_over() == {"no picture by their ending": ["other.csv"]}


def test_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    grey(tmp_path / "cats" / name, 10)
    assert len(ImageFolder(str(tmp_path)).key("train")) > 64


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    make(tmp_path, "cats/x.png", "dogs/x.png")
    (tmp_path / "dogs").chmod(0)
    with pytest.raises(UserError, match="dogs cannot be read"):
        ImageFolder(str(tmp_path))
    (tmp_path / "dogs").chmod(0o700)


def test_pictures_are_found_in_the_order_of_their_paths(tmp_path):
    make(tmp_path, "b/x.png", "a/y.png", "a/deep/x.png", "c.png")
    files, passed_over = find_pictures(tmp_path)
    assert [str(file.relative_to(tmp_path)) for file in files] == ["a/deep/x.png", "a/y.png", "b/x.png", "c.png"]
    assert passed_over == {}


def test_earlier_configurations_find_it_where_it_was():
    assert sources.ImageFolder is ImageFolder
    with pytest.raises(AttributeError, match="Nothing"):
        sources.Nothing  # noqa: B018


def test_a_pipe_is_called_so_and_not_a_broken_link(tmp_path):
    make(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("nowhere.png")
    assert ImageFolder(str(tmp_path)).passed_over() == {
        "broken link": ["link.png"],
        "pipe, socket or device": ["pipe.png"],
    }


def test_the_pages_of_a_tiff_that_are_not_read_are_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "_said", threading.Lock())
    first, *others = [Image.new("L", (8, 8), value) for value in (10, 200, 250)]
    for name in ("a.tif", "b.tif"):
        first.save(tmp_path / name, save_all=True, append_images=others)
    first.save(tmp_path / "c.tif")
    with pytest.warns(UserWarning, match="holds 3 pages, of which only the first is read") as said:
        found = ImageFolder(str(tmp_path), channels=1).decode("train", 8).images
    assert len(said) == 1
    assert found.shape == (3, 1, 8, 8)
    assert (found == 10).all()
