"""Kinds of damage: noise, blur, lost resolution, lost colour and covered places."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gen_experiments.data.damage import Damage, check_range, draw_strength
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import LUMINANCE
from gen_experiments.randomness import normal_of, uniform_of

SEED_OF_NOISE = 1  # added to a seed, whose own first numbers are used for the strength


class GaussianNoise(Damage):
    """Normal noise, independent for every pixel and channel.

    Args:
        deviation: of pixels on a [0, 1] scale; >= 0.

    Raises:
        UserError: a number out of range.
    """

    strength = "deviation"

    def __init__(self, deviation: tuple[float, float] = (0.1, 0.5)) -> None:
        check_range("[0, inf)", deviation=deviation)
        self.deviation = deviation

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns x + 2σn: pixels in [-1, 1] have twice the deviation."""
        noise = normal_of(seeds + SEED_OF_NOISE, *images.shape[1:])
        return images + 2 * draw_strength(self.deviation, uniform_of(seeds)) * noise


class ShotNoise(Damage):
    """The noise of counted photons, whose variance is their number, in its normal approximation.

    A pixel v in [0, 1] expects λv photons, and becomes v + n √(v / λ).

    Args:
        photons: λ, the photons of a white pixel; > 0.

    Raises:
        UserError: a number out of range.
    """

    strength = "photons"

    def __init__(self, photons: tuple[float, float] = (10.0, 100.0)) -> None:
        check_range("(0, inf)", photons=photons)
        self.photons = photons

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns the noisy images."""
        expected = (images + 1) / 2
        noise = normal_of(seeds + SEED_OF_NOISE, *images.shape[1:])
        return 2 * (expected + noise * (expected / draw_strength(self.photons, uniform_of(seeds))).sqrt()) - 1


class Blur(Damage):
    """A Gaussian blur, with replicated borders.

    Args:
        deviation: of the Gaussian, in pixels; at most 100.

    Raises:
        UserError: a number out of range.
    """

    strength = "deviation"

    def __init__(self, deviation: tuple[float, float] = (0.5, 2.0)) -> None:
        check_range("[0, 100]", deviation=deviation)
        self.deviation = deviation

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns the blurred images."""
        radius = max(1, math.ceil(3 * self.deviation[1]))
        offsets = torch.arange(-radius, radius + 1, device=images.device)
        deviation = draw_strength(self.deviation, uniform_of(seeds)).flatten(1).clamp_min(1e-3)
        kernels = torch.softmax(-(offsets**2) / (2 * deviation**2), dim=1)  # (B, 2 · radius + 1)
        # Each image has its own kernel: all images become channels of one image, in groups.
        together = images.transpose(0, 1)
        for shape, padding in (((1, -1), (radius, radius, 0, 0)), ((-1, 1), (0, 0, radius, radius))):
            padded = F.pad(together, padding, mode="replicate")
            together = F.conv2d(padded, kernels.reshape(len(kernels), 1, *shape), groups=len(kernels))
        return together.transpose(0, 1)


class DownScaling(Damage):
    """Lost resolution: averages over squares of pixels, enlarged again bicubically.

    Args:
        factors: one is drawn for each image, a repeated one more often; each >= 1, not necessarily whole: the sides of
            the small image are rounded down.

    Raises:
        UserError: there is no factor, or one is below 1.
    """

    def __init__(self, factors: list[int | float]) -> None:
        if not factors:
            raise UserError("DownScaling needs at least one of factors, such as [2, 4]")
        for factor in factors:
            check_interval("[1, inf)", factors=factor)
        self.factors = factors

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns the images at their old size."""
        chosen = (uniform_of(seeds) * len(self.factors)).long()[:, None, None, None]
        size, result = images.shape[-2:], images
        for number, factor in enumerate(self.factors):
            small = F.interpolate(images, [max(1, int(side // factor)) for side in size], mode="area")
            enlarged = F.interpolate(small, size, mode="bicubic", align_corners=False)
            result = torch.where(chosen == number, enlarged, result)
        return result

    def fixed(self) -> list[Damage]:
        """Returns each factor alone."""
        return [DownScaling([factor]) for factor in dict.fromkeys(self.factors)]


class Mask(Damage):
    """A covered rectangle of the image's proportions, anywhere within the image.

    Args:
        share: share of the image's pixels that it covers; below 1.
        fill: value of covered pixels, in [-1, 1].

    Raises:
        UserError: a number out of range.
    """

    strength = "share"

    def __init__(self, share: tuple[float, float] = (0.25, 0.5), fill: float = 0.0) -> None:
        check_range("[0, 1)", share=share)
        check_interval("[-1, 1]", fill=fill)
        self.share, self.fill = share, fill

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns the images with their rectangles covered."""
        amounts = uniform_of(seeds, 3)
        inside = []
        for axis, size in enumerate(images.shape[-2:]):
            side = (draw_strength(self.share, amounts[:, 0]).flatten().sqrt() * size).round().long()
            corner = (amounts[:, 1 + axis] * (size - side + 1)).long()
            offset = torch.arange(size, device=images.device) - corner[:, None]
            inside.append((offset >= 0) & (offset < side[:, None]))
        square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return images.masked_fill(square, self.fill)


