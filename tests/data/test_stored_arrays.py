"""Arrays of numbers, and pictures of 16 bits, in shards and in data sets of Hugging Face."""

import ast
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from test_stored_elsewhere import grey, levels, tar

from gen_experiments.data.float_planes import open_array
from gen_experiments.data.framing import Framing
from gen_experiments.data.sources import HuggingFace, ImageFolder, Shards
from gen_experiments.errors import UserError
from pictures_on_disk import write_array_parquet, write_parquet, write_png16, write_shards


def saved(array):
    """What a .npy file would hold."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def stored(kind, root, arrays):
    """A source of arrays: in a folder, in shards, or in a column of bytes or of the library's arrays."""
    files = []
    for number, array in enumerate(arrays):
        (root / "in").mkdir(parents=True, exist_ok=True)
        files.append(root / "in" / f"{number}.npy")
        files[-1].write_bytes(array if isinstance(array, bytes) else saved(array))
    channels = arrays[0].shape[2] if isinstance(arrays[0], np.ndarray) and arrays[0].ndim == 3 else 1
    if kind == "folder":
        return ImageFolder(str(root / "in"), channels=channels, arrays=True)
    if kind == "shards":
        write_shards(root / "shards", {"train": files})
        return Shards(str(root / "shards"), channels=channels, arrays=True)
    import datasets

    feature = datasets.Value("binary" if kind == "bytes" else "large_binary")
    if kind == "arrays":
        array_of = {2: datasets.Array2D, 3: datasets.Array3D}[arrays[0].ndim]
        same = len({array.shape for array in arrays}) == 1
        feature = array_of((arrays[0].shape[0] if same else None, *arrays[0].shape[1:]), str(arrays[0].dtype))
    write_array_parquet(root / "parquet", {"train": files}, feature)
    return HuggingFace(str(root / "parquet"), label_column=None, channels=channels)


KINDS = ["folder", "shards", "bytes", "large bytes", "arrays"]
CLAIMING = saved(np.zeros((40, 40), np.uint8)).replace(b"(40, 40), }     ", b"(1000000, 9999)}")


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_are_read_as_those_of_a_folder(tmp_path, kind):
    source = np.random.default_rng(0)
    for name, arrays, value_range in (
        ("grey", source.integers(0, 1000, (3, 6, 8)).astype(np.uint16), (0.0, 999.0)),
        ("colours", source.normal(size=(3, 6, 8, 3)).astype(np.float32), (-1.0, 2.0)),
        ("double", source.normal(size=(3, 6, 8)), (-1.0, 2.0)),
        ("signed", source.integers(-500, 500, (3, 6, 8)).astype(np.int32), (-100.0, 200.0)),
        ("with alpha", source.integers(1, 1000, (3, 6, 8, 4)).astype(np.uint16), (0.0, 999.0)),
        ("eight", source.integers(0, 256, (3, 6, 8)).astype(np.uint8), None),
    ):
        read = stored(kind, tmp_path / name, list(arrays))
        made = read.decode("train", (6, 8), Framing(depth=16, value_range=value_range)).images
        black, white = value_range or (0, 255)
        shares = ((arrays.astype(np.float64) - black) / (white - black)).clip(0, 1).reshape(3, 6, 8, -1)
        assert np.abs(made.transpose(0, 2, 3, 1) / 65535 - shares).max() < 0.51 / 65535, name
        eight = read.decode("train", (3, 4), Framing(value_range=value_range)).images
        folder = ImageFolder(str(tmp_path / name / "in"), channels=read.channels, arrays=True)
        assert np.array_equal(eight, folder.decode("train", (3, 4), Framing(value_range=value_range)).images), name


def test_arrays_of_a_column_may_be_of_any_height(tmp_path):
    heights = [np.full((height, 4), 40 * height, dtype=np.uint8) for height in (4, 6, 5)]
    assert levels(stored("arrays", tmp_path, heights)) == [(160, None), (240, None), (200, None)]


