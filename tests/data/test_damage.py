import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from gen_experiments import randomness
from gen_experiments.data.damage import OneOf, damaged
from gen_experiments.data.damage_parts import (
    Blur,
    DownScaling,
    GaussianNoise,
    Grey,
    Mask,
    MissingLines,
    Scratches,
    ShotNoise,
)
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.jpeg import JPEG
from gen_experiments.errors import UserError
from gen_experiments.recorded import arguments_of

SEEDS = randomness.seeds_of(torch.arange(64), 1, 2)
FLAT = torch.zeros(64, 3, 24, 24)
PARTS = [
    GaussianNoise(),
    ShotNoise(),
    Blur(),
    DownScaling([2, 4]),
    Mask(),
    MissingLines(),
    Scratches(),
    Grey(),
    JPEG(),
    OneOf([GaussianNoise(), Mask()]),
]


def photos(count=4, height=24, width=24):
    """Smooth colours with an edge."""
    source = torch.Generator().manual_seed(0)
    small = torch.rand(count, 3, 4, 4, generator=source) * 2 - 1
    images = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(-1, 1)
    images[:, :, :, width // 2 :] *= -1
    return images


def ids(part):
    return type(part).__name__


def test_the_hash_is_splitmix64():
    """The first outputs for the seed 1234567, as published with the algorithm."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    uniform = randomness.uniform_of(torch.tensor([1234567]), 4)[0]
    assert uniform.tolist() == [(value >> 40) / 2**24 for value in published]


def test_numbers_are_uniform_and_normal_and_rows_are_independent():
    seeds = randomness.seeds_of(torch.arange(200), 3)
    uniform, normal = randomness.uniform_of(seeds, 500), randomness.normal_of(seeds, 500)
    assert 0 <= uniform.min() < 0.001 < 0.999 < uniform.max() < 1
    assert np.histogram(uniform, 10)[0] == pytest.approx(10_000, rel=0.05)
    assert float(normal.mean()) == pytest.approx(0, abs=0.01)
    assert float(normal.std()) == pytest.approx(1, abs=0.01)
    correlation = torch.corrcoef(normal)
    assert (correlation - torch.eye(200)).abs().max() < 0.25
    # Seeds of other keys are others.
    assert not set(seeds.tolist()) & set(randomness.seeds_of(torch.arange(200), 4).tolist())


@pytest.mark.parametrize("part", PARTS, ids=ids)
def test_an_image_is_damaged_by_its_own_seed_alone(part):
    images = photos(8)
    whole = damaged(images, [part], SEEDS[:8])
    assert whole.shape == images.shape
    assert whole.min() >= -1
    assert whole.max() <= 1
    assert not torch.equal(whole, images)
    order = torch.tensor([5, 2, 7])
    torch.testing.assert_close(damaged(images[order], [part], SEEDS[order]), whole[order], rtol=0, atol=1e-6)


def test_a_kind_at_its_ends():
    mixed = OneOf([GaussianNoise((0.1, 0.5)), DownScaling([2, 4, 4]), Mask((0.2, 0.2), fill=0.5), Grey()])
    described = [(type(kind), arguments_of(kind)) for kind in mixed.fixed()]
    assert described == [
        (GaussianNoise, {"deviation": [0.1, 0.1]}),
        (GaussianNoise, {"deviation": [0.5, 0.5]}),
        (DownScaling, {"factors": [2]}),
        (DownScaling, {"factors": [4]}),
        (Mask, {"share": [0.2, 0.2], "fill": 0.5}),
        (Grey, {}),
    ]
    for part in PARTS:
        assert all(damaged(photos(), [kind], SEEDS[:4]).shape == (4, 3, 24, 24) for kind in part.fixed())


def test_noise_has_the_deviation_asked_for_on_a_scale_to_one():
    noisy = GaussianNoise((0.1, 0.1))(FLAT, SEEDS)
    assert float(noisy.std() / 2) == pytest.approx(0.1, rel=0.02)
    assert abs(float(noisy.mean())) < 0.005
    drawn = GaussianNoise((0.1, 0.5))(FLAT, SEEDS).flatten(1).std(dim=1) / 2
    assert 0.09 < drawn.min() < 0.15
    assert 0.45 < drawn.max() < 0.52


def test_shot_noise_grows_with_the_light():
    white, half = FLAT + 1, FLAT
    seen = [(ShotNoise((50.0, 50.0))(images, SEEDS) + 1) / 2 for images in (white, half)]
    # Of λv counts the variance is λv: that of v = counts / λ is v / λ.
    assert [float(x.var()) for x in seen] == pytest.approx([1 / 50, 0.5 / 50], rel=0.03)
    assert torch.equal(ShotNoise()(FLAT - 1, SEEDS), FLAT - 1)


def test_a_blurred_point_is_a_gaussian():
    point = torch.zeros(64, 1, 25, 25)
    point[:, :, 12, 12] = 1
    blurred = Blur((1.5, 1.5))(point, SEEDS)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    expected = np.outer(line, line) / line.sum() ** 2
    np.testing.assert_allclose(blurred[3, 0, 7:18, 7:18], expected, atol=1e-6)
    assert torch.allclose(Blur()(FLAT + 0.3, SEEDS), FLAT + 0.3)


def test_down_scaling_averages_squares():
    images = photos(64)
    scaled = DownScaling([2, 4])(images, SEEDS[:4].repeat(16))
    kinds = {}
    for factor in (2, 4):
        small = images.unflatten(2, (-1, factor)).unflatten(4, (-1, factor)).mean((3, 5))
        kinds[factor] = torch.nn.functional.interpolate(small, (24, 24), mode="bicubic")
    is_kind = {f: torch.isclose(scaled, kinds[f], atol=1e-5).flatten(1).all(1) for f in kinds}
    assert (is_kind[2] ^ is_kind[4]).all()
    assert is_kind[2].any()
    assert is_kind[4].any()


def test_down_scaling_by_broken_factors_rounds_what_is_left_down():
    """Of 24 pixels a factor of 5 leaves 4, as 6 does; 2.4 leaves 10, each the mean of all that its 2.4 touch."""
    images = photos(4)
    assert torch.equal(DownScaling([5])(images, SEEDS[:4]), DownScaling([6])(images, SEEDS[:4]))
    touched = [slice(math.floor(2.4 * i), math.ceil(2.4 * (i + 1))) for i in range(10)]
    rows = [[images[:, :, y, x].mean((2, 3)) for x in touched] for y in touched]
    small = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    expected = torch.nn.functional.interpolate(small, (24, 24), mode="bicubic")
    assert torch.allclose(DownScaling([2.4])(images, SEEDS[:4]), expected, atol=1e-5)


def test_a_mask_covers_a_square_of_its_share():
    covered = Mask((0.25, 0.25), fill=0.5)(FLAT, SEEDS) == 0.5
    assert torch.equal(covered.sum((1, 2, 3)), torch.full((64,), 3 * 12 * 12))
    corners = set()
    for image in covered[:, 0]:
        rows, columns = image.nonzero().T
        assert rows.max() - rows.min() == columns.max() - columns.min() == 11
        corners.add((int(rows.min()), int(columns.min())))
    assert len(corners) > 30
    assert {0, 12} <= {row for row, _ in corners}


@pytest.mark.parametrize(("part", "fill"), [(Mask(), 0.0), (MissingLines(), -1.0), (Scratches(), 1.0)], ids=ids)
def test_what_covers_a_picture_is_grey_black_or_white_unless_told(part, fill):
    assert set(part(FLAT + 0.5, SEEDS).unique().tolist()) == {0.5, fill}


def test_lines_are_lost_whole():
    lost = MissingLines((0.3, 0.3))(FLAT, SEEDS) == -1
    assert torch.equal(lost.all(dim=3, keepdim=True).all(dim=1, keepdim=True).expand_as(lost), lost)
    assert float(lost.float().mean()) == pytest.approx(0.3, abs=0.03)


def test_scratches_are_straight_and_as_many_and_wide_as_asked_for():
    from scipy.ndimage import label

    scratched = (Scratches((1, 1), width=(3.0, 3.0), fill=0.5)(FLAT, SEEDS) == 0.5)[:, 0]
    angles = []
    for image in scratched:
        points = image.nonzero().double()
        points -= points.mean(0)
        _, _, axes = torch.linalg.svd(points)
        along, across = (points @ axes.T).T
        # A pixel's centre lies within 1.5 of the middle line; the border may have cut the scratch in an oblique way.
        assert across.max() - across.min() <= 3.3
        assert along.max() - along.min() <= 24 + 3
        angles.append(float(torch.atan2(axes[0, 0], axes[0, 1]) % torch.pi))
    assert np.histogram(angles, 4, (0, np.pi))[0].min() >= 8
    # 15 by 3 pixels with round ends, on average, of which the border cuts some away.
    assert 30 < scratched.sum((1, 2)).double().mean() < 15 * 3 + 7
    pieces = [label(image, np.ones((3, 3)))[1] for image in Scratches((0, 3), width=(1.5, 1.5))(FLAT, SEEDS)[:, 0] == 1]
    assert {0, 1, 2, 3} == set(pieces)


def test_grey_is_pillows():
    images = photos()
    grey = Grey()(images, SEEDS[:4])
    for image, made in zip(images, grey, strict=True):
        pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        expected = np.asarray(Image.fromarray(pixels).convert("L"), dtype=float)
        for channel in made:
            assert np.abs(((channel.numpy() + 1) * 127.5) - expected).max() < 1.01
    assert torch.equal(Grey()(FLAT[:, :1] + 0.2, SEEDS), FLAT[:, :1] + 0.2)


@pytest.mark.parametrize("quality", [10, 35, 75, 95])
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 24, 24), (1, 24, 24), (3, 27, 27), (3, 24, 27)])
def test_jpeg_is_that_of_a_real_encoder(quality, channels, height, width):
    images = photos(height=height, width=width)[:, :channels]
    lossy = JPEG((quality, quality))(images, SEEDS[:4])
    for image, made in zip(images, lossy, strict=True):
        pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality)
        real = np.asarray(Image.open(file), dtype=float).reshape(pixels.shape)
        difference = np.abs((made.permute(1, 2, 0).numpy() + 1) * 127.5 - real)
        # What lies between two steps may be rounded either way; libjpeg rounds averages of chroma up and down in turn.
        lost = np.abs(real - pixels).mean()
        assert difference.mean() < (0.9 if channels == 1 else 0.3 * lost)


def test_each_image_goes_through_one_of_several():
    made = OneOf([Mask((0.2, 0.2), fill=0.25), Grey(), MissingLines((0.5, 0.5))])(FLAT + 0.5, SEEDS)
    masked, lines = (made == 0.25).flatten(1).any(1), (made == -1).flatten(1).any(1)
    assert not (masked & lines).any()
    assert 10 < int(masked.sum()) < 35
    assert 10 < int(lines.sum()) < 35


def test_training_draws_anew_in_each_epoch_and_validation_never():
    def epochs(seed):
        data = ImageDataModule(size=8, batch_size=1437, damage=[GaussianNoise((0.2, 0.2))])
        loader = data.train_dataloader()
        loader.seed = seed
        damages = []
        for _ in range(2):
            (batch,) = [data.on_after_batch_transfer(each, 0) for each in loader]
            damages.append(batch.sources[batch.indices.argsort()])  # all training images, in their order
        return damages, [data.on_after_batch_transfer(each, 0).sources for each in data.val_dataloader()]

    (first, second), held = epochs(0)
    (again, _), held_again = epochs(0)
    (other, _), held_other = epochs(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(held[0], held_again[0])
    assert torch.equal(held[0], held_other[0])


def test_data_without_damage_has_no_sources():
    data = ImageDataModule(size=8, batch_size=16)
    assert data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0).sources is None
    assert not data.has_sources
    damaged = ImageDataModule(size=8, damage=[Grey()])
    assert damaged.has_sources
    assert damaged.in_pairs


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: GaussianNoise((0.5, 0.1)), "must be .least, most."),
        (lambda: ShotNoise((0.0, 1.0)), "photons must be > 0"),
        (lambda: Mask((0.1, 1.0)), "share must be in"),
        (lambda: MissingLines((0.1, 1.0)), "share must be in"),
        (lambda: JPEG((0.0, 50.0)), "quality must be in"),
        (lambda: DownScaling([]), "at least one of factors"),
        (lambda: DownScaling([0]), "factors must be"),
        (lambda: OneOf([]), "at least one kind"),
    ],
)
def test_damage_that_makes_no_sense_is_refused(build, said):
    with pytest.raises(UserError, match=said):
        build()
