"""Features of a classifier that was trained on the user's own images."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gen_experiments.checkpoints.arguments import class_path
from gen_experiments.checkpoints.exports import read_contents
from gen_experiments.checkpoints.paths import file_of, named_checkpoint, not_there
from gen_experiments.errors import UserError
from gen_experiments.images import ImageSpec
from gen_experiments.metrics.classifier_net import ClassifierNet
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.storage import file_sha256
from gen_experiments.untrusted.file_kinds import what_it_is
from gen_experiments.untrusted.unreadable import Unreadable

MODEL = "gen_experiments.models.classifier.Classifier"
NETWORK = class_path(ClassifierNet)


class TrainedFeatures(FeatureExtractor):
    """The features of a classifier that `fit --config configs/extractor.yaml` has trained.

    Its distances are comparable only under the same checkpoint, whose hash is part of every record.

    Args:
        weights: a checkpoint of a `Classifier`, its run (the best checkpoint) or its export.

    Raises:
        UserError: there is no such file, or it holds no such classifier.
    """

    def __init__(self, weights: str) -> None:
        super().__init__()
        path = named_checkpoint(weights)
        self.network = _network(path)
        self.num_features = self.network.dim
        image = self.network.image
        self.takes = (1, 3) if image.channels in (1, 3) else (image.channels,)
        self.resize = f"bilinear, antialiased, to {image.height}x{image.width}"
        self.weights_hash = file_sha256(file_of(path))
        self.eval().requires_grad_(False)

    def extract(self, images: Tensor) -> Tensor:
        """Maps (N, 1 or 3, H, W) uint8 images -> (N, num_features) float32."""
        return self.network.features(self.network.prepare(images))

    @torch.no_grad()
    def classify(self, features: Tensor) -> Tensor:
        """Maps (N, num_features) features -> (N, classes) logits."""
        logits: Tensor = self.network.head(features)
        return logits


def _network(path: Path) -> ClassifierNet:
    if not file_of(path).is_file():
        raise UserError(f"there is no checkpoint of a classifier {not_there(path)}; configs/extractor.yaml trains one")
    try:
        contents = read_contents(path)
        described = contents["hyper_parameters"]
        if described["_class_path"] != MODEL or described["network"]["class_path"] != NETWORK:
            raise UserError(f"{path} holds no classifier of this package: train one by configs/extractor.yaml")
        image: dict[str, Any] = dict(described["image"])
        if image.get("class_names") is not None:
            image["class_names"] = tuple(image["class_names"])
        network = ClassifierNet(ImageSpec(**image), **described["network"].get("init_args", {}))
        prefix, weights = "network.", contents["state_dict"]
        state = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        network.load_state_dict(state)
    except Unreadable as error:
        raise UserError(f"{path} is no checkpoint of a classifier: {what_it_is(path, error)}") from error
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path} is no whole checkpoint of a classifier: train one by configs/extractor.yaml"
        ) from error
    return network