@pytest.mark.parametrize("kind", ["folder", "shards", "bytes"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(np.zeros((4, 4), np.float32)), r"it holds float32: say by data\.value_range=\[black, white\]"),
        (saved(np.zeros((3, 4, 5), np.uint8)), "of at most four"),
        (saved(np.zeros(7, np.uint8)), r"it holds an array of shape \(7,\): a picture is \(h, w\)"),
        (saved(np.zeros((4, 4), np.uint8))[:-3], "cannot be decoded"),
        (saved(np.zeros((4, 4), np.uint8)).replace(b"(4, 4)", b"(9**9)"), "cannot be decoded"),
        (CLAIMING, r"it claims \(1000000, 9999\) numbers|mmap length"),
        (saved(np.array([[print, 1]], dtype=object)), "cannot be decoded"),
        (b"\x93NUMPY", "cannot be decoded"),
        (b"no array", "cannot be decoded"),
    ],
)
def test_an_array_that_cannot_be_read_is_named_in_one_line(tmp_path, kind, content, message):
    source = stored(kind, tmp_path, [saved(np.zeros((4, 4), np.uint8)), content])
    with pytest.raises(UserError, match=message) as told:
        source.decode("train", 4)
    assert "\n" not in str(told.value)
    where = {"folder": "1.npy", "shards": "000000.tar:000001.npy", "bytes": "train row 1"}[kind]
    assert where in str(told.value)


def test_rows_without_an_array_are_named(tmp_path):
    import datasets

    for kind, feature, cell in (
        ("fixed", datasets.Array2D((4, 4), "uint8"), np.zeros((4, 4), np.uint8)),
        ("any height", datasets.Array2D((None, 4), "uint8"), np.zeros((4, 4), np.uint8)),
        ("bytes", datasets.Value("binary"), saved(np.zeros((4, 4), np.uint8))),
    ):
        rows = datasets.Dataset.from_dict({"image": [cell, None]}, features=datasets.Features({"image": feature}))
        rows.save_to_disk(tmp_path / kind)
        with pytest.raises(UserError, match="train row 1 holds no picture: remove it"):
            HuggingFace(str(tmp_path / kind), label_column=None, channels=1).decode("train", 4)


def test_bytes_of_a_column_may_be_encoded_pictures(tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Value("binary")})
    rows = datasets.Dataset.from_dict({"image": [grey(3), grey(7)]}, features=features)
    rows.save_to_disk(tmp_path / "kept")
    assert levels(HuggingFace(str(tmp_path / "kept"), label_column=None, channels=1)) == [(3, None), (7, None)]


def test_arrays_in_shards_are_pictures_where_that_is_asked_for(tmp_path):
    array = saved(np.full((2, 2), 9, np.uint8))
    tar(tmp_path / "both" / "x.tar", {"a.png": grey(1), "b.npy": array, "b.png": grey(2)})
    tar(tmp_path / "one" / "x.tar", {"b.npy": array})
    # Beside pictures they may be anything, such as features.
    before = Shards(str(tmp_path / "both"), channels=1)
    assert levels(before) == [(1, None), (2, None)]
    with pytest.raises(UserError, match="has two pictures called b: keep one"):
        Shards(str(tmp_path / "both"), channels=1, arrays=True)
    assert levels(Shards(str(tmp_path / "one"), channels=1, arrays=True)) == [(9, None)]
    with pytest.raises(UserError, match=r"has no pictures in its shards \(members in \.png"):
        Shards(str(tmp_path / "one"), channels=1)


@pytest.mark.parametrize("kind", ["shards", "parquet"])
def test_16_bits_of_pictures_are_kept(tmp_path, kind):
    numbers = np.random.default_rng(0).integers(0, 65536, (3, 5, 7, 4), dtype=np.uint16)
    (tmp_path / "in").mkdir()
    for number, array in enumerate(numbers):
        write_png16(tmp_path / "in" / f"{number}.png", array)
    files = {"train": sorted((tmp_path / "in").iterdir())}
    if kind == "shards":
        write_shards(tmp_path / kind, files)
        source = Shards(str(tmp_path / kind), channels=4)
    else:
        write_parquet(tmp_path / kind, files)
        source = HuggingFace(str(tmp_path / kind), label_column=None, channels=4)
    made = source.decode("train", (5, 7), Framing(depth=16)).images
    assert np.array_equal(made, numbers.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("contents", [False, True])
def test_threads_do_not_parse_headers_at_once(tmp_path, monkeypatch, contents):
    file = tmp_path / "a.npy"
    file.write_bytes(saved(np.zeros((4, 4), np.uint8)))
    parse, inside = ast.literal_eval, threading.Semaphore(1)

    def alone(*given):  # Python's parser of literals is not safe, and fails too seldom for a test
        assert inside.acquire(blocking=False)
        time.sleep(0.01)
        inside.release()
        return parse(*given)

    monkeypatch.setattr(ast, "literal_eval", alone)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: open_array(file.read_bytes() if contents else file, Framing()), range(8)))
    assert [array.shape for array in found] == [(4, 4)] * 8
