import multiprocessing

import numpy as np
import pytest
import torch

from gen_experiments.data.cache import cached_split
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import MNIST, Digits, ImageFolder
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec
from pictures_on_disk import write_mnist, write_pictures

pytestmark = pytest.mark.usefixtures("cache")


def pixels(images):
    return images.read(np.arange(len(images))).numpy().reshape(len(images), -1)


def test_splits_cover_the_images_without_overlap():
    data = ImageDataModule(Digits(), size=8, val_size=0.2, test_size=100)
    splits = {name: data.split(name) for name in ("train", "val", "test")}
    assert {name: len(split) for name, split in splits.items()} == {"train": 1338, "val": 359, "test": 100}
    members = np.concatenate([split.members for split in splits.values()])
    assert sorted(members) == list(range(1797))
    assert len({split.fingerprint for split in splits.values()}) == 3


def test_the_split_depends_on_its_seed_alone():
    one, same, other = (ImageDataModule(Digits(), size=8, split_seed=seed) for seed in (0, 0, 1))
    assert one.split("val").fingerprint == same.split("val").fingerprint
    assert one.split("val").fingerprint != other.split("val").fingerprint


def test_official_splits_are_kept(tmp_path):
    write_mnist(tmp_path)
    data = ImageDataModule(MNIST(str(tmp_path)), size=28, val_size=5)
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [35, 5, 10]


def test_nothing_need_be_held_out_for_validation(tmp_path):
    write_mnist(tmp_path)
    data = ImageDataModule(MNIST(str(tmp_path)), size=28, val_size=0)
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [40, 40, 10]
    assert data.split("val").fingerprint == data.split("train").fingerprint


def test_images_reach_the_model_as_floats_flipped_where_said():
    data = ImageDataModule(Digits(), size=8)
    images = torch.arange(2 * 4, dtype=torch.uint8).reshape(2, 1, 2, 2) * 36
    batch = data.on_after_batch_transfer(Batch(images, None, torch.tensor([False, True])), 0)
    assert batch.images.dtype == torch.float32
    torch.testing.assert_close(batch.images[0], images[0] / 127.5 - 1)
    torch.testing.assert_close(batch.images[1], images[1].flip(-1) / 127.5 - 1)


def test_the_spec_is_known_before_anything_is_read(tmp_path, cache):
    assert ImageDataModule(MNIST(str(tmp_path)), size=28).image == ImageSpec(1, 28, 10, tuple("0123456789"))
    assert not cache.exists()


def test_images_without_labels_make_batches_without_labels(tmp_path):
    write_pictures(tmp_path / "pictures", 20)
    data = ImageDataModule(ImageFolder(str(tmp_path / "pictures")), size=8, batch_size=4)
    batch = next(iter(data.train_dataloader()))
    assert batch.labels is None
    assert batch.images.shape == (4, 3, 8, 8)


def test_decoding_happens_once(tmp_path):
    write_pictures(tmp_path / "pictures", 5)
    source = ImageFolder(str(tmp_path / "pictures"))
    first = cached_split(source, "train", 8)
    for file in (tmp_path / "pictures").iterdir():
        stat = file.stat()
        file.write_bytes(b"x" * stat.st_size)  # undecodable now, but of the same size and time
        import os

        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = cached_split(source, "train", 8)
    assert np.array_equal(pixels(first), pixels(again))
    assert first.fingerprint == again.fingerprint
    with pytest.raises(UserError, match="cannot be decoded"):
        cached_split(source, "train", 9)


def _decode(folder, cache, queue):
    import os

    os.environ["GEN_EXPERIMENTS_CACHE"] = cache
    queue.put(pixels(cached_split(ImageFolder(folder), "train", 8)).tobytes())


@pytest.mark.long
def test_processes_that_start_at_once_read_the_same(tmp_path):
    write_pictures(tmp_path / "pictures", 30)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    arguments = (str(tmp_path / "pictures"), str(tmp_path / "other"), queue)
    processes = [context.Process(target=_decode, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(results)) == 1
    assert sorted(path.suffix for path in (tmp_path / "other" / "images").iterdir()) == [".npy"]


@pytest.mark.parametrize("options", [{"size": 0}, {"batch_size": 0}, {"val_size": -1}, {"test_size": 0.0}])
def test_sizes_that_make_no_sense_are_refused(options):
    with pytest.raises(UserError, match="must be"):
        ImageDataModule(Digits(), **options)


def test_holding_out_everything_is_refused():
    with pytest.raises(UserError, match="leaves no training images"):
        ImageDataModule(Digits(), val_size=5000).split("train")
