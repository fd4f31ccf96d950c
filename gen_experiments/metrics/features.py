"""Feature extractors: frozen networks; distributions of images are compared in their features."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gen_experiments.contracts import require_shape
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSet
from gen_experiments.metrics.digits_net import DigitsNet
from gen_experiments.metrics.inception_net import fetch_inception, read_inception
from gen_experiments.storage import file_sha256

DIGITS_WEIGHTS = Path(__file__).parent / "weights" / "digits.safetensors"
SPATIAL_CHANNELS = 7
# Images per pass of a deep network on a CPU, limited by its caches: with 250 images Inception took 1.35 times as long,
# and 3.4 GB instead of 1.2 GB.
CPU_PASS = 16

INCEPTION_RESIZES = {
    "tensorflow": "bilinear as in TensorFlow 1, not antialiased, to 299x299",
    "clean": "bicubic, antialiased, to 299x299",
}


class FeatureExtractor(nn.Module, ABC):
    """Images to feature vectors, in float32 under any autocast, without gradients, always in evaluation mode.

    Attributes:
        num_features: length of a feature vector.
        num_spatial: length of a vector of features at places, for sFID; 0 if there are none.
        resize: how images are resized for the network, in words.
        weights_hash: SHA-256 of the weights.
        content: what images must show for meaningful distances; None for any images.
        any_images: whether the user wants distances between other images too.
        takes: the numbers of channels that images may have.
        cpu_pass: images per pass on a CPU; None for any number.
    """

    num_features: int
    num_spatial = 0
    resize: str
    weights_hash: str
    content: str | None = None
    any_images = False
    takes: tuple[int, ...] = (1, 3)
    cpu_pass: int | None = None

    def check_channels(self, channels: int) -> None:
        """Refuses images with a number of channels that the network does not take.

        Raises:
            UserError: they have; the line says how to choose channels.
        """
        if channels not in self.takes:
            name, taken = type(self).__name__, " or ".join(map(str, self.takes))
            raise UserError(
                f"{name} takes images of {taken} channels, not {channels}: name those that it is to see, as in "
                f"--evaluation.extractor=ChosenChannels --evaluation.extractor.channels=[0,1,1] "
                f"--evaluation.extractor.of={name}, or leave scores out by --evaluation.extractor=null"
            )

    def fits(self, content: str | None, option: str = "--evaluation.extractor") -> bool:
        """Returns whether the features are meaningful for images of a content.

        Args:
            content: what the images show; None if that is not known.
            option: the option of the command line that names the extractor.

        Raises:
            UserError: they are not, and `any_images` is not set.
        """
        fits = self.content is None or self.content == content
        if not fits and not self.any_images:
            name = type(self).__name__
            trains = "; --evaluation.extractor=null trains without FID" if option.startswith("--evaluation.") else ""
            raise UserError(
                f"{name} knows {self.content} only, and its distances between other images mean little: "
                f"set {option}=InceptionFeatures for photographs, or, if they are what it knows, "
                f"{option}={name} {option}.any_images=true{trains}"
            )
        return fits

    @abstractmethod
    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images of any size -> (N, num_features) float32."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images of any size -> (N, num_features) float32.

        Raises:
            UserError: the images have other channels, or `extract` returned another shape or numbers that are NaN.
        """
        self.check_channels(images.shape[1])
        at_once = (self.cpu_pass if images.device.type == "cpu" else None) or max(len(images), 1)
        with torch.autocast(images.device.type, enabled=False):
            features = torch.cat([self.extract(part) for part in images.split(at_once)])
        name = f"{type(self).__name__}.extract"
        require_shape(features, (len(images), self.num_features), f"the result of {name}")
        if features.isnan().any():
            raise UserError(f"{name} returned features that are NaN, of which no distance can be computed")
        return features

    def with_spatial(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images -> the features of `forward`, and (N, num_spatial) float32 features at places."""
        return self(images), torch.empty(len(images), 0, device=images.device)

    @torch.no_grad()
    def classify(self, features: Tensor) -> Tensor | None:
        """Maps (N, num_features) features -> (N, classes) logits; None for a network without classes."""
        return None

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next((weight.device for weight in self.parameters()), torch.device("cpu"))

    def features_of(self, images: ImageSet, chosen: NDArray[np.int64], batch_size: int) -> Tensor:
        """Returns the features of the chosen images, passed in batches: (len(chosen), num_features) float32."""
        parts = np.split(chosen, range(batch_size, len(chosen), batch_size))
        return torch.cat([self(images.read(part).to(self.device)) for part in parts])

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stays in evaluation mode."""
        return super().train(False)

    @property
    def fingerprint(self) -> str:
        """The identity of the features: equal fingerprints mean equal features of equal images."""
        return f"{type(self).__name__}-{self.weights_hash[:16]}-{self.resize}"

    def protocol(self) -> dict[str, object]:
        """Returns the fields of a record that describe these features."""
        return {"extractor": type(self).__name__, "weights_sha256": self.weights_hash, "resize": self.resize}


class DigitsFeatures(FeatureExtractor):
    """The 64 penultimate features of a small classifier of handwritten digits that comes with the package.

    It was trained on MNIST by `tests/benchmarks/train_digits.py`; colour images become grey. Its distances are
    comparable only with each other: name it beside every number.

    Args:
        any_images: whether images of sources that are not known to hold digits are scored too. Such scores are logged
            as `fid_by_DigitsFeatures` or `rfid_by_DigitsFeatures`, and choose no checkpoint.
    """

    num_features = 64
    resize = "bilinear, antialiased, to 32x32"
    content = "handwritten digits"

    def __init__(self, any_images: bool = False) -> None:
        super().__init__()
        self.any_images = any_images
        from safetensors.torch import load_file

        self.network = DigitsNet()
        self.network.load_state_dict(load_file(DIGITS_WEIGHTS))
        self.weights_hash = file_sha256(DIGITS_WEIGHTS)
        self.eval().requires_grad_(False)

    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images -> (N, 64) float32."""
        return self.network.features(self.network.prepare(images))

    @torch.no_grad()
    def classify(self, features: Tensor) -> Tensor:
        """Maps (N, 64) features -> (N, 10) logits of the digits."""
        logits: Tensor = self.network.head(features)
        return logits


class InceptionFeatures(FeatureExtractor):
    """The 2048 pool features of the Inception v3 of the original FID, as in torch-fidelity.

    Grey images are repeated to three channels. The weights are fetched on first use, or read from a file.

    Args:
        weights: a local copy of torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`; None fetches it.
        resizing: how images are resized to 299x299: "tensorflow", bilinear without antialiasing as in the original FID
            and torch-fidelity, or "clean", bicubic with antialiasing and without rounding to integers, as in clean-fid
            by Pillow (https://arxiv.org/abs/2104.11222).

    Raises:
        UserError: the file is missing or is no such network, or there is neither a file nor a network connection.
    """

    num_features = 2048
    cpu_pass = CPU_PASS
    num_spatial = SPATIAL_CHANNELS * 17 * 17

    def __init__(self, weights: str | None = None, resizing: Literal["tensorflow", "clean"] = "tensorflow") -> None:
        super().__init__()
        self.resizing, self.resize = resizing, INCEPTION_RESIZES[resizing]
        if resizing != "tensorflow":
            self.num_spatial = 0  # sFID is defined for the other resizing only
        path = Path(weights) if weights is not None else fetch_inception()
        self.network = read_inception(path)
        self.weights_hash = file_sha256(path)
        self.eval().requires_grad_(False)
        # The convolutions run about 1.7 times as fast on CPUs in this layout.
        self.to(memory_format=torch.channels_last)

    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images -> (N, 2048) float32."""
        images = images.expand(-1, 3, -1, -1).contiguous()
        if self.resizing == "tensorflow":
            features: Tensor = self.network(images)[0]
            return features
        # torch's antialiased bicubic filter equals Pillow's. The network's own first layer takes integers only.
        values = F.interpolate(images.float(), (299, 299), mode="bicubic", antialias=True).clamp(0, 255)
        values = ((values - 128) / 128).contiguous(memory_format=torch.channels_last)
        for name, layer in self.network.named_children():
            if name == "fc":
                break
            values = layer(values)
        return values.flatten(1)

    def with_spatial(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images -> (N, 2048) and (N, 2023) float32 features, the latter for sFID as in guided-diffusion (ADM).

        They are the first 7 channels of `mixed_6/conv`, after its ReLU, at all 17x17 places, ordered by place
        (https://github.com/openai/guided-diffusion/blob/main/evaluations/evaluator.py). sFID is their Fréchet distance
        (https://arxiv.org/abs/2103.03841).
        """
        if not self.num_spatial:
            return super().with_spatial(images)
        kept: list[Tensor] = []
        layer: nn.Module = self.network.Mixed_6d.branch1x1  # type: ignore[union-attr,assignment]
        hook = layer.register_forward_hook(lambda module, inputs, output: kept.append(output[:, :SPATIAL_CHANNELS]))
        try:
            features = self(images)
        finally:
            hook.remove()
        return features, torch.cat(kept).permute(0, 2, 3, 1).flatten(1)

    @torch.no_grad()
    def classify(self, features: Tensor) -> Tensor:
        """Maps (N, 2048) features -> (N, 1008) logits without their bias, as for the inception score."""
        weight: Tensor = self.network.fc.weight  # type: ignore[union-attr,assignment]
        return features @ weight.T