class MissingLines(Damage):
    """Whole rows are lost, independently of each other.

    Args:
        share: mean share of lost rows; below 1.
        fill: value of lost pixels, in [-1, 1].

    Raises:
        UserError: a number out of range.
    """

    strength = "share"

    def __init__(self, share: tuple[float, float] = (0.1, 0.4), fill: float = -1.0) -> None:
        check_range("[0, 1)", share=share)
        check_interval("[-1, 1]", fill=fill)
        self.share, self.fill = share, fill

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns the images without these rows."""
        lost = uniform_of(seeds + SEED_OF_NOISE, 1, images.shape[-2], 1) < draw_strength(self.share, uniform_of(seeds))
        return images.masked_fill(lost, self.fill)


class Scratches(Damage):
    """Straight scratches of random place, direction and length cover what they cross.

    Args:
        count: scratches per image, [fewest, most], drawn uniformly; at most 100.
        width: of the scratches of an image, in pixels; > 0.
        fill: value of scratched pixels, in [-1, 1].

    Raises:
        UserError: a number out of range.
    """

    strength = "count"

    def __init__(
        self, count: tuple[int, int] = (1, 8), width: tuple[float, float] = (1.0, 2.0), fill: float = 1.0
    ) -> None:
        check_range("[0, 100]", count=count)
        check_range("(0, inf)", width=width)
        check_interval("[-1, 1]", fill=fill)
        self.count, self.width, self.fill = count, width, fill

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns the images with every pixel filled whose centre is within half a width of a scratch.

        The middle of a scratch lies anywhere within the image; its length is a quarter of the longer side to all of it.
        """
        height, width = images.shape[-2:]
        fewest, most = self.count
        amounts = uniform_of(seeds, 2)
        counts = fewest + (amounts[:, 0] * (most - fewest + 1)).long()
        places = uniform_of(seeds + SEED_OF_NOISE, most, 4)[..., None, None]
        rows = torch.arange(height, dtype=places.dtype, device=images.device)[:, None] + 0.5 - height * places[:, :, 0]
        columns = torch.arange(width, dtype=places.dtype, device=images.device) + 0.5 - width * places[:, :, 1]
        direction = math.pi * places[:, :, 2]
        half = max(height, width) * (0.125 + 0.375 * places[:, :, 3])
        along = rows * direction.sin() + columns * direction.cos()
        across = rows * direction.cos() - columns * direction.sin()
        distance = torch.hypot(across, (along.abs() - half).clamp_min(0))  # (B, most, H, W)
        crossed = 2 * distance <= draw_strength(self.width, amounts[:, 1])
        crossed &= (torch.arange(most, device=images.device) < counts[:, None])[..., None, None]
        return images.masked_fill(crossed.any(dim=1, keepdim=True), self.fill)


class Grey(Damage):
    """Colour is lost: every channel becomes the luminance of BT.601. Grey images are unchanged."""

    of_colours = True

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns the images in grey, with as many channels as before."""
        if images.shape[1] == 1:
            return images
        shares = images.new_tensor(LUMINANCE)[None, :, None, None]
        return (images * shares).sum(dim=1, keepdim=True).expand_as(images)
