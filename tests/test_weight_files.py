"""Files of weights of other programs: in which dictionaries their tensors are found."""

import json

import pytest
import torch
from safetensors.torch import save_file

from gen_experiments.untrusted.unreadable import Unreadable
from gen_experiments.untrusted.weight_files import read_state, read_weights, torch_file

STATE = {"encoder.weight": torch.arange(6.0).reshape(2, 3), "encoder.bias": torch.tensor([1.0, 2.0])}


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("contents", "names"),
    [
        (STATE, [""]),
        ({"state_dict": STATE, "epoch": 3, "best": torch.tensor(0.5)}, ["state_dict"]),
        ({"g": STATE, "d": STATE, "g_ema": STATE, "g_optim": {"state": {0: STATE}}}, ["g", "d", "g_ema"]),
        ({"params": STATE, "params_ema": STATE}, ["params", "params_ema"]),
        ({"net": {"generator": STATE}}, ["net.generator"]),
        ({"a": {"b": {"c": STATE, "d": {"too": STATE}}}}, ["a.b.c"]),
        ({"model": STATE, "optimizer": {"state": STATE}, "optim": STATE}, ["model"]),
        ({"state_dict": STATE, "pytorch-lightning_version": "2.0", "callbacks": {"EMA": STATE}}, ["state_dict"]),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_dictionaries_of_tensors(tmp_path, contents, names, zipped):
    torch.save(contents, tmp_path / "file.bin", _use_new_zipfile_serialization=zipped)
    found = read_weights(tmp_path / "file.bin")
    assert [*found] == names
    assert all(same(each, STATE) for each in found.values())


def test_safetensors_are_known_by_their_contents(tmp_path):
    save_file(STATE, tmp_path / "file.pth")
    assert same(read_weights(tmp_path / "file.pth")[""], STATE)
    torch.save(STATE, tmp_path / "file.safetensors")
    with pytest.raises(Unreadable, match=r"called \.safetensors and is none"):
        read_weights(tmp_path / "file.safetensors")


@pytest.fixture
def parts(tmp_path):
    """A folder of safetensors in two parts with their index, as Hugging Face's library writes them."""
    folder = tmp_path / "parts"
    folder.mkdir()
    files = {name: f"model-0000{place}-of-00002.safetensors" for place, name in enumerate(STATE, start=1)}
    for name, file in files.items():
        save_file({name: STATE[name]}, folder / file)

    def write(**changed):
        index = {"metadata": {"total_size": 32}, "weight_map": files | changed}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return folder

    return write


def test_parts_are_one_dictionary(parts):
    folder = parts()
    assert same(read_weights(folder)[""], STATE)
    assert same(read_weights(folder / "model.safetensors.index.json")[""], STATE)


def test_of_several_files_that_of_an_export_is_taken(tmp_path):
    save_file(STATE, tmp_path / "model.safetensors")
    save_file({"other": torch.ones(1)}, tmp_path / "model.fp16.safetensors")
    assert same(read_weights(tmp_path)[""], STATE)
    (tmp_path / "model.safetensors").rename(tmp_path / "model.fp32.safetensors")
    torch.save(STATE, tmp_path / "latest_net_G.pth")
    with pytest.raises(Unreadable, match="it is a folder: name the file"):
        read_weights(tmp_path)


def test_parts_that_are_not_there_are_named(parts, tmp_path):
    with pytest.raises(Unreadable, match=r"the part model-9\.safetensors .* does not lie beside it"):
        read_weights(parts(other="model-9.safetensors"))
    save_file(STATE, parts().parent / "elsewhere.safetensors")
    with pytest.raises(Unreadable, match=r"the part \.\./elsewhere\.safetensors .* does not lie beside it"):
        read_weights(parts(other="../elsewhere.safetensors"))
    with pytest.raises(Unreadable, match="the parts lack other"):
        read_weights(parts(other="model-00001-of-00002.safetensors"))
    index = parts() / "model.safetensors.index.json"
    index.write_text(" " * (4 << 20) + index.read_text())
    with pytest.raises(Unreadable, match=r"index\.json has more than 4 MiB"):
        read_weights(index)
    for text in ("", "{", "[]", '{"weight_map": 3}', '{"weight_map": {}}', "[" * 100_000):
        (parts() / "model.safetensors.index.json").write_text(text)
        with pytest.raises(Unreadable, match=r"index\.json"):
            read_weights(tmp_path / "parts")


def test_a_library_that_unpickles_gets_plain_tensors(tmp_path):
    torch.save(STATE, tmp_path / "file.pth")
    with torch_file(tmp_path / "file.pth") as path:
        assert path == tmp_path / "file.pth"
    save_file(STATE, tmp_path / "file.safetensors")
    with torch_file(tmp_path / "file.safetensors") as path:
        assert same(torch.load(path, weights_only=True), STATE)
    assert not path.exists()
    torch.save({"a": print}, tmp_path / "code.pth")
    with pytest.raises(Unreadable, match=r"it names builtins\.print"), torch_file(tmp_path / "code.pth"):
        pass


def test_one_state_dict(tmp_path):
    save_file(STATE, tmp_path / "file.safetensors")
    assert same(read_state(tmp_path / "file.safetensors"), STATE)
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(read_state(tmp_path / "old.pth"), STATE)
