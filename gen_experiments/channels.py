"""Channels of images: the user chooses which of two or four are seen as grey or colour; nothing is guessed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gen_experiments.errors import UserError


def check_chosen(channels: Sequence[int]) -> None:
    """Refuses a choice that does not make a grey image of one channel or a coloured image of three.

    Raises:
        UserError: there are not one or three channels, or one is negative.
    """
    if len(channels) not in (1, 3) or min(channels) < 0:
        raise UserError(f"channels names one or three of an image's, counted from 0, not {list(channels)}")


def choose_channels(images: Tensor, channels: Sequence[int]) -> Tensor:
    """Returns the named channels of (N, C, H, W) images.

    Raises:
        UserError: the images have no such channel.
    """
    if max(channels) >= images.shape[1]:
        raise UserError(f"channels names {max(channels)}, and the last of these images is {images.shape[1] - 1}")
    return images[:, list(channels)]


def viewable(images: Tensor) -> Tensor:
    """Returns (..., C, H, W) images as a screen can show them: two channels, which are no colours, side by side."""
    return torch.cat(images.split(1, dim=-3), dim=-1) if images.shape[-3] == 2 else images
