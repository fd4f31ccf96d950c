"""Files of weights that someone hands over: each is read or refused in one line, and nothing of it runs."""

import io
import json
import os
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file

import gen_experiments
from conftest import CONFIGS, SHORT, SMALL
from gen_experiments.checkpoints.transfer import load_what_fits
from gen_experiments.errors import UserError
from gen_experiments.untrusted import torch_files

VGG = "--evaluation.extractor.name=vgg16"
FIT = ["fit", *SMALL["vqvae"], *SHORT]


@pytest.fixture
def good(contents):
    """The weights of a VQ-VAE."""
    return {name: weight.clone() for name, weight in contents["vqvae"]["state_dict"].items()}


@pytest.fixture
def unloaded(refused, checkpoints, tmp_path):
    """Begins a model with a file that must be refused in one line; returns the line."""
    model = gen_experiments.load(checkpoints["vqvae"])
    before = {name: weight.clone() for name, weight in model.state_dict().items()}

    def run(path):
        with pytest.raises(UserError) as refusal:
            load_what_fits(model, path)
        line = str(refusal.value)
        assert "\n" not in line
        assert len(line) < 1500
        assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
        assert not (tmp_path / "MODULE_IMPORTED").exists()
        assert not (tmp_path / "COMMAND_RAN").exists()
        return line

    return run


def pickled(data):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for entry, held in (("data.pkl", data), ("version", b"3\n"), ("byteorder", b"little")):
            target.writestr(f"archive/{entry}", held)
    return archive.getvalue()


def claiming(dtype, shape, end):
    header = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}).encode()
    return struct.pack("<Q", len(header)) + header


