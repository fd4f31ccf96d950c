"""Each kind of damage is what its name says."""

import io
import math

import numpy as np
import pytest
import torch
from damaged_photos import FLAT, SEEDS, ids, photos
from PIL import Image

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
from gen_experiments.data.jpeg import JPEG
from gen_experiments.randomness import uniform_of


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
    # Of several strengths the strongest is as wide.
    strengths = 0.1 + 1.4 * uniform_of(SEEDS)
    most = int(strengths.argmax())
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * float(strengths[most]) ** 2))
    expected = np.outer(line, line) / line.sum() ** 2
    blurred = Blur((0.1, 1.5))(point, SEEDS)
    np.testing.assert_allclose(blurred[most, 0, 7:18, 7:18], expected, atol=1e-6)
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


@pytest.mark.parametrize("part", [GaussianNoise((0, 1)), ShotNoise((1, 1000)), MissingLines((0, 0.999))], ids=ids)
def test_what_happens_to_the_first_pixel_is_drawn_apart_from_the_strength(part):
    changes = part(torch.zeros(8000, 1, 8, 1), torch.arange(8000)).flatten(1).abs().mean(0)
    assert float(changes[0]) == pytest.approx(float(changes[4:].mean()), rel=0.1)


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
