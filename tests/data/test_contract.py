"""One contract for all sources of pictures, decoded once or as they are read: the same run comes out, bit for bit."""

import numpy as np
import pytest
import torch

import two_processes
from conftest import SHORT, SMALL
from gen_experiments.data.cache import cached_split, decoded_as_read
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.framing import Framing
from gen_experiments.data.pair_folders import PairedFolders
from gen_experiments.data.sources import HuggingFace, ImageFolder, Shards
from pictures_on_disk import write_array_parquet, write_parquet, write_pictures, write_png16, write_shards
from processes import start, wait_until

CLASSES, EACH = ("cat", "dog", "owl"), 9
SOURCES = {
    "folder": lambda root, **options: ImageFolder(str(root / "folder"), **options),
    "huggingface": lambda root, arrays=False, **options: HuggingFace(str(root / "parquet"), **options),
    "shards": lambda root, **options: Shards(str(root / "shards"), class_names=list(CLASSES), **options),
}
# Pairs of pictures with themselves, for which a training decodes as it reads only if it crops at random.
PAIRS = {
    name: lambda root, shuffled=name == "shuffled" and "within_classes", **options: PairedFolders(
        str(root / "folder"), str(root / "folder"), shuffled=shuffled, **options
    )
    for name in ("pairs", "shuffled")
}
# What the source and the data are told of pictures of 8 bits, of 16 with alpha, and of arrays in floating point.
LOOKS = {
    "plain": ({}, {"size": 8}),
    "alpha": ({"channels": 4}, {"size": (8, 12), "depth": 16}),
    "arrays": ({"channels": 1, "arrays": True}, {"size": (12, 8), "depth": 16, "value_range": (-1.0, 3.0)}),
}
KINDS = [(name, limit, look) for look in LOOKS for name in SOURCES for limit in (32, 0)]
ARGUMENTS = {
    "plain": ["--data.source.channels=1"],
    "alpha": ["--data.source.channels=4", "--data.depth=16", "--data.size=[12, 20]"],
    "arrays": [
        *("--data.source.channels=1", "--data.source.arrays=true", "--data.value_range=[-1, 3]", "--data.depth=16"),
        *("--data.size=[20, 12]", "--data.crop=random", "--data.crop_scale=[0.3, 0.9]"),
    ],
}
# Crops, for which the training decodes as it reads.
CROPPED = [*(("folder", look) for look in LOOKS), *((name, "plain") for name in PAIRS)]
RANDOM = [(name, 32, look, {"crop": "random", "crop_scale": (0.3, 0.9)}) for name, look in CROPPED]
FIRST = [next(kind for kind in KINDS if kind[2] == look) for look in LOOKS]


