import pytest
import torch

from gen_experiments.quantizers import nearest as module
from gen_experiments.quantizers.nearest import nearest


@pytest.mark.parametrize(("rows", "codes"), [(1, 1), (7, 3), (301, 50), (90, 200)])
@pytest.mark.parametrize("columns", [64, 128, 2**12])
@pytest.mark.parametrize("chunk", [2, 1024])
def test_it_finds_the_smallest_distance(monkeypatch, rows, codes, columns, chunk):
    monkeypatch.setattr(module, "COLUMNS", columns)
    monkeypatch.setattr(module, "ROWS", chunk)
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


def test_of_equals_the_first_is_found(monkeypatch):
    monkeypatch.setattr(module, "COLUMNS", 64)
    table = torch.randn(1, 4).repeat(200, 1)
    assert nearest(torch.randn(20, 4), table).tolist() == [0] * 20


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_latents_that_are_not_finite_get_some_code(value):
    found = nearest(torch.full((3, 4), value), torch.randn(70, 4))
    assert found.min() >= 0
    assert found.max() < 70


def test_latents_far_from_the_origin_find_what_double_precision_finds():
    source = torch.Generator().manual_seed(0)
    z, table = (1000.0 + torch.randn(count, 8, generator=source) for count in (300, 50))
    assert torch.equal(nearest(z, table), torch.cdist(z.double(), table.double()).argmin(1))
