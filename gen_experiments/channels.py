"""Images of two or four channels where grey or colour is wanted: a choice that the user names, never a guess."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gen_experiments.errors import UserError


def check_chosen(channels: Sequence[int]) -> None:
    """Refuses a choice of channels that gives no grey or coloured image.

    Raises:
        UserError: it is not of one or three, or one is negative.
    """
    if len(channels) not in (1, 3) or min(channels) < 0:
        raise UserError(f"channels names one or three of an image's, counted from 0, not {list(channels)}")


def chosen(images: Tensor, channels: Sequence[int]) -> Tensor:
    """Returns the named channels of (N, C, H, W) images.

    Raises:
        UserError: the images have no such channel.
    """
    if max(channels) >= images.shape[1]:
        raise UserError(f"channels names {max(channels)}, and the last of these images is {images.shape[1] - 1}")
    return images[:, list(channels)]


def viewable(images: Tensor) -> Tensor:
    """Returns images as a screen can show them: of two channels, which have no colours, both in grey beside each other.

    Args:
        images: (..., C, H, W); of another C they come back as they are.

    Returns:
        (..., 1, H, 2W) of two channels.
    """
    return torch.cat(images.split(1, dim=-3), dim=-1) if images.shape[-3] == 2 else images
