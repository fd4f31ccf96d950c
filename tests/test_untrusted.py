"""Files from elsewhere, one guard at a time; what commands make of them is in `hostile`."""

import copy
import io
import pickletools
import zipfile

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.untrusted.plain_values import read_yaml
from gen_experiments.untrusted.torch_files import is_backed, read_tensors
from gen_experiments.untrusted.unreadable import Unreadable


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (b"\x80\x02cbuiltins\nbytearray\n.", "it names builtins.bytearray"),
        (b"\x80\x02cbuiltins\nsetattr\n.", "it names builtins.setattr"),  # `set` is one of torch's
        (b"\x80\x04\x8c\x08builtins\x8c\x09bytearray\x93.", "in a way that torch never does"),
        (b"\x80\x02\x82\x01.", "in a way that torch never does"),
    ],
)
def test_names_that_torch_does_not_write_are_refused_before_they_are_read(tmp_path, pickled, said):
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
    with pytest.raises(Unreadable, match=said):
        read_tensors(tmp_path / "evil.pt")


@pytest.mark.parametrize("place", range(5))
def test_each_part_of_a_file_of_torchs_old_format_is_checked(tmp_path, place):
    torch.save({"weight": torch.ones(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    contents = (tmp_path / "old.pt").read_bytes()
    file, ends = io.BytesIO(contents), [0]
    for _ in range(5):
        assert [*pickletools.genops(file)]
        ends.append(file.tell())
    evil = b"\x80\x02cbuiltins\nbytearray\n."
    (tmp_path / "old.pt").write_bytes(contents[: ends[place]] + evil + contents[ends[place + 1] :])
    with pytest.raises(Unreadable, match=r"it names builtins\.bytearray"):
        read_tensors(tmp_path / "old.pt", old_format=True)


def test_what_torch_would_map_wrongly_or_read_many_times_is_refused(tmp_path):
    torch.save({"weight": torch.rand(1000)}, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole:
        with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in whole.infolist():
                archive.writestr(entry.filename, whole.read(entry))
            archive.writestr("archive/padding", bytes(9999), zipfile.ZIP_STORED)
        with zipfile.ZipFile(tmp_path / "overlapping.pt", "w") as archive:
            for entry in whole.infolist():
                archive.writestr(entry.filename, whole.read(entry))
            for number in range(99):  # names of one place
                archive.filelist.append(copy.copy(archive.filelist[0]))
                archive.filelist[-1].filename = f"archive/{number}"
    with pytest.raises(Unreadable, match="its entries are compressed"):
        read_tensors(tmp_path / "packed.pt")
    with pytest.raises(Unreadable, match="its directory claims more bytes"):
        read_tensors(tmp_path / "overlapping.pt")


@pytest.mark.parametrize(
    ("tensor", "backed"),
    [
        (torch.ones(3, 4), True),
        (torch.ones(3, 4).t(), True),
        (torch.ones(6)[::2], True),
        (torch.ones(()), True),
        (torch.ones(1).expand(10), False),
        (torch.ones(3, 1).expand(3, 4), False),
        (torch.ones(3, 4).to_sparse(), False),
    ],
)
def test_a_weight_is_backed_where_the_file_holds_each_of_its_numbers(tensor, backed):
    assert is_backed(tensor) is backed


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor.*")
def test_a_quantized_weight_is_not_backed():
    assert not is_backed(torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8))


@pytest.mark.parametrize("text", ["a: [1", "a: \0", "[" * 5000])
def test_what_is_no_yaml_is_said(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="is no valid YAML"):
        read_yaml(tmp_path / "config.yaml")
