"""Files from elsewhere, one guard at a time; what commands make of them is in `hostile`."""

import zipfile

import pytest
import torch

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
