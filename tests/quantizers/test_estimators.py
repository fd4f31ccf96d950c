import pytest
import torch
from torch.nn.functional import cosine_similarity

from gen_experiments.quantizers.estimators import RotationTrick, StraightThrough


def _pair():
    source = torch.Generator().manual_seed(0)
    z, codes = torch.randn(2, 50, 6, generator=source)
    return z.requires_grad_(), 3 * codes


@pytest.mark.parametrize("estimator", [StraightThrough(), RotationTrick()])
def test_values_are_the_codes(estimator):
    z, codes = _pair()
    assert torch.equal(estimator(z, codes), codes)


def test_straight_through_gradient_is_one():
    z, codes = _pair()
    StraightThrough()(z, codes).sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


def test_rotation_maps_latents_onto_codes_and_keeps_norms():
    z, codes = _pair()
    jacobian = torch.stack([torch.autograd.grad(RotationTrick()(z, codes)[:, d].sum(), z)[0] for d in range(6)], dim=1)
    assert torch.allclose((jacobian @ z.detach()[..., None])[..., 0], codes, atol=1e-5)
    scale = codes.norm(dim=1) / z.detach().norm(dim=1)
    identity = (jacobian / scale[:, None, None]).mT @ (jacobian / scale[:, None, None])
    assert torch.allclose(identity, torch.eye(6).expand_as(identity), atol=1e-5)


def test_rotation_keeps_the_angle_of_gradient_and_code():
    z, codes = _pair()
    gradient = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    (RotationTrick()(z, codes) * gradient).sum().backward()
    assert torch.allclose(cosine_similarity(z.grad, z), cosine_similarity(gradient, codes), atol=1e-5)


@pytest.mark.parametrize("code", [[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
def test_rotation_is_finite_for_zero_and_opposite_vectors(code):
    for latent in ([1.0, 0.0], [0.0, 0.0]):
        z = torch.tensor([latent], requires_grad=True)
        values = RotationTrick()(z, torch.tensor([code]))
        values.sum().backward()
        assert values.tolist() == [code]
        assert z.grad.isfinite().all()