def files(good):
    """Files that hold no weights to begin with, by what the message says of each."""
    whole = save({name: weight.contiguous() for name, weight in good.items()})
    old = io.BytesIO()
    torch.save(good, old, _use_new_zipfile_serialization=False)
    yield "it is empty", b""
    yield "it is a web page", b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>404: Not Found</body></html>"
    yield "it is a web page", b"<html>\n" * 100
    yield "git lfs pull", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n"
    yield "", b"hello\n" * 100
    for length in (9, 100, len(whole) // 2, len(whole) - 1):
        yield "cannot be read as safetensors", whole[:length]
    yield "cannot be read as safetensors", struct.pack("<Q", 2**60) + b'{"a": 1}'
    yield "cannot be read as safetensors", claiming("F32", [2**40], 2**42)
    yield "cannot be read as safetensors", claiming("F33", [2], 8) + bytes(8)
    for length in (10, len(old.getvalue()) // 2, len(old.getvalue()) - 10):
        yield "", old.getvalue()[:length]
    yield "it names posix.system", b"cposix\nsystem\n(S'touch COMMAND_RAN'\ntR."
    yield "it names posix.system", pickled(b"\x80\x02cposix\nsystem\n(X\x11\x00\x00\x00touch COMMAND_RANtR.")
    yield "it names canary_module.Part", pickled(b"\x80\x02ccanary_module\nPart\n(tR.")
    yield "it names builtins.bytearray", b"\x80\x02cbuiltins\nbytearray\n(\x8a\x05\x00\x00\x00\x00\x02tR."
    yield "it names builtins.bytearray", pickled(b"\x80\x02cbuiltins\nbytearray\n(\x8a\x05\x00\x00\x00\x00\x02tR.")
    yield "holds no weights under names", pickled(b"\x80\x02]q\x00h\x00a.")
    # An object of a package that is read past is no dictionary of weights.
    yield "holds no weights under names", pickled(b"\x80\x02comegaconf\ndictconfig.DictConfig\n)\x81.")


def test_files_that_hold_no_weights(unloaded, good, subtests_of):
    for number, (said, data) in enumerate(files(good)):
        with subtests_of(f"{number}: {said}"):
            Path("evil.bin").write_bytes(data)
            line = unloaded("evil.bin")
            assert "evil.bin holds no weights to begin with" in line
            assert said in line


class Command:
    """What a hostile pickle holds."""

    def __reduce__(self):
        return os.system, ("touch COMMAND_RAN",)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_too_refuses_what_the_scan_of_names_might_overlook(unloaded, good, monkeypatch, zipped):
    torch.save({**good, "more": Command()}, "evil.pth", _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr(torch_files, "_check_names", lambda *_, **__: None)
    assert "evil.pth holds no weights to begin with" in unloaded("evil.pth")


@pytest.mark.parametrize("file", ["web page", "safetensors", "command"])
def test_a_run_that_cannot_begin_leaves_nothing(refused, good, tmp_path, file):
    held = {"web page": b"<html>", "safetensors": save(good)[:-1]}
    (tmp_path / "evil.bin").write_bytes(held.get(file, b"cposix\nsystem\n(S'touch COMMAND_RAN'\ntR."))
    assert "evil.bin holds no weights to begin with" in refused(*FIT, "--run.init_from=evil.bin")
    assert not list(tmp_path.rglob("version_*"))


def weights(good):
    """Weights that do not fit, or must not be taken, by what the message says of each."""
    first = "encoder.layers.0.weight"
    for value in (torch.nan, torch.inf):
        yield "not finite", {**good, first: good[first].index_fill(0, torch.tensor(0), value)}
    yield "not finite", {**good, first: good[first].double() * 1e300}
    yield "no array of numbers", {**good, first: torch.zeros(()).expand(good[first].shape)}
    yield "it names torch._utils._rebuild_sparse_tensor", {**good, first: good[first].to_sparse()}
    yield "no weight of", {name: torch.zeros(*weight.shape, 2) for name, weight in good.items()}
    yield "no weight of", {name: weight.to(torch.complex64) for name, weight in good.items() if weight.ndim}
    yield "no weight of", {name: weight.to(torch.int64) for name, weight in good.items() if weight.ndim}
    yield "encoder.layers.0.weight, ", {"another": torch.zeros(3), "x" * 10_000: torch.zeros(3)}


def test_weights_that_must_not_be_taken(unloaded, good, subtests_of):
    for number, (said, held) in enumerate(weights(good)):
        with subtests_of(f"{number}: {said}"):
            torch.save(held, "evil.pt")
            assert said in unloaded("evil.pt")


def test_keys_and_values_that_are_none_are_passed_over(experiment, good, capsys):
    torch.save({"state_dict": {**good, 3: torch.zeros(2), "none": None, "text": "hello"}, 7: good}, "odd.pt")
    assert experiment(*FIT, "--run.init_from=odd.pt", "--trainer.max_steps=0") == 0
    assert "begins with" in capsys.readouterr().out


def test_a_weight_of_another_shape_is_named(experiment, good, capsys):
    save_file({**good, "encoder.layers.0.bias": torch.zeros(3)}, "other.safetensors")
    assert experiment(*FIT, "--run.init_from=other.safetensors", "--trainer.max_steps=0") == 0
    assert "not loaded: encoder.layers.0.bias (4 here, 3)" in capsys.readouterr().out


def test_a_folder_and_a_file_that_is_not_there(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "it is a folder: name the file of weights in it" in refused(*FIT, "--run.init_from=folder")
    assert "there is no checkpoint at nowhere.safetensors" in refused(*FIT, "--run.init_from=nowhere.safetensors")
    assert "cannot be opened" in refused(*FIT, "--run.init_from=nowhere.pt:model")


def test_where_a_checkpoint_is_needed_weights_are_refused_with_the_way_to_one(refused, good, tmp_path):
    torch.save(good, "bare.pt")
    save_file(good, "bare.safetensors")
    (tmp_path / "page.ckpt").write_text("<html>404</html>")
    Image.new("L", (32, 32)).save("picture.png")
    prior = ["fit", f"--config={CONFIGS / 'prior.yaml'}", *SHORT]
    for file in ("bare.pt", "bare.safetensors"):
        for words in (["reconstruct", file, "--images=."], [*prior, f"--model.vqvae={file}"]):
            assert "--run.init_from=FILE --trainer.max_steps=0" in refused(*words)
    assert "it is a web page" in refused("reconstruct", "page.ckpt", "--images=.")


def test_weights_of_extractors(refused, tmp_path):
    """Each place where weights are handed in says what a wrong file is."""
    page = tmp_path / "page.pth"
    page.write_text("<!doctype html>")
    for option in (
        ["--evaluation.extractor=InceptionFeatures", f"--evaluation.extractor.weights={page}"],
        ["--evaluation.extractor=FidelityFeatures", f"--evaluation.extractor.weights={page}", VGG],
        ["--model.reconstruction=Perceptual", f"--model.reconstruction.weights={page}"],
    ):
        assert "it is a web page" in refused(*FIT, *option)
