"""Files that are no weights, wherever weights are named: each reader says what the file is and what to do."""

import gzip
import io
import tarfile
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_safetensors

from gen_experiments.checkpoints.loading import load_model
from gen_experiments.checkpoints.transfer import load_what_fits
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.metrics.features import InceptionFeatures
from gen_experiments.metrics.trained import TrainedFeatures
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.networks.autoencoder import ConvEncoder
from gen_experiments.networks.projected import ProjectedDiscriminator
from small_models import gan

ENCODER = partial(ConvEncoder, hidden=4, residual_hidden=2)
READERS = {
    "--run.init_from": lambda path: load_what_fits(gan(), path),
    "--ckpt_path and --model.vqvae": lambda path: load_model(path, VQVAE, "reconstruct"),
    "TrainedFeatures.weights": TrainedFeatures,
    "InceptionFeatures.weights": InceptionFeatures,
    "ProjectedDiscriminator.weights": lambda path: ProjectedDiscriminator(ImageSpec(3, 32), ENCODER, path),
}


def torch_file():
    written = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, written)
    return written.getvalue()


def archive(*names):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        for name in names:
            opened.writestr(name, b"hello")
    return written.getvalue()


def tar():
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as opened:
        entry = tarfile.TarInfo("weights.pt")
        entry.size = 3
        opened.addfile(entry, io.BytesIO(b"abc"))
    return written.getvalue()


def arrays():
    written = io.BytesIO()
    np.savez(written, mu=np.zeros(3))
    return written.getvalue()


KINDS = {
    "it is empty: copy or download it again": b"",
    "it is a web page and not the file: download it again": b"\n<!DOCTYPE html><html>404</html>",
    "it is the pointer of Git LFS and not the file: fetch that by `git lfs pull`": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    ),
    "is cut short: copy or download it again": torch_file()[:2000],
    "it is a ZIP archive that torch did not write: unpack it": archive("model.pt", "a/b.txt"),
    "it is an archive of NumPy's arrays": arrays(),
    "it is an archive of gzip: unpack it": gzip.compress(b"weights"),
    "it is an archive of tar: unpack it": tar(),
    "it is a text and holds no weights": b"there is nothing here",
    "it is a picture and holds no weights": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "it was written neither by torch nor by safetensors": bytes(range(1, 100)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("said", KINDS)
def test_the_file_is_named_by_what_it_is(tmp_path, said, reader):
    path = tmp_path / "weights.ckpt"
    path.write_bytes(KINDS[said])
    with pytest.raises(UserError) as error:
        READERS[reader](str(path))
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_without_a_checkpoint(tmp_path, reader):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="a folder"):
        READERS[reader](str(tmp_path / "folder"))


@pytest.mark.parametrize("length", [40, 2000])
def test_cut_safetensors(tmp_path, length):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save_safetensors({"a": torch.zeros(1000)})[:length])
    with pytest.raises(UserError, match="is cut short"):
        load_what_fits(gan(), path)
