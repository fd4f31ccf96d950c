import pytest
import torch

from gen_experiments.losses.codes import recovery


def test_recovery_by_hand():
    """Equations 3 and 4 of https://arxiv.org/abs/1804.04732: |1 − 3| + |2 + 1| + |0 − 0.5| + |4 − 4| over four."""
    found = torch.tensor([[1.0, 2.0], [0.0, 4.0]], requires_grad=True)
    given = torch.tensor([[3.0, -1.0], [0.5, 4.0]], requires_grad=True)
    value = recovery(found, given)
    assert value.item() == pytest.approx(5.5 / 4)
    # As in the public code the gradient passes to both: the content is drawn to what can be read again.
    value.backward()
    assert found.grad.tolist() == [[-0.25, 0.25], [-0.25, 0.0]]
    assert given.grad.tolist() == [[0.25, -0.25], [0.25, 0.0]]
