"""The other networks that torch-fidelity knows by name: VGG16, CLIP and DINOv2."""

import hashlib
import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gen_experiments.errors import UserError, quoted
from gen_experiments.metrics.features import CPU_PASS, FeatureExtractor
from gen_experiments.storage import file_sha256
from gen_experiments.untrusted.unreadable import Unreadable
from gen_experiments.untrusted.weight_files import torch_file

Name = Literal[
    "vgg16",
    "clip-rn50",
    "clip-rn101",
    "clip-vit-b-32",
    "clip-vit-b-16",
    "clip-vit-l-14",
    "clip-vit-l-14-336px",
    "dinov2-vit-s-14",
    "dinov2-vit-b-14",
    "dinov2-vit-l-14",
    "dinov2-vit-g-14",
]


class FidelityFeatures(FeatureExtractor):
    """The features by which torch-fidelity computes its metrics with one of its networks.

    Grey images are repeated to three channels. The weights are fetched on first use, or read from a file: of VGG16
    torchvision's state dict, also as safetensors, of CLIP OpenAI's TorchScript archive. DINOv2 is fetched by
    `torch.hub`, with the code of its repository, and found there again (`$TORCH_HOME/hub`).

    Args:
        name: torch-fidelity's name of the network.
        weights: a local file; None fetches it.
        sha256: what the SHA-256 of that file must be; None takes the one that OpenAI published for CLIP, whose files
            can hold code, and does not check the plain arrays of VGG16.

    Raises:
        UserError: the file is missing, is no such network or another file, or there is neither a file nor a network
            connection.
    """

    cpu_pass = CPU_PASS

    def __init__(self, name: Name, weights: str | None = None, sha256: str | None = None) -> None:
        super().__init__()
        self.name = name
        if weights is not None:
            _check_file(name, Path(weights), sha256)
        self.network = _network(name, weights)
        self.eval().requires_grad_(False)
        with torch.no_grad():
            self.num_features = self.extract(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape[1]
        self.resize = "bilinear as in TensorFlow 1, not antialiased, to the network's size"
        digest = hashlib.sha256(name.encode())
        for key, value in sorted(self.network.state_dict().items()):
            digest.update(key.encode() + value.contiguous().cpu().numpy().tobytes())
        self.weights_hash = digest.hexdigest()

    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images -> (N, num_features) float32."""
        features: Tensor = self.network(images.expand(-1, 3, -1, -1).contiguous())[0]
        return features

    @property
    def fingerprint(self) -> str:
        """What identifies the features."""
        return f"{self.name}-{super().fingerprint}"

    def protocol(self) -> dict[str, object]:
        """Returns what must be said beside a number that rests on these features."""
        return super().protocol() | {"extractor": self.name}


def _check_file(name: str, path: Path, sha256: str | None) -> None:
    from torch_fidelity.feature_extractor_clip import MODEL_METADATA

    if name.startswith("dinov2"):
        raise UserError(f"torch-fidelity reads {name} by torch.hub only: leave out the weights")
    if not path.is_file():
        raise UserError(f"there are no weights of {name} at {path}: name the file by weights, or leave it out")
    expected = sha256 or (MODEL_METADATA[name]["hash"] if name in MODEL_METADATA else None)
    digest = file_sha256(path)
    if expected is not None and digest != expected.lower():
        raise UserError(f"{path} is another file than the weights of {name}: its SHA-256 is {digest}, not {expected}")


def _network(name: str, weights: str | None) -> nn.Module:
    if name != "vgg16" or weights is None:
        return _built(name, weights, weights)
    try:
        with torch_file(Path(weights)) as plain:
            return _built(name, str(plain), weights)
    except Unreadable as error:
        raise UserError(f"{weights} holds no plain weights of {name}: {quoted(error)}") from error


def _built(name: str, weights: str | None, file: str | None) -> nn.Module:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    kind = FEATURE_EXTRACTORS_REGISTRY[name]
    layer = kind.get_default_feature_layer_for_metric("fid")
    try:
        with warnings.catch_warnings():
            # How torch.hub and TorchScript archives are read is not the user's to change.
            warnings.simplefilter("ignore")
            network: nn.Module = kind(name, [layer], feature_extractor_weights_path=weights, verbose=False)
    except OSError as error:
        raise UserError(
            f"the weights of {name} cannot be fetched ({quoted(error)}): bring the file and name it by weights"
        ) from error
    except Exception as error:
        raise UserError(f"{file or 'what was fetched'} does not hold the weights of {name}: {quoted(error)}") from error
    return network
