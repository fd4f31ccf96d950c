"""torch-fidelity's other networks, with random weights in the format of the real ones."""

import hashlib

import numpy as np
import pytest
import torch
import torch_fidelity
from torch import nn

from gen_experiments.errors import UserError
from gen_experiments.metrics.fidelity import FidelityFeatures
from gen_experiments.metrics.frechet import Moments, frechet_distance
from pictures_on_disk import write_pictures


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A TorchScript archive of a CLIP of 16 features and one layer, of 32 pixels in patches of 8."""
    from torch_fidelity.feature_extractor_clip import CLIPVisual

    class Node(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    source, root = torch.Generator().manual_seed(0), Node()
    state = CLIPVisual(16, 32, 1, 64, 8).state_dict() | {"text_projection": torch.zeros(8, 16)}
    for name, value in state.items():
        *above, last = name.split(".")
        node = root
        for step in above:
            if not hasattr(node, step):
                node.add_module(step, Node())
            node = getattr(node, step)
        node.register_parameter(last, nn.Parameter(torch.randn(value.shape, generator=source) * 0.1))
    path = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.jit.script(root).save(path)
    return path


def test_clip_gives_torch_fidelitys_fid(clip, tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        write_pictures(tmp_path / name, count=24, seed=seed, size=(16, 16))
    theirs = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "a"),
        input2=str(tmp_path / "b"),
        fid=True,
        feature_extractor="clip-vit-b-32",
        feature_extractor_weights_path=str(clip),
        cuda=False,
        verbose=False,
        save_cpu_ram=True,
    )
    from gen_experiments.data.picture_decoding import decode_one

    network = FidelityFeatures("clip-vit-b-32", str(clip), sha256(clip))
    assert network.num_features == 16
    moments = []
    for name in ("a", "b"):
        pictures = np.stack([decode_one(file, None, 3) for file in sorted((tmp_path / name).rglob("*.png"))])
        moments.append(Moments.of_features(network(torch.from_numpy(pictures))))
    ours = float(frechet_distance(*moments))
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert network.protocol()["extractor"] == "clip-vit-b-32"
    assert network.fingerprint.startswith("clip-vit-b-32-")


def test_grey_images_are_repeated(clip):
    network = FidelityFeatures("clip-vit-b-32", str(clip), sha256(clip))
    grey = torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8)
    assert torch.equal(network(grey), network(grey.repeat(1, 3, 1, 1)))


def test_an_archive_that_can_hold_code_is_read_only_if_it_is_the_published_one(clip):
    with pytest.raises(UserError, match=r"another file than the weights of clip-vit-b-32: its SHA-256 is"):
        FidelityFeatures("clip-vit-b-32", str(clip))


@pytest.mark.long
def test_vgg16_gives_torch_fidelitys_features(tmp_path):
    import torchvision
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    torch.manual_seed(0)
    path = tmp_path / "vgg16.pth"
    torch.save(torchvision.models.vgg16().state_dict(), path)
    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=str(path))(images)[0]
    network = FidelityFeatures("vgg16", str(path))
    assert network.num_features == 4096
    torch.testing.assert_close(network(images), theirs)


def test_weights_that_cannot_be_used_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError, match="no weights of vgg16 at nowhere"):
        FidelityFeatures("vgg16", "nowhere")
    pickled = tmp_path / "code.pth"
    torch.save({"a": print}, pickled)
    with pytest.raises(UserError, match="holds no plain weights"):
        FidelityFeatures("vgg16", str(pickled))
    torch.save({"a": torch.zeros(1)}, pickled)
    with pytest.raises(UserError, match="does not hold the weights of vgg16"):
        FidelityFeatures("vgg16", str(pickled))
    with pytest.raises(UserError, match=r"by torch\.hub only"):
        FidelityFeatures("dinov2-vit-s-14", str(pickled))


def test_dinov2_is_found_in_the_cache_of_torch_hub(tmp_path, monkeypatch):
    """A repository in the place and of the form of the real one, whose network is small."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    repository = tmp_path / "hub" / "facebookresearch_dinov2_main"
    repository.mkdir(parents=True)
    (repository / "hubconf.py").write_text(
        "import torch\n"
        "def dinov2_vits14(pretrained=True):\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 5))\n"
    )
    (tmp_path / "hub" / "trusted_list").write_text("facebookresearch_dinov2\n")
    network = FidelityFeatures("dinov2-vit-s-14")
    assert network.num_features == 5
    white = network(torch.full((1, 3, 20, 20), 255, dtype=torch.uint8))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network.network.model[2](((1 - mean) / deviation).repeat_interleave(4)[None])
    torch.testing.assert_close(white, expected, rtol=0, atol=1e-3)  # the resizing rounds
