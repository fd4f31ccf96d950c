import pytest
import torch
from torch import nn

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.losses.adversarial import Hinge, LeastSquares, NonSaturating, RelativisticPaired
from gen_experiments.losses.penalties import R1
from gen_experiments.networks.patch import PatchDiscriminator


def _size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_it_has_the_weights_of_its_layers():
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    # Group norm takes the place of the bias in front of it and brings two numbers a channel.
    assert _size(PatchDiscriminator(ImageSpec(3, 64))) == kernels + 64 + 1 + 2 * (128 + 256 + 512)
    assert _size(PatchDiscriminator(ImageSpec(3, 64), group_norm=False)) == kernels + 64 + 1 + 128 + 256 + 512


@pytest.mark.parametrize(
    ("size", "layers", "side"), [(28, 3, 1), (28, 2, 5), (32, 3, 2), (64, 3, 6), (256, 3, 30), (256, 4, 14), (6, 1, 1)]
)
def test_each_patch_has_a_logit(size, layers, side):
    image = ImageSpec(1, size)
    assert PatchDiscriminator(image, width=2, layers=layers)(torch.zeros(2, *image.shape)).shape == (2, side**2)


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_depends_on_its_patch_alone(layers, patch):
    torch.manual_seed(0)
    size = 96
    network = PatchDiscriminator(ImageSpec(1, size), width=2, layers=layers, group_norm=False)
    images = torch.randn(1, 1, size, size, requires_grad=True)
    logits = network(images)
    side = int(logits.shape[1] ** 0.5)
    middle = side // 2 * side + side // 2
    (gradient,) = torch.autograd.grad(logits[0, middle], images)
    rows, columns = gradient[0, 0].nonzero().T
    assert rows.max() - rows.min() + 1 == patch
    assert columns.max() - columns.min() + 1 == patch
    # A change in one corner does not reach the logit of the opposite one.
    changed = images.detach().clone()
    changed[:, :, :8, :8] += 1
    assert network(changed)[0, -1] == logits[0, -1]
    assert network(changed)[0, 0] != logits[0, 0]


def test_the_images_of_a_batch_are_judged_apart():
    torch.manual_seed(0)
    network, images = PatchDiscriminator(ImageSpec(3, 32), width=8), torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(network(images)[:2], network(images[:2]))


@pytest.mark.parametrize("loss", [Hinge(), LeastSquares(), NonSaturating(), RelativisticPaired()])
def test_losses_average_over_images_and_patches(loss):
    torch.manual_seed(0)
    real, fake = torch.randn(4, 9), torch.randn(4, 9)
    for value in (loss.discriminator, loss.generator):
        assert value(real, fake).shape == ()
        torch.testing.assert_close(value(real, fake), value(real.flatten(), fake.flatten()))


def test_gradients_of_gradients_pass():
    network, images = PatchDiscriminator(ImageSpec(1, 32), width=2, layers=2), torch.randn(2, 1, 32, 32)
    R1()(network, images, images, torch.Generator()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert network.layers[0].weight.grad.abs().sum() > 0


def test_spectral_norm_holds_every_weight():
    torch.manual_seed(0)
    network = PatchDiscriminator(ImageSpec(1, 16), width=4, layers=1, group_norm=False, spectral_norm=True)
    for _ in range(50):
        network(torch.zeros(1, 1, 16, 16))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert torch.linalg.matrix_norm(module.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.05)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(UserError, match="from 24 pixels, not 16: set fewer layers"):
        PatchDiscriminator(ImageSpec(1, 16))
    with pytest.raises(UserError, match="layers must be in"):
        PatchDiscriminator(ImageSpec(1, 16), layers=0)
