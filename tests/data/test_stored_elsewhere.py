"""Pictures in shards: what is found in them, and what is refused."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from gen_experiments.data.sources import Shards
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures, write_shards

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def files(tmp_path):
    write_pictures(tmp_path / "set", 6, size=(4, 4))
    return sorted((tmp_path / "set").iterdir())


def grey(level):
    """An encoded picture of one level, by which it is known again."""
    file = io.BytesIO()
    Image.new("L", (2, 2), level).save(file, "PNG")
    return file.getvalue()


def tar(path, members, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))


def levels(source, split="train"):
    """The level and the label of each picture."""
    read = source.decode(split, 2)
    labels = [None] * len(read.images) if read.labels is None else read.labels.tolist()
    return list(zip(read.images[:, 0, 0, 0].tolist(), labels, strict=True))


def test_what_tar_makes_is_read(tmp_path):
    """Long names, folders, labels before and after, in JSON too, and members that are no pictures."""
    deep = f"{'deep/' * 30}a"
    tar(
        tmp_path / "x.tar",
        {f"{deep}.png": grey(1), f"{deep}.cls": b"1\n", "b.json": b'{"label": 0}', "b.PNG": grey(2), "read.me": b""}
        | {"._b.png": b"a resource fork", "c.cls": b"2", "c.mask.png": grey(9), "c.png": grey(3)},
    )
    source = Shards(str(tmp_path), channels=1)
    assert levels(source) == [(1, 1), (2, 0), (3, 2)]
    assert source.num_classes == 3


def test_a_picture_in_a_shard_is_named(tmp_path):
    tar(tmp_path / "x.tar", {"a/1.png": grey(1), "a/2.png": b"no picture"})
    with pytest.raises(UserError, match=r"x\.tar:a/2\.png cannot be decoded"):
        levels(Shards(str(tmp_path)))


def test_shards_are_splits_by_their_names_or_folders(tmp_path):
    for number, name in enumerate(("train-000.tar", "Validation_0.tar", "test/0.tar", "train-001.tar")):
        tar(tmp_path / name, {"a.png": grey(number)})
    source = Shards(str(tmp_path), channels=1)
    assert {split: levels(source, split) for split in source.splits()} == {
        "train": [(0, None), (3, None)],
        "val": [(1, None)],
        "test": [(2, None)],
    }


def test_secret_labels_of_a_test(tmp_path):
    tar(tmp_path / "train.tar", {"a.png": grey(1), "a.cls": b"0"})
    tar(tmp_path / "test.tar", {"a.png": grey(1)})
    source = Shards(str(tmp_path))
    assert (source.labelled("train"), source.labelled("test")) == (True, False)


@pytest.mark.parametrize("damage", ["gone", "text", "shape", "beyond", "shard"])
def test_an_index_that_is_damaged_is_made_anew(tmp_path, cache, files, damage):
    write_shards(tmp_path / "shards", {"train": files}, lambda file: int(file.stem) % 2)
    expected = Shards(str(tmp_path / "shards"))
    (path,) = (cache / "shards").iterdir()
    whole = path.read_bytes()
    index = np.load(path)
    if damage == "gone":
        path.unlink()
    elif damage == "text":
        path.write_bytes(b"hello")
    else:
        index[-1, {"beyond": 1, "shard": 0}.get(damage, 2)] = 10**9
        np.save(path, index[:, :3] if damage == "shape" else index)
    again = Shards(str(tmp_path / "shards"))
    assert path.read_bytes() == whole
    assert levels(again) == levels(expected)


def test_shards_are_listed_once_until_one_changes(tmp_path, cache, files):
    write_shards(tmp_path / "shards", {"train": files})
    before = Shards(str(tmp_path / "shards")).key("train")
    (path,) = (cache / "shards").iterdir()
    written = path.stat()
    assert Shards(str(tmp_path / "shards")).key("train") == before
    assert path.stat().st_ino == written.st_ino  # a file that is written anew is another one
    write_shards(tmp_path / "shards", {"train": files[:-1]})
    assert Shards(str(tmp_path / "shards")).key("train") != before
    assert len(list((cache / "shards").iterdir())) == 2


GOOD = {"a.png": grey(1), "a.cls": b"0"}


@pytest.mark.parametrize(
    ("shards", "options", "message"),
    [
        ({}, {}, "holds no shards"),
        ({"x.tar": {"a.txt": b""}}, {}, "has no pictures in its shards"),
        ({"x.tar": GOOD | {"b.png": grey(2)}}, {}, r"1 of 2 pictures have no label, such as .*x\.tar:b\.png"),
        ({"x.tar": GOOD | {"a.jpg": grey(2)}}, {}, r"x\.tar has two pictures called a: keep one"),
        ({"x.tar": GOOD | {"a.cls": b"cat"}}, {}, r"x\.tar:a\.cls holds no whole number"),
        ({"x.tar": GOOD | {"a.cls": b"-1"}}, {}, r"a\.cls holds a label -1: it must be a whole number in 0 and up"),
        ({"x.tar": {"a.png": grey(1), "a.json": b"{"}}, {}, r"a\.json holds no JSON"),
        ({"x.tar": {"a.png": grey(1), "a.json": b'{"label": "cat"}'}}, {}, r"a\.json holds a label cat"),
        ({"x.tar": GOOD | {"a.cls": b"3"}}, {}, "has labels up to 3 and none of 0: number the classes from 0"),
        ({"x.tar": GOOD | {"a.cls": b"3"}}, {"num_classes": 3}, r"in 0 \.\.\. 2, as num_classes=3"),
        ({"x.tar": GOOD}, {"class_names": ["a", "b"]}, "2 class_names cannot be those of 1 classes"),
        ({"x.tar": GOOD}, {"channels": 5}, "1 channel .* not 5"),
        ({"train.tar": GOOD, "test.tar": GOOD | {"a.cls": b"1"}}, {}, "test shards of .* have labels from 1 to 1"),
        ({"val.tar": GOOD}, {}, "holds shards of val, so that it is not clear what is to train on"),
        ({"train.tar": GOOD, "more.tar": GOOD}, {}, r"holds shards of train beside more\.tar"),
    ],
)
def test_shards_that_are_not_clear_are_refused(tmp_path, shards, options, message):
    (tmp_path / "set").mkdir()
    for name, members in shards.items():
        tar(tmp_path / "set" / name, members)
    with pytest.raises(UserError, match=message):
        Shards(str(tmp_path / "set"), **options)


@pytest.mark.parametrize("damage", ["compressed", "cut short", "text", "empty"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    path = tmp_path / "x.tar"
    tar(path, {"a.png": grey(1), "b.png": bytes(5000)}, "w:gz" if damage == "compressed" else "w")
    whole = path.read_bytes()
    path.write_bytes({"compressed": whole, "cut short": whole[:2048], "text": b"hello" * 300, "empty": b""}[damage])
    with pytest.raises(UserError, match=r"x\.tar is no uncompressed tar file, or is damaged"):
        Shards(str(tmp_path))


@pytest.mark.parametrize("damage", ["at the end of a picture", "within a header", "in a header"])
def test_a_shard_that_ends_too_early_is_named(tmp_path, damage):
    """`tarfile` reads it to there without an error."""
    path = tmp_path / "x.tar"
    tar(path, {f"{number}.png": grey(number) for number in range(4)})
    whole = bytearray(path.read_bytes())
    second = 1024  # a header and a picture of less than 512 bytes
    if damage == "in a header":
        whole[second + 150] ^= 255  # of its checksum
    else:
        del whole[second + 200 * (damage == "within a header") :]
    path.write_bytes(whole)
    with pytest.raises(UserError, match=r"x\.tar is no uncompressed tar file, or is damaged .*: make it anew"):
        Shards(str(tmp_path))


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.GNUTYPE_SPARSE])
def test_a_picture_that_a_shard_only_points_to_is_not_lost_in_silence(tmp_path, kind):
    tar(tmp_path / "x.tar", {"a.png": grey(1)})
    with tarfile.open(tmp_path / "x.tar", "a") as file:
        member = tarfile.TarInfo("b.png")
        member.type, member.linkname = kind, "a.png"
        file.addfile(member)
    with pytest.raises(UserError, match=r"x\.tar:b\.png is a link or a sparse file.*--hard-dereference"):
        Shards(str(tmp_path))


def test_a_link_to_no_shard_is_named(tmp_path):
    (tmp_path / "x.tar").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"x\.tar cannot be read: No such file"):
        Shards(str(tmp_path))


def test_a_folder_that_is_not_there():
    with pytest.raises(UserError, match="there is no folder of shards nowhere"):
        Shards("nowhere")


def test_labels_in_json_beside_other_facts(tmp_path):
    tar(tmp_path / "x.tar", {f"{n}.{e}": d for n in range(3) for e, d in
                             (("png", grey(n)), ("json", json.dumps({"label": n, "width": 2}).encode()))})  # fmt: skip
    assert levels(Shards(str(tmp_path), channels=1)) == [(0, 0), (1, 1), (2, 2)]
