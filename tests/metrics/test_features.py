import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gen_experiments.data.sources import Digits
from gen_experiments.errors import UserError
from gen_experiments.metrics.features import DIGITS_WEIGHTS, DigitsFeatures, InceptionFeatures


@pytest.fixture(scope="module")
def digits():
    return DigitsFeatures()


def test_the_bundled_weights_are_small():
    assert DIGITS_WEIGHTS.stat().st_size <= 2**20


def test_the_weights_say_what_made_them():
    from safetensors import safe_open

    with safe_open(DIGITS_WEIGHTS, "pt") as file:
        metadata = file.metadata()
    assert float(metadata["test_accuracy"]) >= 0.99
    assert "train_digits.py" in metadata["recipe"]


def test_the_digits_of_another_source_are_recognised(digits):
    decoded = Digits().decode("train", 32)
    found = digits.classify(digits(torch.from_numpy(decoded.images))).argmax(1).numpy()
    assert np.mean(found == decoded.labels) > 0.85


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 40, 40), (1, 1, 32, 32)])
def test_images_of_any_size_and_colour_have_64_features(digits, shape):
    features = digits(torch.zeros(shape, dtype=torch.uint8))
    assert features.shape == (shape[0], 64)
    assert features.dtype == torch.float32
    assert not features.requires_grad


def test_grey_in_three_channels_has_the_features_of_grey(digits):
    images = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(digits(images.expand(-1, 3, -1, -1)), digits(images), atol=1e-4, rtol=1e-4)


def test_autocast_and_training_mode_change_nothing(digits):
    images = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8)
    expected = digits(images)
    digits.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(digits(images), expected)


def test_inception_reads_a_local_file(inception_weights):
    extractor = InceptionFeatures(str(inception_weights))
    grey = torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8)
    features = extractor(grey)
    assert features.shape == (1, 2048)
    assert features.max() > 1e-2
    assert torch.equal(features, extractor(grey.expand(-1, 3, -1, -1)))
    assert extractor.protocol()["extractor"] == "InceptionFeatures"
    assert extractor.fingerprint != DigitsFeatures().fingerprint


def test_inceptions_weights_may_be_safetensors(inception_weights, tmp_path):
    save_file(torch.load(inception_weights, weights_only=True), tmp_path / "inception.safetensors")
    images = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    features = InceptionFeatures(str(tmp_path / "inception.safetensors"))(images)
    assert torch.equal(features, InceptionFeatures(str(inception_weights))(images))


def test_inceptions_clean_resize_is_pillows(inception_weights):
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (2, 3, 40, 52)).astype(np.uint8)
    by_pillow = np.stack(
        [
            [
                np.asarray(Image.fromarray(plane.astype(np.float32)).resize((299, 299), Image.BICUBIC)).clip(0, 255)
                for plane in image
            ]
            for image in images
        ]
    )
    network = InceptionFeatures(str(inception_weights)).network
    values = (torch.from_numpy(by_pillow) - 128) / 128
    for name, layer in network.named_children():
        values = layer(values) if name != "fc" else values
    clean = InceptionFeatures(str(inception_weights), resizing="clean")
    found = clean(torch.from_numpy(images))
    torch.testing.assert_close(found, values.flatten(1), rtol=1e-3, atol=1e-3 * float(values.std()))
    assert clean.fingerprint != InceptionFeatures(str(inception_weights)).fingerprint


def test_images_of_inceptions_size_are_not_resized_either_way(inception_weights):
    images = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first, second = (InceptionFeatures(str(inception_weights), resizing=way)(images) for way in ("tensorflow", "clean"))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_inception_without_a_file_says_which(tmp_path):
    with pytest.raises(UserError, match=r"--evaluation\.extractor\.weights"):
        InceptionFeatures(str(tmp_path / "nowhere.pth"))


def test_inception_offline_says_what_to_bring(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        "torch_fidelity.feature_extractor_inceptionv3.URL_INCEPTION_V3", "http://127.0.0.1:9/inception.pth"
    )
    with pytest.raises(UserError, match=r"inception\.pth.*--evaluation\.extractor\.weights=FILE"):
        InceptionFeatures()


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"a": Bomb()}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="does not hold"):
        InceptionFeatures(str(tmp_path / "weights.pth"))
    assert not (tmp_path / "exploded").exists()
