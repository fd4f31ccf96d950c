import pytest
import torch

from gen_experiments.quantizers import nearest as module
from gen_experiments.quantizers.nearest import nearest


@pytest.mark.parametrize(("rows", "codes"), [(1, 1), (7, 3), (301, 50)])
@pytest.mark.parametrize("chunk", [1, 128, 2**22])
def test_it_finds_the_smallest_distance(monkeypatch, rows, codes, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    z, table = torch.randn(rows, 5), 2 * torch.randn(codes, 5)
    assert torch.equal(nearest(z, table), torch.cdist(z.double(), table.double()).argmin(1))


def test_codes_are_nearest_to_themselves_whatever_the_precision_of_products():
    # Too close for the products of bfloat16 and TF32.
    table = torch.linspace(1.0, 2.28, 256)[:, None].repeat(1, 8)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            found = nearest(table, table)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found, torch.arange(256))


def test_no_gradient_is_kept():
    z = torch.randn(3, 2, requires_grad=True)
    assert not nearest(z, torch.randn(4, 2, requires_grad=True)).requires_grad
