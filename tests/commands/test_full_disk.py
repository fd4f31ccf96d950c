"""A disk that is full when a command writes: one line, the system's reason, and no file under its final name."""

import resource
from contextlib import contextmanager

import numpy as np
import pytest

from gen_experiments.storage import WriteError, write_array
from pictures_on_disk import write_pictures


@contextmanager
def full(size=50):
    """Writes beyond so many bytes of a file fail, as they do on a full disk; Python ignores the signal.

    Within a test only: the file that pytest's own output goes to may be longer.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def pictures(tmp_path):
    write_pictures(tmp_path / "pictures", 4, mode="L")


@pytest.mark.parametrize(
    ("command", "model", "out", "options"),
    [
        ("sample", "gan", "grid.png", ["--num=16"]),
        ("sample", "gan", "folder", ["--num=4"]),
        ("sample", "gan", "grid.jpg", ["--num=16"]),
        ("interpolate", "gan", "way.gif", []),
        ("interpolate", "gan", "way.webp", []),
        ("reconstruct", "vqvae", "grid.png", ["--images=pictures"]),
        ("encode", "vqvae", "codes.npz", ["--images=pictures"]),
        ("export", "vqvae", "exported", []),
    ],
)
def test_a_command_says_why_it_could_not_write(
    experiment, checkpoints, pictures, capsys, tmp_path, command, model, out, options
):
    with full():
        assert experiment(command, checkpoints[model], f"--out={out}", *options) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert line.startswith("error: cannot write ")
    assert line.endswith(": File too large")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "pictures"] == []


def test_statistics_say_so_too(experiment, pictures, capsys, tmp_path):
    options = ("--extractor=DigitsFeatures", "--extractor.any_images=true")
    with full():
        assert experiment("stats", "pictures", "--out=s.npz", *options) == 1
    assert capsys.readouterr().err.endswith("error: cannot write s.npz: File too large\n")
    assert not (tmp_path / "s.npz").exists()


def test_an_array_that_finds_no_room_has_a_reason(tmp_path):
    # Behind the header, as most disks do.
    with full(1000), pytest.raises(WriteError, match=r"data\.npy: File too large$"):
        write_array(tmp_path / "data.npy", np.zeros(1000))
    assert list(tmp_path.iterdir()) == []


def test_an_array_is_written_as_numpy_does(tmp_path):
    for number, array in enumerate((np.arange(12).reshape(3, 4).T, np.zeros((0, 2)), np.float32(3))):
        write_array(tmp_path / f"{number}.npy", array)
        np.save(tmp_path / "expected.npy", array)
        assert (tmp_path / f"{number}.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
