"""Distances of reconstructions and originals, image by image, on uint8 as written to disk."""

import torch
from torch import Tensor

from gen_experiments.errors import UserError

PEAK = 255.0
# An image without any error would have an infinite PSNR and spoil every mean.
MAX_PSNR = 100.0
WINDOW = 11
MS_SSIM_SIZE = 176  # pixels a side, of which five scales of the window's size can be made


def psnr(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Returns 10 · log10(255² / MSE) in dB, at most 100, of pairs of (N, C, H, W) uint8 images: (N,) float32."""
    squared = (reconstructions.double() - images.double()).square().flatten(1).mean(1)
    return (10 * torch.log10(PEAK**2 / squared)).clamp_max(MAX_PSNR).float()


def l1(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Returns the mean absolute difference of each of (N, C, H, W) uint8 images, of pixels on a [0, 1] scale: (N,)."""
    return (reconstructions.double() - images.double()).abs().flatten(1).mean(1).float() / PEAK


def ssim(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Returns the structural similarity of each image (https://doi.org/10.1109/TIP.2003.819861).

    Gaussian window of 11 pixels and σ 1.5, K₁ 0.01, K₂ 0.03, mean over channels and all pixels, with mirrored borders:
    torchmetrics' convention. It maps two (N, C, H, W) uint8 -> (N,) float32 in [-1, 1].

    Raises:
        UserError: the images are smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    check_window(min(images.shape[-2:]))
    value = structural_similarity_index_measure(
        reconstructions.float(), images.float(), data_range=PEAK, reduction="none", kernel_size=WINDOW, sigma=1.5
    )
    assert isinstance(value, Tensor)
    return value.reshape(-1)


def check_window(side: int) -> None:
    """Refuses images whose shorter side, in pixels, is smaller than the window of SSIM.

    Raises:
        UserError: it is smaller.
    """
    if side < WINDOW:
        raise UserError(f"SSIM needs images of at least {WINDOW} pixels a side, not {side}: enlarge data.size")


def ms_ssim(reconstructions: Tensor, images: Tensor) -> Tensor:
    """Returns the multi-scale structural similarity of each image (https://doi.org/10.1109/ACSSC.2003.1292216).

    Five scales with the paper's weights; window and constants as for `ssim`; negative contrasts count as 0, and those
    of windows that reach over the border are left out: torchmetrics' convention. It maps two (N, C, H, W) uint8, of at
    least 176 pixels a side, -> (N,) float32 in [0, 1].
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    value: Tensor = multiscale_structural_similarity_index_measure(
        reconstructions.float(),
        images.float(),
        data_range=PEAK,
        reduction="none",
        kernel_size=WINDOW,
        sigma=1.5,
        normalize="relu",
    )
    return value.reshape(-1)
