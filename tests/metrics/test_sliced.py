import pytest
import torch

from gen_experiments.metrics.sliced import mind


def test_one_dimension_by_hand():
    # Along a line both directions give the same: 3 · (1² + 1² + 2²) / 3.
    generated, real = torch.tensor([[3.0], [1.0], [8.0]]), torch.tensor([[2.0], [6.0], [2.0]])
    assert mind(generated, real) == pytest.approx(1 + 1 + 4)


def test_a_shift_is_three_times_its_square():
    # Along u a shift s moves all by uᵀs; d E (uᵀs)² = |s|².
    rows = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([1.0, -2.0, 0.0, 0.5, 0.0, 3.0])
    assert mind(rows + shift, rows, directions=20_000) == pytest.approx(3 * float(shift.square().sum()), rel=0.03)


def test_directions_are_named_by_the_seed():
    first, second = (torch.randn(50, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert mind(first, second, 10) == mind(first, second, 10) != mind(first, second, 10, seed=1)


def test_of_the_larger_set_as_many_are_drawn():
    few, many = torch.tensor([[0.0], [0.0]]), torch.arange(5.0)[:, None]
    pairs = [3 * (a**2 + b**2) / 2 for a in range(5) for b in range(a)]
    values = {round(mind(few, many, 3, seed), 6) for seed in range(60)}
    assert values <= {round(float(pair), 6) for pair in pairs}
    assert len(values) > 5
    assert mind(many, few, 3) == pytest.approx(mind(few, many, 3))
