"""Pictures that are decoded as they are read: when that is chosen, and in which order what goes wrong is told."""

import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

from gen_experiments.data.cache import ImageArray, cached_split
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.decoded_as_read import AHEAD, DecodedAsRead
from gen_experiments.data.folder import Files
from gen_experiments.data.picture_decoding import Encoded
from gen_experiments.data.sampling import TrainingBatches
from gen_experiments.data.sources import ImageFolder, PictureSource
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures

pytestmark = pytest.mark.usefixtures("cache")

# Decodes a picture, and is interrupted while the main thread waits for the start of the first other one.
INTERRUPTED = """
import os, signal, sys, threading
import numpy as np
from gen_experiments.data.decoded_as_read import DecodedAsRead
from gen_experiments.data.sources import ImageFolder

def interrupt(frame, event, argument):
    if frame.f_code is threading.Event.wait.__code__ and event == "call":
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)

pixels = DecodedAsRead(ImageFolder(sys.argv[1]).pictures("train"), 8, 3, 2)
sys.setprofile(interrupt)
try:
    pixels[np.arange(1)]
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path / "set", 12)
    return ImageFolder(str(tmp_path / "set"))


class Watched:
    """Pictures that note which of them were asked for."""

    def __init__(self, pictures):
        self.pictures, self.asked, self._lock = pictures, set(), threading.Lock()

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, number):
        with self._lock:
            self.asked.add(number)
        return self.pictures[number]


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_threads_reads_the_pixels_of_the_cache(folder, workers):
    pixels = DecodedAsRead(folder.pictures("train"), 8, 3, workers)
    stored = cached_split(folder, "train", 8).pixels
    order = np.random.default_rng(0).permutation(12)
    assert np.array_equal(pixels[order], stored[order])
    assert np.array_equal(np.concatenate(list(pixels.ahead(np.split(order, [5, 5, 7])))), stored[order])


def test_a_signal_at_the_start_of_the_first_thread_does_not_keep_the_process_from_its_end(folder):
    command = [sys.executable, "-c", INTERRUPTED, folder.root]
    assert subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout == "interrupted\n"


def test_two_batches_are_decoded_ahead_and_no_more(folder):
    watched = Watched(folder.pictures("train"))
    stream = DecodedAsRead(watched, 8, 3, 1).ahead(np.arange(12).reshape(12, 1))
    next(stream)
    next(stream)
    assert {0, 1} <= watched.asked <= set(range(2 + AHEAD))
    stream.close()


def test_what_nobody_waits_for_any_more_is_not_decoded(folder):
    class Held(Watched):
        def __getitem__(self, number):
            if number == 1:
                go_on.wait(60)
            return super().__getitem__(number)

    go_on = threading.Event()
    watched = Held(folder.pictures("train"))
    pixels = DecodedAsRead(watched, 8, 3, 1)
    stream = pixels.ahead(np.arange(12).reshape(12, 1))
    next(stream)
    stream.close()
    go_on.set()
    pixels[np.array([11])]  # the one thread comes to it after all others
    assert watched.asked - {1} == {0, 11}


def test_what_is_decoded_ahead_is_not_done(folder):
    images = ImageArray(DecodedAsRead(folder.pictures("train"), 8, 3, 2), None, np.arange(12), "f")
    loader = TrainingBatches(images, 2, seed=0, flip=False)
    batches = iter(loader)
    for done in (1, 2, 3):
        next(batches)
        assert loader.state_dict()["done"] == done


def test_a_picture_that_is_damaged_is_named_when_its_batch_is_due(folder, tmp_path):
    (tmp_path / "set" / "007.png").write_bytes(b"no picture")
    stream = DecodedAsRead(folder.pictures("train"), 8, 3, 2).ahead(np.arange(12).reshape(4, 3))
    assert [len(next(stream)) for _ in range(2)] == [3, 3]
    with pytest.raises(UserError, match=r"007\.png cannot be decoded"):
        next(stream)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (2304 / 2**30, "pixels: decoded once, 0.0022 MiB in "),
        (2303 / 2**30, "pixels: decoded as they are read, by 2 threads of each process, as 0.0022 MiB are more than "),
        (0, "data.cache_limit=0\n"),
    ],
)
def test_the_limit_chooses(folder, cache, capsys, limit, said):
    """12 pictures of 3x8x8 bytes."""
    data = ImageDataModule(folder, size=8, cache_limit=limit, workers=2)
    data.prepare_data()
    data.setup("fit")
    assert said in capsys.readouterr().out
    assert cache.exists() == ("once" in said)


class Endless(PictureSource):
    """A billion times the same picture."""

    channels, num_classes = 1, None

    def __init__(self, count):
        self.count = count

    def splits(self):
        return {"train"}

    def key(self, split):
        return "endless"

    def pictures(self, split):
        return self

    def labels(self, split):
        return None

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        return Encoded(f"picture {number}", b"P5 1 1 255\n\x07")


def test_what_the_disk_has_no_room_for_is_not_begun(cache):
    data = ImageDataModule(Endless(10**9), size=64, cache_limit=float("inf"))
    with pytest.raises(
        UserError, match=r"1000000000 decoded images of train take 3\.81e\+03 GiB, and .*data\.cache_limit=0"
    ):
        data.prepare_data()
    assert not cache.exists()


def test_what_is_large_says_its_size_before_it_is_written(monkeypatch, capsys, cache):
    monkeypatch.setattr("gen_experiments.data.footprint.WORTH_SAYING", 1000)
    assert (cached_split(Endless(1000), "train", 1).pixels[:] == 7).all()
    assert capsys.readouterr().out == f"decoding 1000 images of train into {cache / 'images'}: 0.000954 MiB\n"


@pytest.mark.usefixtures("cache")
def test_decoding_shows_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr("gen_experiments.data.cache.CHUNK", 300)
    monkeypatch.setattr("gen_experiments.progress.QUIET", 0.0)
    monkeypatch.setattr("gen_experiments.progress.BETWEEN_LINES", 0.0)
    assert (cached_split(Endless(1000), "train", 1).pixels[:] == 7).all()
    said = capsys.readouterr().err
    for done in ("300 of 1000", "900 of 1000"):
        assert done in said
    assert "images of train decoded" in said


def test_files_are_kept_as_names(tmp_path):
    names = ["a/x.png", "caf\udce9.png", "b/日本.png"]
    files = Files(tmp_path, names)
    assert list(files.names()) == names
    assert [files[number] for number in (2, 0)] == [tmp_path / names[2], tmp_path / names[0]]
    for number in (3, -1):
        with pytest.raises(IndexError):
            files[number]


def test_names_take_little_memory(tmp_path):
    """8 bytes each beside their own: a million of these take 36 MB."""
    tracemalloc.start()
    files = Files(tmp_path, [f"n{i // 1000:08d}/n{i // 1000:08d}_{i % 1000:03d}.JPEG" for i in range(20_000)])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(files) == 20_000
    assert kept < 20_000 * (28 + 8) + 20_000


@pytest.mark.parametrize("options", [{"cache_limit": -1}, {"cache_limit": float("nan")}, {"workers": 0}])
def test_settings_that_make_no_sense_are_refused(folder, options):
    with pytest.raises(UserError, match="must be"):
        ImageDataModule(folder, **options)
