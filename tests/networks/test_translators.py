"""pix2pix's, CycleGAN's and DRUNet's networks against their public PyTorch code, followed layer by layer."""

import pytest
import torch
from published_translators import drunet, instance, layers, resnet, size, unet_block
from torch import nn
from torch.nn import functional as F

from formula_weights import CLOSE, prepared, waves
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.networks import blocks
from gen_experiments.networks.drunet import DRUNet
from gen_experiments.networks.patch import PatchDiscriminator
from gen_experiments.networks.resnet_translator import ResNetTranslator
from gen_experiments.networks.unet import UNet

COLOUR = ImageSpec(channels=3, size=32)


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_pix2pixs_unet(batch_norm, resize):
    """UnetGenerator of pytorch-CycleGAN-and-pix2pix, without its dropout."""
    built = UNet(COLOUR, width=4, batch_norm=batch_norm, dropout=False, resize_convolution=resize)
    network, _ = prepared(built)
    x = waves(2, 3, 32, 32)
    assert [held["conv"].shape[:2] for held in layers(network.down)] == [(4, 3), (8, 4), (16, 8), (32, 16), (32, 32)]
    expected = unet_block(x, layers(network.down), layers(network.up), 0, batch_norm, resize)
    torch.testing.assert_close(network(x), expected, **CLOSE)


def test_the_unet_has_its_published_size_and_dropout():
    """The code prints 54.414 M of its unet_256 with batch norm, 41.829 M of unet_128."""
    with torch.device("meta"):
        large, smaller = (UNet(ImageSpec(3, pixels), batch_norm=True) for pixels in (256, 128))
    assert (round(size(large) / 1e6, 3), round(size(smaller) / 1e6, 3)) == (54.414, 41.829)
    assert [any(isinstance(part, nn.Dropout) for part in up) for up in large.up] == [False] * 4 + [True] * 3 + [False]
    with torch.device("meta"):
        plain = UNet(ImageSpec(3, 64))
    assert sum(isinstance(part, nn.Dropout) for part in plain.modules()) == 1


@pytest.mark.parametrize("resize", [False, True])
def test_cyclegans_generator(resize):
    network, weights = prepared(ResNetTranslator(COLOUR, width=4, residual_blocks=3, resize_convolution=resize))
    x = waves(2, 3, 32, 32)
    torch.testing.assert_close(network(x), resnet(x, weights, 3, resize), **CLOSE)


def test_cyclegans_generator_has_its_published_size():
    """The code prints 11.378 M of its resnet_9blocks."""
    with torch.device("meta"):
        assert round(size(ResNetTranslator(ImageSpec(3, 256))) / 1e6, 3) == 11.378


@pytest.mark.parametrize("identity", [False, True])
def test_drunet(identity):
    network, weights = prepared(DRUNet(COLOUR, width=4, residual_blocks=2, identity=identity))
    x = waves(2, 3, 32, 32)
    expected = drunet(x, weights, 2) + (x if identity else 0)
    torch.testing.assert_close(network(x), expected, **CLOSE)


def test_a_drunet_that_changes_images_leaves_them_as_they_are_at_first():
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(DRUNet(ImageSpec(3, 16), width=2, residual_blocks=1, identity=True)(images), images)


def test_drunet_has_its_published_size():
    """That of colour has 32.641 M weights, 576 of which see a fourth channel that this one has not."""
    with torch.device("meta"):
        assert size(DRUNet(ImageSpec(3, 256))) + 9 * 64 == 32_640_960


def test_a_flat_drunet_takes_any_size():
    assert DRUNet(ImageSpec(3, (7, 5)), width=2, residual_blocks=1, halvings=0)(torch.zeros(1, 3, 7, 5)).shape[2:] == (
        7,
        5,
    )


def test_pixels_are_repeated_before_a_convolution_of_mirrored_borders():
    """Each pixel of [1 1 2 2; 1 1 2 2; 3 3 4 4; 3 3 4 4], ten times the left one and a hundred times that above it."""
    doubling = nn.Sequential(*blocks.resize_convolution(1, 1))
    with torch.no_grad():
        doubling[-1].weight.copy_(torch.tensor([[[[0.0, 100, 0], [10, 1, 0], [0, 0, 0]]]]))
        doubling[-1].bias.fill_(0.5)
    found = doubling(torch.tensor([[[[1.0, 2], [3, 4]]]]))
    above = [111.5, 111.5, 212.5, 222.5]
    assert found[0, 0].tolist() == [above, above, [133.5, 133.5, 234.5, 244.5], [333.5, 333.5, 434.5, 444.5]]


