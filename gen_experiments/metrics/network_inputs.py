"""Images in the form that a feature extractor's network takes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gen_experiments.images import LUMINANCE


def convert_images(images: Tensor, channels: int, size: tuple[int, int] | None) -> Tensor:
    """Converts images to a number of channels and a size.

    Colour becomes grey by its luminance, grey becomes three equal channels, and images are resized bilinearly with
    antialiasing.

    Args:
        images: (N, 1 or 3, H, W) uint8.
        channels: 1 or 3.
        size: height and width; None leaves them.

    Returns:
        (N, channels, *size) float32 in [0, 255].
    """
    values = images.to(torch.float32)
    if values.shape[1] == 3 and channels == 1:
        values = torch.einsum("nchw,c->nhw", values, values.new_tensor(LUMINANCE))[:, None]
    elif values.shape[1] == 1 and channels == 3:
        values = values.expand(-1, 3, -1, -1)
    if size is not None and values.shape[-2:] != size:
        values = F.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)
    return values
