"""Caches that were damaged: each is made anew, or named in one line."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from conftest import SHORT, SMALL, SMALL_PRIOR


def arrays(path):
    """Ways to damage a .npy file."""
    good = np.load(path)
    whole = path.read_bytes()
    yield "empty", lambda: path.write_bytes(b"")
    yield "text", lambda: path.write_bytes(b"hello")
    yield "cut in the header", lambda: path.write_bytes(whole[:50])
    yield "cut short", lambda: path.write_bytes(whole[: len(whole) // 2])
    yield "another dtype", lambda: np.save(path, good.astype(np.float32))
    yield "another shape", lambda: np.save(path, good[..., :-1])
    yield "fewer dimensions", lambda: np.save(path, good.reshape(-1))
    yield "nothing in it", lambda: np.save(path, good[:0])
    yield "objects", lambda: np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    yield "an archive", lambda: np.savez(path.open("wb"), good)
    yield "out of range", lambda: np.save(path, np.full_like(good, np.iinfo(good.dtype).max))


def statistics(path):
    """Ways to damage a file of statistics."""
    good, whole = load_file(path), path.read_bytes()
    yield "empty", lambda: path.write_bytes(b"")
    yield "text", lambda: path.write_bytes(b"hello hello hello")
    yield "cut short", lambda: path.write_bytes(whole[: len(whole) // 2])
    yield "header of 8 GB", lambda: path.write_bytes((8 << 30).to_bytes(8, "little") + whole[8:])
    yield "nothing in it", lambda: save_file({}, path)
    yield "another name", lambda: save_file({"other": good["mean"]}, path)
    yield "another shape", lambda: save_file({name: value.reshape(-1)[:1] for name, value in good.items()}, path)
    yield "another dtype", lambda: save_file({name: value.astype(np.float32) for name, value in good.items()}, path)
    nan = {name: value * np.nan if value.dtype == np.float64 else value for name, value in good.items()}
    yield "not a number", lambda: save_file(nan, path)


@pytest.fixture
def validated(experiment, checkpoints, tmp_path, monkeypatch, capsys):
    """Trains nothing: scores a checkpoint with a cache of its own, and returns the scores."""
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))

    def run():
        capsys.readouterr()
        small = ["--data.val_size=200", "--data.test_size=200"]
        code = experiment("validate", *SMALL["gan"], *SHORT, *small, f"--ckpt_path={checkpoints['gan']}")
        said = capsys.readouterr()
        assert (code, "Traceback" in said.err) == (0, False), said.err
        return [line for line in said.out.splitlines() if "fid" in line]

    return run


def _files(folder, ending):
    return sorted(path for path in folder.rglob(f"*{ending}") if not path.name.startswith("."))


@pytest.mark.long
def test_images_labels_and_statistics_are_made_anew(validated, tmp_path):
    scores = validated()
    assert scores
    images = next(path for path in _files(tmp_path / "cache" / "images", ".npy") if "labels" not in path.name)
    labels = images.with_name(f"{images.stem}-labels.npy")
    sums = _files(tmp_path / "cache" / "statistics", ".safetensors")[0]
    damages = [*statistics(sums)]
    damages += [(f"images: {name}", damage) for name, damage in arrays(images) if name != "out of range"]
    damages += [(f"labels: {name}", damage) for name, damage in arrays(labels)]
    # One run after several damages, as a run costs a second: each file is damaged once a run.
    whole = {path: path.read_bytes() for path in (images, labels, sums)}
    groups = {
        path: [damage for name, damage in damages if name.startswith(start)]
        for path, start in ((images, "images"), (labels, "labels"))
    }
    groups[sums] = [damage for name, damage in damages if ":" not in name]
    for turn in range(max(map(len, groups.values()))):
        for damage in (some[turn] for some in groups.values() if turn < len(some)):
            damage()
        assert validated() == scores
        assert {path: path.read_bytes() for path in whole} == whole


@pytest.mark.long
def test_codes_are_made_anew(experiment, checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    train = ["fit", *SMALL_PRIOR, *SHORT, "--trainer.max_steps=1", f"--model.vqvae={checkpoints['vqvae']}"]
    train += ["--trainer.limit_val_batches=0", "--data.val_size=50", "--data.test_size=50"]
    assert experiment(*train) == 0
    path = _files(tmp_path / "cache" / "codes", ".npy")[0]
    whole = path.read_bytes()
    for name, damage in arrays(path):
        damage()
        capsys.readouterr()
        assert experiment(*train) == 0, (name, capsys.readouterr().err)
        assert path.read_bytes() == whole, name


@pytest.mark.parametrize("kind", ["file", "below a file", "folder in the way"])
def test_a_cache_that_cannot_be_written_is_named(refused, tmp_path, monkeypatch, kind):
    (tmp_path / "file").write_bytes(b"")
    cache = {"file": tmp_path / "file", "below a file": tmp_path / "file" / "cache"}.get(kind, tmp_path / "cache")
    if kind == "folder in the way":
        cache.mkdir()
        (cache / "images").write_bytes(b"")
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(cache))
    assert "GEN_EXPERIMENTS_CACHE" in refused("fit", *SMALL["gan"], *SHORT)
