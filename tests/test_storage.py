import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.images import save_image
from gen_experiments.storage import atomic_folder, atomic_write, cache_root, check_empty


def test_the_cache_goes_where_it_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("GEN_EXPERIMENTS_CACHE")
    assert cache_root() == tmp_path / "xdg" / "gen_experiments"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "gen_experiments"


def test_without_a_home_folder_the_cache_is_to_be_named(monkeypatch, tmp_path):
    for name in ("GEN_EXPERIMENTS_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # of a container's user, whom no database names
    with pytest.raises(UserError, match="no home folder: name a folder for the cache by GEN_EXPERIMENTS_CACHE"):
        cache_root()
    with atomic_write(tmp_path / "data.bin") as temporary:
        temporary.write_bytes(b"new")
    with pytest.raises(UserError, match=r"cannot write .*: File exists"), atomic_write(tmp_path / "data.bin" / "x"):
        pass


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


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_obey_the_umask_like_any_other(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "data.bin") as temporary:
            temporary.write_bytes(b"x")
        (tmp_path / "other.bin").write_bytes(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "data.bin").stat().st_mode == (tmp_path / "other.bin").stat().st_mode


FULL = """
import resource, signal, sys
from pathlib import Path
from gen_experiments.errors import UserError
from gen_experiments.storage import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_write(Path("data.bin")) as temporary, temporary.open("wb") as file:
        file.write(bytes(2000))
except UserError as error:
    assert isinstance(error, OSError) and error.strerror == "File too large", repr(error)
    sys.exit(str(error))
"""


def test_a_disk_without_room_is_one_line_and_keeps_the_old_file(tmp_path):
    (tmp_path / "data.bin").write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == "cannot write data.bin: File too large\n"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("data.bin", b"old")]


def test_places_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with (
        pytest.raises(UserError, match=r"cannot write .*file/data\.bin: ") as caught,
        atomic_write(tmp_path / "file" / "data.bin"),
    ):
        pass
    assert isinstance(caught.value, OSError)
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)
    assert "GEN_EXPERIMENTS_CACHE" not in str(caught.value)
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="GEN_EXPERIMENTS_CACHE"), atomic_write(cache_root() / "images" / "data.npy"):
        pass


def test_an_error_that_has_a_message_alone_is_repeated(tmp_path):
    # As Pillow's encoders raise it.
    with pytest.raises(UserError) as caught, atomic_write(tmp_path / "image.png"):
        raise OSError("encoder error -2\nwhen writing image file")
    assert str(caught.value) == f"cannot write {tmp_path / 'image.png'}: encoder error -2 when writing image file"
    assert caught.value.strerror == "encoder error -2\nwhen writing image file"


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def fsync(handle):
        sync(handle)
        synced.append((os.fstat(handle).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "data.bin"
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    synced.clear()
    save_image(torch.zeros(3, 4, 4, dtype=torch.uint8), tmp_path / "picture.png")  # can be made again
    assert synced == []
    path = tmp_path / "made"
    with atomic_folder(path) as folder:
        (folder / "file").write_text("new")
    assert synced == [((path / "file").stat().st_ino, False), (tmp_path.stat().st_ino, True)]


@pytest.mark.skipif(sys.platform != "linux", reason="the list of open files")
def test_writing_leaves_no_file_open(tmp_path):
    (tmp_path / ".data-01234567.bin").write_bytes(b"left by a kill")
    before = os.listdir("/proc/self/fd")
    with atomic_write(tmp_path / "data.bin") as temporary:
        temporary.write_bytes(b"new")
    assert os.listdir("/proc/self/fd") == before
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    with atomic_write(tmp_path / f"{251 * 'a'}.bin") as temporary:
        temporary.write_bytes(b"new")
    with atomic_folder(tmp_path / (255 * "b")) as folder:
        (folder / "file").write_text("new")
    assert sorted(len(path.name) for path in tmp_path.iterdir()) == [255, 255]


def test_a_folder_appears_when_it_is_whole_and_takes_no_other_place(tmp_path):
    def fill(error=None):
        with atomic_folder(tmp_path / "made") as folder:
            (folder / "file").write_text("new")
            assert not (tmp_path / "made" / "file").exists()
            if error is not None:
                raise error

    for error in (KeyboardInterrupt(), UserError("wrong"), OSError(28, "No space left on device")):
        with pytest.raises((KeyboardInterrupt, UserError)):
            fill(error)
        assert not list(tmp_path.iterdir())
    (tmp_path / "made").mkdir()
    fill()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made" / "file").read_text() == "new"
    (tmp_path / "made" / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is no empty folder"):
        fill()
    with pytest.raises(UserError, match="is no empty folder"):
        check_empty(tmp_path / "link")
    assert (tmp_path / "made" / "file").read_text() == "old"