@pytest.mark.parametrize("build", [UNet, ResNetTranslator])
def test_flat_areas_stay_flat_without_transposed_convolutions(build):
    """A picture of one colour, far from its border: what a network of random weights makes of it."""
    torch.manual_seed(0)
    image = ImageSpec(3, 64)
    options = {"halvings": 2} | ({"residual_blocks": 1} if build is ResNetTranslator else {})
    spreads = []
    for resize in (False, True):
        network = build(image, width=8, resize_convolution=resize, **options).eval()
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(10)
            middle = network(torch.full((1, 3, 64, 64), 0.5))[:, :, 28:36, 28:36]
        spreads.append(float(middle.std((2, 3)).max()))
    assert spreads[0] > 1e-2
    assert spreads[1] < 1e-5


def test_weights_are_named_as_in_checkpoints_from_before_there_was_a_choice():
    def shapes(network):
        return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}

    assert shapes(UNet(ImageSpec(3, 16), width=2, halvings=2)) == {
        "down.0.0.weight": (2, 3, 4, 4),
        "down.0.0.bias": (2,),
        "down.1.1.weight": (4, 2, 4, 4),
        "down.1.1.bias": (4,),
        "up.0.1.weight": (4, 3, 4, 4),
        "up.0.1.bias": (3,),
        "up.1.1.weight": (4, 2, 4, 4),
        "up.1.1.bias": (2,),
    }
    assert shapes(ResNetTranslator(ImageSpec(3, 16), width=2, residual_blocks=1, halvings=1)) == {
        "stages.0.1.weight": (2, 3, 7, 7),
        "stages.0.1.bias": (2,),
        "stages.1.0.weight": (4, 2, 3, 3),
        "stages.1.0.bias": (4,),
        "stages.2.0.layers.1.weight": (4, 4, 3, 3),
        "stages.2.0.layers.1.bias": (4,),
        "stages.2.0.layers.5.weight": (4, 4, 3, 3),
        "stages.2.0.layers.5.bias": (4,),
        "stages.3.0.weight": (4, 2, 3, 3),
        "stages.3.0.bias": (2,),
        "stages.4.1.weight": (3, 2, 7, 7),
        "stages.4.1.bias": (3,),
    }


def test_features_are_those_on_the_way():
    torch.manual_seed(0)
    network, x = ResNetTranslator(COLOUR, width=4, residual_blocks=2), torch.randn(2, 3, 32, 32)
    last = len(network.stages)
    found = network.features(x, [0, 1, 3, last])
    assert torch.equal(found[0], x)
    assert torch.equal(found[1], network.stages[0](x))
    assert torch.equal(found[-1], network(x))
    assert [each.shape[1] for each in network.features(x, range(last))] == network.feature_channels


def test_cyclegans_discriminator():
    """NLayerDiscriminator with instance norm, on the channels of two images for pix2pix; 2.765 M weights on three."""
    image = ImageSpec(channels=6, size=32)
    network, weights = prepared(PatchDiscriminator(image, width=4, group_norm=False, instance_norm=True))
    x = waves(2, 6, 32, 32)
    h = F.leaky_relu(F.conv2d(x, next(weights), next(weights), stride=2, padding=1), 0.2)
    for stride in (2, 2, 1):
        h = F.leaky_relu(instance(F.conv2d(h, next(weights), next(weights), stride=stride, padding=1)), 0.2)
    logits = F.conv2d(h, next(weights), next(weights), padding=1)
    torch.testing.assert_close(network(x), logits.flatten(1), **CLOSE)
    with torch.device("meta"):
        whole = PatchDiscriminator(ImageSpec(3, 256), group_norm=False, instance_norm=True)
    assert round(size(whole) / 1e6, 3) == 2.765


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: UNet(ImageSpec(3, 30)), "set a multiple of 4"),
        (lambda: UNet(ImageSpec(3, 32), halvings=6), "cannot be halved 6 times"),
        (lambda: UNet(ImageSpec(3, 32), halvings=1), "halvings must be in"),
        (lambda: UNet(ImageSpec(3, 32), width=0), "width must be in"),
        (lambda: DRUNet(ImageSpec(3, 36)), "cannot be halved 3 times"),
        (lambda: DRUNet(ImageSpec(3, 32), residual_blocks=-1), "residual_blocks must be in"),
        (lambda: ResNetTranslator(ImageSpec(3, 30)), "cannot be halved 2 times"),
        (lambda: ResNetTranslator(ImageSpec(3, 4)), "cannot be mirrored after 2 halvings"),
        (lambda: PatchDiscriminator(ImageSpec(3, 32), instance_norm=True), "normalised once"),
    ],
)
def test_impossible_networks_are_refused(build, said):
    with pytest.raises(UserError, match=said):
        build()
