"""Networks for images of another height than width: shapes, the smallest grid, and what is refused."""

import pytest
import torch

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.metrics.classifier_net import ClassifierNet
from gen_experiments.networks.augment import DiffAugment
from gen_experiments.networks.autoencoder import ConvDecoder, ConvEncoder, PlainDecoder, PlainEncoder
from gen_experiments.networks.blocks import doublings, start_size
from gen_experiments.networks.deep_autoencoder import DeepDecoder, DeepEncoder
from gen_experiments.networks.discriminators import DCGANDiscriminator, PlainDiscriminator
from gen_experiments.networks.drunet import DRUNet
from gen_experiments.networks.generators import DCGANGenerator, PlainGenerator
from gen_experiments.networks.patch import PatchDiscriminator
from gen_experiments.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from gen_experiments.networks.resnet import ResNetDiscriminator, ResNetGenerator
from gen_experiments.networks.resnet_translator import ResNetTranslator
from gen_experiments.networks.unet import UNet
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.hierarchy import HierarchicalQuantizer

WIDE, HIGH = ImageSpec(3, (24, 40), num_classes=2), ImageSpec(1, (64, 16), num_classes=2)


@pytest.mark.parametrize("image", [WIDE, HIGH])
@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [
        (DCGANGenerator, DCGANDiscriminator),
        (ResNetGenerator, ResNetDiscriminator),
        (R3GANGenerator, R3GANDiscriminator),
    ],
)
@pytest.mark.parametrize("conditional", [True, False])
def test_pairs_that_double_a_small_grid(image, generator, discriminator, conditional):
    labels = torch.tensor([0, 1, 1])
    made = generator(image, latent_dim=5, width=8, conditional=conditional)
    images = made(torch.randn(3, 5), labels)
    assert images.shape == (3, *image.shape)
    assert made.first_weight.shape[1] == 5
    assert discriminator(image, width=8, conditional=conditional)(images, labels).shape == (3,)


@pytest.mark.parametrize("image", [WIDE, HIGH])
def test_the_plain_pairs(image):
    images = PlainGenerator(image)(torch.randn(2, 64))
    assert images.shape == (2, *image.shape)
    assert PlainDiscriminator(image)(images).shape == (2,)
    assert PlainDecoder(image, 3)(PlainEncoder(image, 3)(images)).shape == images.shape


@pytest.mark.parametrize(("size", "times", "grid"), [
    (32, 3, (4, 4)), (28, 2, (7, 7)), (96, 4, (6, 6)), ((96, 128), 4, (6, 8)), ((128, 96), 4, (8, 6)),
    ((16, 64), 2, (4, 16)), (256, 6, (4, 4)),
])  # fmt: skip
def test_the_smallest_grid_is_that_of_four_to_seven_pixels(size, times, grid):
    image = ImageSpec(3, size)
    assert doublings(image) == times
    assert start_size(image) == grid


@pytest.mark.parametrize("image", [WIDE, HIGH])
@pytest.mark.parametrize(
    ("encoder", "decoder", "options"),
    [
        (ConvEncoder, ConvDecoder, {"hidden": 4, "residual_hidden": 2}),
        (DeepEncoder, DeepDecoder, {"width": 4, "attention": (8, 4)}),
    ],
)
def test_encoders_and_decoders(image, encoder, decoder, options):
    if encoder is DeepEncoder:
        # By the shorter side: 24, 12, 6 or 16, 8, 4.
        options = options | {"attention": (image.shorter // 2, image.shorter // 4)}
    images = torch.randn(2, *image.shape)
    latents = encoder(image, 3, **options)(images)
    assert latents.shape == (2, 3, image.height // 4, image.width // 4)
    assert decoder(image, 3, **options)(latents).shape == images.shape


@pytest.mark.parametrize("image", [WIDE, HIGH])
def test_translators_and_the_discriminator_of_patches(image):
    images = torch.randn(2, *image.shape)
    assert UNet(image, width=2)(images).shape == images.shape
    # 24 × 40 can be halved three times, 64 × 16 four times.
    assert len(UNet(image, width=2).down) == (3 if image is WIDE else 4)
    assert DRUNet(image, width=2, residual_blocks=1)(images).shape == images.shape
    assert ResNetTranslator(image, width=2, residual_blocks=1)(images).shape == images.shape
    patches = PatchDiscriminator(image, width=2, layers=2)(images)
    assert patches.shape == (2, (image.height // 4 - 2) * (image.width // 4 - 2))


def test_a_classifier_brings_images_to_the_height_and_width_it_knows():
    network = ClassifierNet(WIDE, width=4)
    prepared = network.prepare(torch.zeros(2, 1, 50, 50, dtype=torch.uint8))
    assert prepared.shape == (2, 3, 24, 40)
    assert network(prepared).shape == (2, 2)


def test_augmentation_moves_and_covers_in_proportion_to_each_side():
    augment = DiffAugment(colour=False, translation=0.25, cutout=0.0, fill=-1.0)
    images = torch.ones(500, 1, 8, 32)
    moved = augment(images, 1.0, torch.rand(500, 10, generator=torch.Generator().manual_seed(0)))
    # Rows and columns that entered.
    assert int((moved[:, 0] < 0).all(dim=2).sum(dim=1).max()) == 2
    assert int((moved[:, 0] < 0).all(dim=1).sum(dim=1).max()) == 8
    covered = DiffAugment(colour=False, translation=0.0, cutout=0.5, fill=-1.0)(images, 1.0, torch.full((500, 10), 0.5))
    hidden = covered[0, 0] < 0
    assert (int(hidden.any(dim=1).sum()), int(hidden.any(dim=0).sum())) == (4, 16)


def test_a_hierarchy_decodes_the_codes_of_a_grid_that_is_told_to_it():
    levels = HierarchicalQuantizer(EMAQuantizer(16, 3), EMAQuantizer(16, 3)).eval()
    found = levels(torch.randn(2, 3, 4, 10))
    assert found.indices.shape == (2, 2 * 5 + 4 * 10)
    assert torch.allclose(levels.decode_grid(found.indices, 4, 10), found.values, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ConvEncoder(ImageSpec(3, (30, 44)), 4), r"30x44 pixels .* \[28, 44\] or \[32, 44\]"),
        (lambda: UNet(ImageSpec(3, (24, 30))), "24x30 pixels cannot be: set a multiple of 4"),
        (lambda: ResNetTranslator(ImageSpec(3, (64, 4))), "64x4 pixels cannot be mirrored"),
        (lambda: PatchDiscriminator(ImageSpec(3, (64, 16))), "from 24 pixels, not 64x16"),
        (lambda: DeepEncoder(ImageSpec(3, (24, 40)), 4, attention=(40,)), r"choose from \[24, 12, 6\]"),
        (lambda: R3GANGenerator(ImageSpec(3, (128, 96)), width=8), "for 128x96 pixels must be a multiple of 16, not 8"),
        (lambda: ClassifierNet(ImageSpec(3, (64, 3), 2)), "4 pixels or more, not 64x3"),
        (lambda: ImageSpec(3, (1, 2, 3)), r"not \[1, 2, 3\]"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_two_equal_sides_are_a_square():
    assert ImageSpec(3, (32, 32)) == ImageSpec(3, [32, 32]) == ImageSpec(3, 32)
    assert ImageSpec(3, (32, 48)).shape == (3, 32, 48)
