"""Fixtures of tests in several folders; `conftest` hands them to all."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

BACKBONE_FILES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The test's own folder of caches, which does not exist yet."""
    monkeypatch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photograph(tmp_path):
    """A PNG file of 427 × 640 pixels."""
    from sklearn.datasets import load_sample_image

    Image.fromarray(load_sample_image("china.jpg")).save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


@pytest.fixture
def ramps(tmp_path):
    """A folder of 12 pictures of 8 × 24, the value of a pixel ten times its column."""
    (tmp_path / "ramps").mkdir()
    ramp = np.tile(10 * np.arange(24, dtype=np.uint8), (8, 1))
    for number in range(12):
        Image.fromarray(ramp).save(tmp_path / "ramps" / f"{number:02d}.png")
    return tmp_path / "ramps"


@pytest.fixture(scope="session")
def backbone_weights(tmp_path_factory):
    """A folder like torch's cache: torchvision's files with random weights, as the real ones need a network."""
    import torchvision

    folder = tmp_path_factory.mktemp("torch") / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for net, build in (("alex", torchvision.models.alexnet), ("vgg", torchvision.models.vgg16)):
        with torch.device("meta"):
            shapes = build().state_dict()
        source = torch.Generator().manual_seed(0)
        # The classifier, which nothing reads, takes no space in a file as one number that is repeated.
        state = {
            name: torch.randn(weight.shape, generator=source) * (2 / max(weight[0].numel(), 1)) ** 0.5
            if name.startswith("features")
            else torch.zeros(()).expand(weight.shape)
            for name, weight in shapes.items()
        }
        torch.save(state, folder / BACKBONE_FILES[net])
    return folder


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory):
    """A file of torch-fidelity's format with random weights: the real ones need a network.

    He's initialisation: features of the default one hardly differ from image to image.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=str(path))
    source = torch.Generator().manual_seed(0)
    state = network.state_dict()
    for weight in state.values():
        if weight.ndim == 4:
            weight.normal_(0, math.sqrt(2 / weight[0].numel()), generator=source)
    torch.save(state, path)
    return path
