import re

import numpy as np
import pytest

from gen_experiments.data.cache import cached_split
from gen_experiments.data.picture_decoding import decode_all
from gen_experiments.data.sources import ImageFolder
from gen_experiments.errors import UserError
from pictures_on_disk import write_pictures


def _breaks(folder, *numbers):
    for number in numbers:
        (folder / f"{number:03d}.png").write_bytes(b"no picture")


def _decode_into_the_cache(folder):
    cached_split(ImageFolder(str(folder)), "train", 8)


def _decode_in_memory(folder):
    decode_all(sorted(folder.iterdir()), 8, 3)


@pytest.mark.parametrize("decode", [_decode_into_the_cache, _decode_in_memory])
def test_all_pictures_that_cannot_be_decoded_are_named_at_once(tmp_path, monkeypatch, decode):
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path / "pictures", count=12)
    _breaks(tmp_path / "pictures", 3, 4, 11)
    with pytest.raises(UserError) as refused:
        decode(tmp_path / "pictures")
    first, others = str(refused.value).split("; 2 more are refused: ")
    assert re.search(r"003\.png cannot be decoded \(.*\): mend or remove it$", first)
    assert others == f"{tmp_path}/pictures/004.png, {tmp_path}/pictures/011.png"


def test_a_folder_whose_pictures_are_all_refused_is_not_read_to_its_end(tmp_path, monkeypatch):
    from gen_experiments.data import undecodable

    monkeypatch.setattr(undecodable, "PART", 16)
    folder = tmp_path / "arrays"
    folder.mkdir()
    for number in range(64):
        np.save(folder / f"{number:03d}.npy", np.zeros((4, 4, 5), np.uint8))
    with pytest.raises(UserError, match=r"000\.npy.*at least 15 more are refused: .*001\.npy.*010\.npy, …$"):
        decode_all(sorted(folder.iterdir()), 4, 3)
