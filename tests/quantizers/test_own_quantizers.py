"""Quantizers of the user's own that return something else than their base class says."""

import dataclasses

import pytest
import torch

from gen_experiments.contracts import require_attributes
from gen_experiments.errors import UserError
from gen_experiments.quantizers.base import Quantized, Quantizer, check_codes, check_quantized
from small_models import vqvae


class Rounded(Quantizer):
    """Rounds two channels to 0, 1 or 2; what a test changes of it is wrong."""

    dim, codebook_size = 2, 9

    def forward(self, z):
        hard = z.clamp(0, 2).round()
        return Quantized(z + (hard - z).detach(), (hard[:, 0] + 3 * hard[:, 1]).long(), (z - hard).square().mean())

    def decode(self, indices):
        return torch.stack([indices % 3, indices // 3], dim=1).float()


def changed(**values):
    class Changed(Rounded):
        def forward(self, z):
            right = super().forward(z)
            return dataclasses.replace(right, **{name: value(right) for name, value in values.items()})

    return Changed()


Z = 3 * torch.rand(4, 2, 3, 5, generator=torch.Generator().manual_seed(0))


def test_a_right_quantizer_passes_and_keeps_its_state():
    quantizer = Rounded()
    check_codes(quantizer, Z)
    assert quantizer.training
    check_quantized(quantizer, Z.requires_grad_(), quantizer(Z))
    check_codes(quantizer, torch.full_like(Z, torch.nan))  # whose encoder has failed


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {"values": lambda q: q.values.movedim(1, -1)},
            r"the values of Changed\.forward must have shape \(4, 2, 3, 5\)",
        ),
        ({"indices": lambda q: q.indices[:, None]}, r"indices of .* \(4, 3, 5\), not int64 of shape \(4, 1, 3, 5\)"),
        ({"indices": lambda q: q.indices.float()}, "must be int64, not float32"),
        ({"indices": lambda q: q.indices + 9}, r"indices from \d+ to \d+: they must be in \[0, 9\)"),
        ({"indices": lambda q: 8 - q.indices}, r"Changed\.decode does not return the values of Changed\.forward"),
        ({"loss": lambda q: q.values}, r"the loss of Changed\.forward must be a scalar tensor"),
        ({"loss": lambda q: 0.0}, "must be a scalar tensor, such as a mean, not an object of class float"),
    ],
)
def test_a_wrong_quantizer_is_described(values, complaint):
    with pytest.raises(UserError, match=complaint):
        check_codes(changed(**values), Z)


def test_training_refuses_a_wrong_quantizer_in_its_first_iteration():
    model, images = vqvae(quantizer=changed(indices=lambda q: q.indices + 9)), torch.zeros(2, 1, 8, 8)
    model.eval()(images)
    with pytest.raises(UserError, match="they must be in"):
        model.train()(images)


def test_a_quantizer_that_stops_the_gradient_is_refused():
    quantizer = changed(values=lambda q: q.values.detach(), loss=lambda q: q.loss.detach())
    with pytest.raises(UserError, match="the encoder would not be trained"):
        check_quantized(quantizer, Z.requires_grad_(), quantizer(Z))


def test_a_constructor_without_that_of_its_base_class_is_named():
    class Bare(Quantizer):
        def __init__(self):
            self.dim = 3

        def forward(self, z): ...
        def decode(self, indices): ...

    with pytest.raises(UserError, match=r"Bare\.__init__ must call super\(\)\.__init__\(\)"):
        require_attributes(Bare(), "dim")
    with pytest.raises(UserError, match="Rounded has no levels"):
        require_attributes(Rounded(), "dim", "levels")
