"""LPIPS: the distance of images in the features of a classifier of photographs."""

import pickle
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gen_experiments.channels import check_chosen, choose_channels
from gen_experiments.errors import UserError, check_interval, quoted
from gen_experiments.losses.frozen_networks import building_frozen
from gen_experiments.losses.reconstruction import L1, ReconstructionLoss
from gen_experiments.untrusted.unreadable import Unreadable
from gen_experiments.untrusted.weight_files import read_state

# torchvision's names of the backbones.
BACKBONES = {"vgg": "vgg16", "alex": "alexnet"}
# The patches on which people's judgements calibrated the distance were of this size.
MIN_SIZE = 64
OPTION = "--model.reconstruction.weights=FILE (--evaluation.lpips.weights, or --weights of `project`)"


class Perceptual(ReconstructionLoss):
    """weight · LPIPS(x̂, x) + pixel(x̂, x) (https://arxiv.org/abs/1801.03924).

    LPIPS is torchmetrics': squared differences of the backbone's features at five depths, each position's scaled to
    length one, weighted by channel, averaged over positions and summed over depths; its mean over the images is taken.
    Grey images are repeated to three channels. Images below 64 pixels are enlarged bilinearly to 64: VGG-16 takes no
    images below 16 pixels, AlexNet none below 31, and the distance was calibrated on patches of 64.

    The network is frozen, computes in float32 under any autocast, and is no part of the model: checkpoints, moving
    averages and the gradients of processes do not contain it. It is loaded at the first use, on the images' device, so
    that a model can be rebuilt without it. torchmetrics contains the channels' weights; the backbone's are fetched into
    torch's cache, or read from a file.

    Args:
        pixel: an additional distance of pixels; by default L1 of weight 1.
        weight: the factor of LPIPS.
        net: the backbone, VGG-16 or AlexNet.
        channels: the channels that LPIPS sees, as in [0, 1, 1]; needed only for images of 2 or 4 channels.
        weights: a local copy of torchvision's `vgg16-397923af.pth` or `alexnet-owt-7be5be79.pth`, or the same weights
            as safetensors; None fetches it.

    Raises:
        UserError: channels are not one or three; or, at the first use, the images lack one of them, the file is missing
            or holds another network, or there is neither a file nor a network connection.
    """

    def __init__(
        self,
        pixel: ReconstructionLoss | None = None,
        weight: float = 1.0,
        net: Literal["vgg", "alex"] = "vgg",
        weights: str | None = None,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        check_interval("[0, inf)", weight=weight)
        if channels is not None:
            check_chosen(channels)
        self.channels = channels
        self.pixel = L1() if pixel is None else pixel
        self.weight, self.net, self.weights = weight, net, weights
        self._network: nn.Module | None = None

    def __call__(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Returns the weighted sum of both distances."""
        return self.weight * self.lpips(reconstruction, images).mean() + self.pixel(reconstruction, images)

    def lpips(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Returns the perceptual distance of each of (B, C, H, W) reconstructions to its image: (B,), >= 0."""
        pair = self._prepare(reconstruction), self._prepare(images)
        network = self._network_on(images.device)
        with torch.autocast(images.device.type, enabled=False):
            distances: Tensor = network(*pair)
        return distances.flatten()

    def _network_on(self, device: torch.device) -> nn.Module:
        with building_frozen():
            if self._network is None:
                self._network = _lpips(self.net, self.weights)
            self._network.to(device)
        return self._network

    def _prepare(self, images: Tensor) -> Tensor:
        """Returns images as float32 of three channels and at least 64 pixels a side."""
        images = images.float()
        if self.channels is not None:
            images = choose_channels(images, self.channels)
        elif images.shape[1] not in (1, 3):
            raise UserError(
                f"LPIPS compares images of 1 or 3 channels, not {images.shape[1]}: name three of them by channels of "
                "Perceptual, as in [0, 1, 1]"
            )
        images = images.expand(-1, 3, -1, -1)
        sides, shorter = images.shape[-2:], min(images.shape[-2:])
        if shorter >= MIN_SIZE:
            return images
        enlarged = [round(side * MIN_SIZE / shorter) for side in sides]
        return interpolate(images, enlarged, mode="bilinear", align_corners=False)


def _lpips(net: Literal["vgg", "alex"], weights: str | None) -> nn.Module:
    """Returns the network of torchmetrics with the backbone's weights from torchvision."""
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    state = _fetch(net) if weights is None else _read(net, weights)
    network = _NoTrainLpips(net=net, pnet_rand=True)
    try:
        # The slices of the backbone keep the numbers of torchvision's layers: slice2.5.weight is features.5.weight.
        by_name, names = dict(state), network.net.state_dict().keys()
        network.net.load_state_dict({name: by_name["features." + name.partition(".")[2]] for name in names})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{weights or 'the file in the cache of torch'} does not hold torchvision's {BACKBONES[net]} weights"
        ) from error
    return network


def _read(net: Literal["vgg", "alex"], path: str) -> Any:
    if not Path(path).is_file():
        raise UserError(f"there are no {BACKBONES[net]} weights at {path}: name the file by {OPTION}")
    try:
        return read_state(Path(path))
    except Unreadable as error:
        raise UserError(f"{path} does not hold torchvision's {BACKBONES[net]} weights: {quoted(error)}") from error


def _fetch(net: Literal["vgg", "alex"]) -> Any:
    from torchvision.models import get_model_weights

    published = get_model_weights(BACKBONES[net]).DEFAULT
    try:
        return published.get_state_dict(progress=False, check_hash=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"LPIPS' {BACKBONES[net]} weights cannot be fetched from {published.url}: "
            f"bring that file and name it by {OPTION}"
        ) from error
