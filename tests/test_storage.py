from pathlib import Path

import pytest

from gen_experiments.storage import atomic_write, cache_root


def test_the_cache_goes_where_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("GEN_EXPERIMENTS_CACHE")
    assert cache_root() == tmp_path / "xdg" / "gen_experiments"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "gen_experiments"


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "data.npy"
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"half")
        assert not path.exists()
        assert (temporary.parent, temporary.suffix) == (path.parent, ".npy")
    assert path.read_bytes() == b"half"
    assert list(path.parent.iterdir()) == [path]


def _fail(path):
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("the disk is full")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="full"):
        _fail(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_last_of_several_writers_wins(tmp_path):
    path = tmp_path / "data.bin"
    with atomic_write(path) as first:
        with atomic_write(path) as second:
            second.write_bytes(b"second")
        first.write_bytes(b"first")
    assert path.read_bytes() == b"first"
