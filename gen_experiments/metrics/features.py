"""Feature extractors: the frozen networks in whose features distributions of images are compared."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from gen_experiments.errors import UserError
from gen_experiments.images import ImageSet
from gen_experiments.metrics.digits_net import DigitsNet
from gen_experiments.metrics.inception_net import fetched_inception, read_inception
from gen_experiments.storage import file_sha256

DIGITS_WEIGHTS = Path(__file__).parent / "weights" / "digits.safetensors"
SPATIAL_CHANNELS = 7
# Images that a deep network takes at once on a CPU, whose caches do not hold the activations of more: Inception took
# 1.35 times as long for 250 at once, and 3.4 GB instead of 1.2 GB.
CPU_PASS = 16

INCEPTION_RESIZES = {
    "tensorflow": "bilinear as in TensorFlow 1, not antialiased, to 299x299",
    "clean": "bicubic, antialiased, to 299x299",
}


class FeatureExtractor(nn.Module, ABC):
    """Images to feature vectors, in float32 whatever the autocast, without gradients, always in evaluation mode.

    Attributes:
        num_features: length of a feature vector.
        num_spatial: length of a vector of features at places, of which sFID is; 0 where there are none.
        resize: how images are brought to the network's size, in words.
        weights_hash: SHA-256 of the weights.
        content: what images must show for distances between features to mean something; None if anything.
        any_images: whether the user asks for distances between other images too.
        takes: the numbers of channels that images may have.
        cpu_pass: images that it takes at once on a CPU; None for any number.
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
        """Refuses images of a number of channels that the network does not take.

        Raises:
            UserError: the line says how to name those that it is to see.
        """
        if channels not in self.takes:
            name, taken = type(self).__name__, " or ".join(map(str, self.takes))
            raise UserError(
                f"{name} takes images of {taken} channels, not {channels}: name those that it is to see, as in "
                f"--evaluation.extractor=ChosenChannels --evaluation.extractor.channels=[0,1,1] "
                f"--evaluation.extractor.of={name}, or leave scores out by --evaluation.extractor=null"
            )

    def fits(self, content: str | None, option: str = "--evaluation.extractor") -> bool:
        """Returns whether the features mean something for images of that content.

        Args:
            content: what the images show; None where that is not known.
            option: of the command line, by which the extractor was named.

        Raises:
            UserError: they do not, and were not asked for by `any_images`.
        """
        fits = self.content is None or self.content == content
        if not fits and not self.any_images:
            raise UserError(
                f"{type(self).__name__} knows {self.content} only, and its distances between other images mean little: "
                f"set {option}=InceptionFeatures for photographs, or, if they are what it knows, "
                f"{option}.any_images=true; --evaluation.extractor=null trains without FID"
            )
        return fits

    @abstractmethod
    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images of any size -> (N, num_features) float32."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images of any size -> (N, num_features) float32."""
        self.check_channels(images.shape[1])
        at_once = (self.cpu_pass if images.device.type == "cpu" else None) or max(len(images), 1)
        with torch.autocast(images.device.type, enabled=False):
            return torch.cat([self.extract(part) for part in images.split(at_once)])

    def with_spatial(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images as `forward` does -> its features, and (N, num_spatial) float32 features at places."""
        return self(images), torch.empty(len(images), 0, device=images.device)

    @torch.no_grad()
    def classify(self, features: Tensor) -> Tensor | None:
        """Maps (N, num_features) features -> (N, classes) logits; None from a network that knows no classes."""
        return None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
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
        """What identifies the features: equal fingerprints mean equal features of equal images."""
        return f"{type(self).__name__}-{self.weights_hash[:16]}-{self.resize}"

    def protocol(self) -> dict[str, object]:
        """Returns what must be said beside a number that rests on these features."""
        return {"extractor": type(self).__name__, "weights_sha256": self.weights_hash, "resize": self.resize}


class DigitsFeatures(FeatureExtractor):
    """The 64 penultimate features of a small classifier of handwritten digits that comes with the package.

    It was trained on MNIST by `gen_experiments/metrics/train_digits.py`; colour images are turned to grey. Distances by
    it compare only with distances by it: its name belongs beside every number.

    Args:
        any_images: whether images of a source that is not known to hold digits are scored too. Such scores are logged
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
    """The 2048 pool features of the Inception v3 of the original FID, as torch-fidelity has it.

    Grey images are repeated to three channels. The weights are fetched on first use, or read from a file.

    Args:
        weights: a local copy of torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`; None fetches it.
        resizing: how images are brought to 299x299: "tensorflow", bilinear without antialiasing as the original FID and
            torch-fidelity, or "clean", bicubic with antialiasing and not rounded to integers, as clean-fid does it by
            Pillow (https://arxiv.org/abs/2104.11222).

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
            self.num_spatial = 0  # nobody computes sFID of other inputs
        path = Path(weights) if weights is not None else fetched_inception()
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
        # Antialiased, torch's bicubic filter is Pillow's. The network's own entrance takes integers only.
        values = F.interpolate(images.float(), (299, 299), mode="bicubic", antialias=True).clamp(0, 255)
        values = ((values - 128) / 128).contiguous(memory_format=torch.channels_last)
        for name, layer in self.network.named_children():
            if name == "fc":
                break
            values = layer(values)
        return values.flatten(1)

    def with_spatial(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images -> (N, 2048) and (N, 2023) float32 features, those of sFID as guided-diffusion (ADM) has them.

        They are the first 7 channels of `mixed_6/conv`, after its ReLU, at all 17x17 places, the channels of a place
        beside each other (https://github.com/openai/guided-diffusion/blob/main/evaluations/evaluator.py). sFID is the
        Fréchet distance of them (https://arxiv.org/abs/2103.03841).
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
        """Maps (N, 2048) features -> (N, 1008) logits without their bias, of which the inception score is made."""
        weight: Tensor = self.network.fc.weight  # type: ignore[union-attr,assignment]
        return features @ weight.T
