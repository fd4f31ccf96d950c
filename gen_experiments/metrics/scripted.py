"""Features of a network in a user's file."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gen_experiments.errors import UserError, check_interval, quoted
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.network_inputs import convert_images
from gen_experiments.storage import file_sha256


class ScriptedFeatures(FeatureExtractor):
    """The features of a TorchScript or `torch.export` file, which maps (N, C, S, S) float32 images -> (N, D).

    Such a file holds code that is run: name only files that you trust. A checkpoint or a run's configuration cannot
    name one; give it again by --extractor to commands over such a run.

    Args:
        file: the archive, of `torch.jit.save` (.pt) or `torch.export.save` (.pt2), which must take any N.
        size: S, to which images are resized bilinearly with antialiasing; None does not resize.
        channels: C, to which images are converted.
        mean: subtracted from the values in [0, 1], one for each channel or one for all.
        std: divides the result, one for each channel or one for all; > 0.

    Raises:
        UserError: a number out of range, the file is missing or no such archive, or it does not return (N, D) features.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        file: str,
        size: int | None = None,
        channels: Literal[1, 3] = 3,
        mean: list[float] | None = None,
        std: list[float] | None = None,
    ) -> None:
        super().__init__()
        mean, std = mean or [0.0], std or [1.0]
        if size is not None:
            check_interval("[1, inf)", size=size)
        for value in std:
            check_interval("(0, inf)", std=value)
        if not {len(mean), len(std)} <= {1, channels}:
            raise UserError(f"mean and std need one number or {channels}, not {len(mean)} and {len(std)}")
        self.size, self.channels = size, channels
        self.network = _read(Path(file))
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1))
        self.weights_hash = file_sha256(Path(file))
        sizes = "as they are" if size is None else f"bilinear, antialiased, to {size}x{size}"
        self.resize = f"{sizes}, {channels} channels, (x / 255 - {mean}) / {std}"
        self.requires_grad_(False)
        self.num_features = self._dim(file)

    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images -> (N, num_features) float32."""
        size = None if self.size is None else (self.size, self.size)
        values = convert_images(images, self.channels, size) / 255
        features: Tensor = self.network((values - self.mean) / self.std)
        return features

    def _dim(self, file: str) -> int:
        """Returns D by a pass of two images; with one image, a file of fixed batch size 1 would not be noticed."""
        side = self.size or 32
        try:
            with torch.no_grad():
                features = self.extract(torch.zeros(2, self.channels, side, side, dtype=torch.uint8))
        except Exception as error:
            taken = f"{self.channels}x{side}x{side}"
            raise UserError(f"the network of {file} does not take images of {taken}: {quoted(error)}") from error
        if (
            not isinstance(features, Tensor)
            or features.ndim != 2
            or len(features) != 2
            or features.dtype != torch.float32
        ):
            shape = tuple(getattr(features, "shape", ()))
            raise UserError(f"the network of {file} returns {shape} for two images: needed are (2, D) float32 features")
        return features.shape[1]


def _read(path: Path) -> nn.Module:
    if not path.is_file():
        raise UserError(f"there is no network at {path}: name a file of torch.jit.save or torch.export.save")
    try:
        if path.suffix == ".pt2":
            exported: nn.Module = torch.export.load(path).module()
            return exported
        scripted: nn.Module = torch.jit.load(str(path), map_location="cpu")
    except Exception as error:
        raise UserError(f"{path} is no file of torch.jit.save (.pt) or torch.export.save (.pt2)") from error
    return scripted.eval()