def write(folder, look, seed):
    """Pictures of a class; of 20 x 16 pixels."""
    if look == "plain":
        return write_pictures(folder, EACH, seed=seed)
    folder.mkdir(parents=True)
    source = np.random.default_rng(seed)
    for number in range(EACH):
        if look == "alpha":
            write_png16(folder / f"{number:03d}.png", source.integers(0, 65536, (16, 20, 4), dtype=np.uint16))
        else:
            np.save(folder / f"{number:03d}.npy", source.uniform(-1.5, 3.5, (16, 20)).astype(np.float32))
    return None


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Of each look the same pictures in a folder, in Parquet files and in shards, in one order."""
    import datasets

    root = tmp_path_factory.mktemp("pictures")
    for look in LOOKS:
        files, home = {}, root / look
        for number, split in enumerate(("train", "val")):
            for name in CLASSES:
                write(home / "folder" / split / name, look, seed=10 * number + CLASSES.index(name))
            files[split] = sorted(path for path in (home / "folder" / split).rglob("*") if path.is_file())
        if look == "arrays":
            feature = datasets.Array2D((16, 20), "float32")
            write_array_parquet(home / "parquet", files, feature, label=lambda file: file.parent.name)
        else:
            write_parquet(home / "parquet", files, label=lambda file: file.parent.name)
        write_shards(home / "shards", files, lambda file: CLASSES.index(file.parent.name))
    return root


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{'once' if kind[1] else 'as read'}-{kind[2]}")
def kind(request):
    return request.param


def source_of(root, kind):
    name, _, look, *_ = kind
    return (SOURCES | PAIRS)[name](root / look, **LOOKS[look][0])


def module(root, kind, workers=2):
    _, limit, look, *crop = kind
    options = {"batch_size": 4, "eval_batch_size": 5, "flip": True, "test_size": 6} | LOOKS[look][1]
    for more in crop:
        options |= more
    return ImageDataModule(source_of(root, kind), cache_limit=limit, workers=workers, **options)


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
    data, expected = module(root, kind), module(root, ("folder", 32, kind[2]))
    assert data.image == expected.image
    assert data.source.splits() == {"train", "val"}
    for split, count in (("train", 21), ("val", 27), ("test", 6)):
        mine, theirs = data.split(split), expected.split(split)
        assert len(mine) == count
        assert torch.equal(mine.read(np.arange(count)), theirs.read(np.arange(count)))
        kept = mine.kept(np.arange(count)).numpy()
        assert kept.dtype == (np.uint8 if kind[2] == "plain" else np.uint16)
        assert np.array_equal(kept, theirs.kept(np.arange(count)).numpy())
        assert torch.equal(mine.labels(np.arange(count)), theirs.labels(np.arange(count)))
    assert epochs(data.train_dataloader(), 12) == epochs(expected.train_dataloader(), 12)
    for loader in ("val_dataloader", "test_dataloader"):
        assert listed(getattr(data, loader)()) == listed(getattr(expected, loader)())


def test_decoded_once_or_not_the_fingerprint_is_the_same_and_another_with_other_pictures(root, tmp_path, kind):
    source, options = source_of(root, kind), LOOKS[kind[2]][1]
    framing = Framing(depth=options.get("depth", 8), value_range=options.get("value_range"))
    as_read = decoded_as_read(source, "train", 8, 1, framing).fingerprint
    assert cached_split(source, "train", 8, framing).fingerprint == as_read
    assert cached_split(source_of(root, kind), "train", 8, framing).fingerprint == as_read
    others = (
        cached_split(source, "val", 8, framing).fingerprint,
        decoded_as_read(source, "train", 9, 1, framing).fingerprint,
    )
    assert len({as_read, *others}) == 3


@pytest.mark.parametrize("name", SOURCES | PAIRS)
def test_the_fingerprint_is_another_with_other_channels(root, name):
    sources = [(SOURCES | PAIRS)[name](root / "plain", channels=channels) for channels in (1, 3)]
    grey, coloured = (cached_split(source, "train", 8).fingerprint for source in sources)
    assert grey != coloured


@pytest.mark.parametrize("stop", [0, 2, 5, 7])
def test_an_epoch_is_taken_up_in_its_middle_by_another_number_of_threads(root, kind, stop):
    whole = epochs(module(root, kind).train_dataloader(), 12)
    before, after = module(root, kind, 1).train_dataloader(), module(root, kind, 3).train_dataloader()
    assert epochs(before, stop) == whole[:stop]
    after.load_state_dict(before.state_dict())
    assert epochs(after, 12 - stop) == whole[stop:]


def parts_of_a_process(root, state):
    found = {}
    for kind in (*KINDS, *RANDOM):
        data = module(root, kind, 1)
        loader = data.train_dataloader()
        loader.load_state_dict(state)
        found[str(kind)] = {"train": epochs(loader, 8), "val": listed(data.val_dataloader())}
    return found


def test_two_processes_go_on_with_the_epoch_of_one(root, tmp_path):
    alone = module(root, ("folder", 32, "plain"))
    expected = {}
    for kind in (*FIRST, *RANDOM):
        loader = module(root, kind).train_dataloader()
        epochs(loader, 2)
        state = loader.state_dict()
        expected[str(kind)] = epochs(loader, 8)
    assert len(set(map(str, expected.values()))) == len(FIRST) + len(RANDOM)
    validation = sorted(index for *_, indices in listed(alone.val_dataloader()) for index in indices)
    first, second = two_processes.run(parts_of_a_process, tmp_path, root, state)
    of_look = {kind[2]: str(kind) for kind in FIRST}
    for kind in (*KINDS, *RANDOM):
        joined = [
            tuple(a + b for a, b in zip(one, other, strict=True))
            for one, other in zip(first[str(kind)]["train"], second[str(kind)]["train"], strict=True)
        ]
        assert joined == expected.get(str(kind), expected[of_look[kind[2]]]), kind
        seen = [index for process in (first, second) for *_, indices in process[str(kind)]["val"] for index in indices]
        assert sorted(seen) == validation, kind


@pytest.mark.parametrize(
    "look", ["plain", *(pytest.param(look, marks=pytest.mark.long) for look in LOOKS if look != "plain")]
)
def test_a_run_that_is_killed_goes_on_as_one_that_was_not_by_another_number_of_threads(
    root, tmp_path, experiment, look
):
    folder = ["--data.source=ImageFolder", f"--data.source.root={root / look / 'folder'}"]
    folder += ARGUMENTS[look]
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
