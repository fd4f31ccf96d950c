import pytest
import torch

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.networks.augment import DiffAugment, change_colours, cut_out, shift_images


def _drawn(count=16, key=0):
    return randomness.rand_rows(count, DiffAugment.num_draws, rng=randomness.generator("cpu", key))


def _images(count=16, channels=3, size=16):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_at_zero_images_come_back_as_they_are():
    images = _images()
    assert torch.equal(DiffAugment()(images, 0.0, _drawn()), images)


def test_the_same_numbers_augment_alike_in_whatever_batch():
    images = _images()
    one, third = (DiffAugment()(images, 0.7, _drawn(key=key)) for key in (1, 2))
    parts = zip(images.split(6), _drawn(key=1).split(6), strict=True)
    other = torch.cat([DiffAugment()(part, torch.tensor(0.7), drawn) for part, drawn in parts])
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


@pytest.mark.parametrize(
    "only", [{"translation": 0, "cutout": 0}, {"colour": False, "cutout": 0}, {"colour": False, "translation": 0}]
)
def test_each_transformation_reaches_its_share_of_the_images(only):
    images = _images(count=1000, size=8)
    changed = (DiffAugment(**only)(images, 0.4, _drawn(1000)) != images).flatten(1).any(dim=1)
    # A shift of (0, 0) is one of nine.
    share = 0.4 * 8 / 9 if only.get("translation") is None and "cutout" in only else 0.4
    assert changed.float().mean().item() == pytest.approx(share, abs=0.05)


def test_gradients_pass_twice():
    images = _images(count=4, size=8).double().requires_grad_()

    def augmented(x):
        return DiffAugment()(x, 1.0, _drawn(len(x)))

    assert torch.autograd.gradcheck(augmented, images)
    assert torch.autograd.gradgradcheck(lambda x: augmented(x).square(), images[:1])


def test_a_pixel_moves_down_and_to_the_right():
    images = torch.arange(1.0, 10).reshape(1, 1, 3, 3).repeat(2, 1, 1, 1)
    moved = shift_images(images, torch.tensor([[1, -1], [0, 2]]), 0)
    assert moved[0, 0].tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    assert moved[1, 0].tolist() == [[0, 0, 1], [0, 0, 4], [0, 0, 7]]
    assert shift_images(images, torch.tensor([[0, 0], [2, 1]]), -1)[1, 0].tolist() == [[-1] * 3, [-1] * 3, [-1, 1, 2]]


def test_a_square_is_cut_out():
    cut = cut_out(torch.ones(2, 1, 3, 3), torch.tensor([[1, 1], [-1, 2]]), sides=(2, 2), fill=0.5)
    assert cut[0, 0].tolist() == [[1, 1, 1], [1, 0.5, 0.5], [1, 0.5, 0.5]]
    assert cut[1, 0].tolist() == [[1, 1, 0.5], [1, 1, 1], [1, 1, 1]]


def test_colours_by_hand():
    images = torch.tensor([[[[0.0, 0.4]], [[0.2, 0.8]], [[0.4, 0.0]]]])
    assert torch.allclose(change_colours(images, torch.full((1, 3), 0.5)), images)
    assert torch.allclose(change_colours(images, torch.tensor([[0.8, 0.5, 0.5]])), images + 0.3)
    grey = change_colours(images, torch.tensor([[0.5, 0.0, 0.5]]))
    assert torch.allclose(grey, torch.tensor([0.2, 0.4]).expand(1, 3, 1, 2))
    flat = change_colours(images, torch.tensor([[0.5, 0.5, 0.0]]))
    assert torch.allclose(flat, 0.3 + 0.5 * (images - 0.3))


def test_on_black_nothing_grey_is_seen():
    black = torch.full((100, 1, 8, 8), -1.0)
    assert torch.equal(DiffAugment(colour=False, fill=-1.0)(black, 1.0, _drawn(100)), black)


def test_a_fill_that_is_no_pixel_is_refused():
    with pytest.raises(UserError, match="fill must be in"):
        DiffAugment(fill=2.0)


@pytest.mark.parametrize("size", [16, 18, 20, 30, 36, 52, 68])
def test_shifts_and_squares_are_those_of_the_authors_code(size):
    """DiffAugment_pytorch.py: shifts up to int(size / 8 + .5); a square of int(size / 2 + .5) around a place.

    Its place is a whole number below size + 1 - side % 2, and its pixels are clamped to the image.
    """
    count = size + 1
    draws = torch.full((count, 10), 0.5)
    draws[:, 6] = draws[:, 8] = (torch.arange(count) + 0.5) / count
    ramp = torch.arange(size, dtype=torch.float32).reshape(1, 1, size, 1).expand(count, 1, -1, size)
    moved = DiffAugment(colour=False, cutout=0, fill=-1.0)(ramp, 1.0, draws)
    most = int(size / 8 + 0.5)
    places = range(-most, most + 1)
    expected = [places[int((i + 0.5) / count * len(places))] for i in range(count)]
    middles = (moved[:, 0, :, size // 2] - size // 2).abs().argmin(1)
    assert (middles - size // 2).tolist() == expected
    side = int(size / 2 + 0.5)
    cut = DiffAugment(colour=False, translation=0)(torch.ones(count, 1, size, size), 1.0, draws)[:, 0].amin(2) == 0
    for i, rows in enumerate(cut):
        place = int((i + 0.5) / count * (size + 1 - side % 2))
        pixels = (torch.arange(side) + place - side // 2).clamp(0, size - 1)
        assert rows.nonzero().flatten().tolist() == pixels.unique().tolist()


def test_shifts_and_squares_stay_within_their_bounds():
    ones = torch.ones(2000, 1, 16, 16)
    kept = DiffAugment(colour=False, cutout=0)(ones, 1.0, _drawn(2000)).sum(dim=(1, 2, 3))
    assert (kept.min().item(), kept.max().item()) == (14 * 14, 16 * 16)
    kept = DiffAugment(colour=False, translation=0)(ones, 1.0, _drawn(2000)).sum(dim=(1, 2, 3))
    assert (kept.min().item(), kept.max().item()) == (256 - 64, 256 - 16)
