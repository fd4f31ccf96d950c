"""Differentiable augmentations of the real and generated images that a discriminator sees."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gen_experiments.checkpoints.arguments import Recorded
from gen_experiments.errors import UserError, check_interval


class Augmentation(Recorded, ABC):
    """A differentiable map of images to images of the same shape, controlled by given random numbers.

    Attributes:
        num_draws: random numbers per image.
    """

    num_draws: ClassVar[int]

    @abstractmethod
    def __call__(self, images: Tensor, p: float | Tensor, draws: Tensor) -> Tensor:
        """Augments (B, C, H, W) images.

        Args:
            images: images for the discriminator.
            p: the probability, in [0, 1], of each transformation of an image; 0 changes nothing, 1 changes all images.
            draws: (B, num_draws) uniform random numbers in [0, 1).
        """


class DiffAugment(Augmentation):
    """Colour, translation and cutout (https://arxiv.org/abs/2006.10738); at p = 1 the paper's augmentation.

    Args:
        colour: shift the brightness by up to ½, scale the saturation by 0 to 2 and the contrast by ½ to 1½.
        translation: the largest shift along each axis, as a share of the image's size; 0 for none.
        cutout: the sides of the covered rectangle, as shares of the image's sides; 0 for none.
        fill: the value of shifted-in and covered pixels, in [-1, 1]: 0, the paper's grey, suits photographs; -1 suits
            images on black, where a grey bar would stand out.

    Raises:
        UserError: a number out of range.
    """

    num_draws: ClassVar[int] = 10

    def __init__(self, colour: bool = True, translation: float = 0.125, cutout: float = 0.5, fill: float = 0.0) -> None:
        check_interval("[0, 1]", translation=translation, cutout=cutout)
        check_interval("[-1, 1]", fill=fill)
        self.colour, self.translation, self.cutout, self.fill = colour, translation, cutout, fill

    def __call__(self, images: Tensor, p: float | Tensor, draws: Tensor) -> Tensor:
        """Augments images; the first three draws choose the transformations of an image, the others their amounts."""
        chosen, amounts = draws[:, :3] < p, draws[:, 3:]
        if self.colour and images.shape[1] not in (1, 3):
            raise UserError(
                f"DiffAugment's colour is for images of 1 or 3 channels, not {images.shape[1]}: set colour to false"
            )
        if self.colour:
            images = _where(chosen[:, 0], change_colours(images, amounts[:, :3]), images)
        # Halves are rounded up, as in the authors' code; Python's round would round some of them down.
        shifts, sides = (
            [int(part * side + 0.5) for side in images.shape[-2:]] for part in (self.translation, self.cutout)
        )
        if any(shifts):
            moved = [(amounts[:, 3 + axis] * (2 * most + 1)).long() - most for axis, most in enumerate(shifts)]
            images = _where(chosen[:, 1], shift_images(images, torch.stack(moved, dim=1), self.fill), images)
        if all(sides):
            # The rectangle's centre lies in the image, so that a part of it may lie outside.
            corners = [
                (amounts[:, 5 + axis] * (images.shape[2 + axis] + 1 - side % 2)).long() - side // 2
                for axis, side in enumerate(sides)
            ]
            images = _where(chosen[:, 2], cut_out(images, torch.stack(corners, dim=1), sides, self.fill), images)
        return images


def change_colours(images: Tensor, amounts: Tensor) -> Tensor:
    """Changes brightness, saturation and contrast of (B, C, H, W) images by (B, 3) amounts in [0, 1), ½ for none."""
    brightness, saturation, contrast = amounts.to(images.dtype)[:, :, None, None, None].unbind(dim=1)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - level) * (contrast + 0.5) + level


def shift_images(images: Tensor, shifts: Tensor, fill: float) -> Tensor:
    """Shifts (B, C, H, W) images by (B, 2) int64 pixels down and to the right and fills with `fill`."""
    for axis in (0, 1):
        size = images.shape[2 + axis]
        origin = torch.arange(size, device=images.device) - shifts[:, axis, None]
        shape = (len(images), 1, size, 1) if axis == 0 else (len(images), 1, 1, size)
        moved = images.gather(2 + axis, origin.clamp(0, size - 1).reshape(shape).expand_as(images))
        images = moved.where(((origin >= 0) & (origin < size)).reshape(shape), fill)
    return images


def cut_out(images: Tensor, corners: Tensor, sides: Sequence[int], fill: float) -> Tensor:
    """Sets a rectangle to `fill`, its upper left corner at (B, 2) int64 row and column.

    Args:
        images: (B, C, H, W).
        corners: (B, 2), one for each image.
        sides: height and width of the rectangle.
        fill: the value of covered pixels.
    """
    inside = []
    for axis in (0, 1):
        offset = torch.arange(images.shape[2 + axis], device=images.device) - corners[:, axis, None]
        inside.append((offset >= 0) & (offset < sides[axis]))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(square, fill)


def _where(chosen: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], changed, images)
