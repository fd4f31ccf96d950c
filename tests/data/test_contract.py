"""One contract for all sources of pictures, decoded once or as they are read: the same run comes out, bit for bit."""

import numpy as np
import pytest
import torch

import two_processes
from conftest import SHORT, SMALL
from gen_experiments.data.cache import decoded, decoded_as_read
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.sources import HuggingFace, ImageFolder, Shards
from pictures_on_disk import write_parquet, write_pictures, write_shards
from processes import start, wait_until

CLASSES, EACH = ("cat", "dog", "owl"), 9
SOURCES = {
    "folder": lambda root: ImageFolder(str(root / "folder")),
    "huggingface": lambda root: HuggingFace(str(root / "parquet")),
    "shards": lambda root: Shards(str(root / "shards"), class_names=list(CLASSES)),
}
KINDS = [(name, limit) for name in SOURCES for limit in (32, 0)]
RANDOM = ("folder", 32, "random")  # crops, for which the training decodes as it reads


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The same pictures in a folder, in Parquet files and in shards, in one order."""
    root = tmp_path_factory.mktemp("pictures")
    files = {}
    for number, split in enumerate(("train", "val")):
        for name in CLASSES:
            write_pictures(root / "folder" / split / name, EACH, seed=10 * number + len(name))
        files[split] = sorted((root / "folder" / split).rglob("*.png"))
    write_parquet(root / "parquet", files, label=lambda file: file.parent.name)
    write_shards(root / "shards", files, lambda file: CLASSES.index(file.parent.name))
    return root


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{'once' if kind[1] else 'as read'}")
def kind(request):
    return request.param


def module(root, kind, workers=2):
    name, limit, *crop = kind
    options = {"size": 8, "batch_size": 4, "eval_batch_size": 5, "flip": True, "test_size": 6}
    options |= {"crop": crop[0]} if crop else {}
    return ImageDataModule(SOURCES[name](root), cache_limit=limit, workers=workers, **options)


def listed(batches):
    """What batches hold, as plain values."""
    rows = []
    for batch in batches:
        mirrored = None if batch.mirrored is None else batch.mirrored.tolist()
        rows.append((batch.images.flatten(1).tolist(), batch.labels.tolist(), mirrored, batch.indices.tolist()))
    return rows


def epochs(loader, count):
    """The next batches of an endless loader."""
    rows = []
    while len(rows) < count:
        for batch in loader:
            rows += listed([batch])
            if len(rows) == count:
                break
    return rows


def test_splits_labels_names_and_batches_are_those_of_a_folder_that_was_decoded_once(root, kind):
    data, expected = module(root, kind), module(root, ("folder", 32))
    assert data.image == expected.image
    assert data.source.splits() == {"train", "val"}
    for split, count in (("train", 21), ("val", 27), ("test", 6)):
        mine, theirs = data.split(split), expected.split(split)
        assert len(mine) == count
        assert torch.equal(mine.read(np.arange(count)), theirs.read(np.arange(count)))
        assert torch.equal(mine.labels(np.arange(count)), theirs.labels(np.arange(count)))
    assert epochs(data.train_dataloader(), 12) == epochs(expected.train_dataloader(), 12)
    for loader in ("val_dataloader", "test_dataloader"):
        assert listed(getattr(data, loader)()) == listed(getattr(expected, loader)())


def test_decoded_once_or_not_the_fingerprint_is_the_same_and_another_with_other_pictures(root, tmp_path, kind):
    source = SOURCES[kind[0]](root)
    as_read = decoded_as_read(source, "train", 8, 1).fingerprint
    assert decoded(source, "train", 8).fingerprint == as_read == decoded(SOURCES[kind[0]](root), "train", 8).fingerprint
    assert (
        len({as_read, decoded(source, "val", 8).fingerprint, decoded_as_read(source, "train", 9, 1).fingerprint}) == 3
    )


@pytest.mark.parametrize("stop", [0, 2, 5, 7])
def test_an_epoch_is_taken_up_in_its_middle_by_another_number_of_threads(root, kind, stop):
    whole = epochs(module(root, kind).train_dataloader(), 12)
    before, after = module(root, kind, 1).train_dataloader(), module(root, kind, 3).train_dataloader()
    assert epochs(before, stop) == whole[:stop]
    after.load_state_dict(before.state_dict())
    assert epochs(after, 12 - stop) == whole[stop:]


def parts_of_a_process(root, state):
    found = {}
    for kind in (*KINDS, RANDOM):
        data = module(root, kind, 1)
        loader = data.train_dataloader()
        loader.load_state_dict(state)
        found[str(kind)] = {"train": epochs(loader, 8), "val": listed(data.val_dataloader())}
    return found


def test_two_processes_go_on_with_the_epoch_of_one(root, tmp_path):
    alone = module(root, ("folder", 32))
    expected = {}
    for kind in (KINDS[0], RANDOM):
        loader = module(root, kind).train_dataloader()
        epochs(loader, 2)
        state = loader.state_dict()
        expected[str(kind)] = epochs(loader, 8)
    assert expected[str(KINDS[0])] != expected[str(RANDOM)]
    validation = sorted(index for *_, indices in listed(alone.val_dataloader()) for index in indices)
    first, second = two_processes.run(parts_of_a_process, tmp_path, root, state)
    for kind in map(str, (*KINDS, RANDOM)):
        joined = [
            tuple(a + b for a, b in zip(one, other, strict=True))
            for one, other in zip(first[kind]["train"], second[kind]["train"], strict=True)
        ]
        assert joined == expected.get(kind, expected[str(KINDS[0])]), kind
        seen = [index for process in (first, second) for *_, indices in process[kind]["val"] for index in indices]
        assert sorted(seen) == validation, kind


def test_a_run_that_is_killed_goes_on_as_one_that_was_not_by_another_number_of_threads(root, tmp_path, experiment):
    folder = ["--data.source=ImageFolder", f"--data.source.root={root / 'folder'}", "--data.source.channels=1"]
    often = ["--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint", "--trainer.callbacks.filename=last"]
    often += ["--trainer.callbacks.dirpath=RUN_DIR/checkpoints", "--trainer.callbacks.every_n_train_steps=1"]
    often += ["--trainer.callbacks.enable_version_counter=false", "--data.flip=true", "--evaluation.extractor=null"]
    arguments = ["fit", *SMALL["vqvae"], *SHORT, *folder, *often, "--data.batch_size=4", "--trainer.max_steps=40"]
    assert experiment(*arguments, "--run.name=whole", "--data.cache_limit=32") == 0
    as_read = [*arguments, "--run.name=killed", "--data.cache_limit=0"]
    process = start(*as_read, "--data.workers=1", folder=tmp_path)
    last = tmp_path / "runs" / "killed" / "version_0" / "checkpoints" / "last.ckpt"
    assert wait_until(last.exists, process)
    process.kill()
    process.wait()
    killed = torch.load(last, weights_only=True)
    assert killed["global_step"] < 40
    assert experiment(*as_read, "--data.workers=3", "--ckpt_path=last") == 0
    ends = [torch.load(tmp_path / "runs" / name / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
            for name in ("whole", "killed")]  # fmt: skip
    assert ends[0]["global_step"] == ends[1]["global_step"] == 40
    assert ends[0]["state_dict"].keys() == ends[1]["state_dict"].keys()
    for name, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][name]), name
