import copy
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gen_experiments.errors import UserError
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.losses.reconstruction import L1, MSE
from shared_fixtures import BACKBONE_FILES as FILES


@pytest.fixture(scope="module")
def cache(backbone_weights):
    """Torch's cache, where these files lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(backbone_weights.parent.parent))
        yield backbone_weights


@pytest.fixture(scope="module")
def alex(cache):
    return Perceptual(net="alex", weights=str(cache / FILES["alex"]))


def _pictures(count=2, channels=3, size=64, seed=0):
    return torch.rand(2, count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("net", ["alex", pytest.param("vgg", marks=pytest.mark.long)])
def test_it_is_the_distance_of_torchmetrics(cache, net):
    from torchmetrics.functional.image.lpips import learned_perceptual_image_patch_similarity

    reconstruction, images = _pictures()
    theirs = learned_perceptual_image_patch_similarity(reconstruction, images, net_type=net, reduction="none")
    ours = Perceptual(net=net, weights=str(cache / FILES[net])).lpips(reconstruction, images)
    assert theirs.min() > 0
    torch.testing.assert_close(ours, theirs)


def test_what_is_in_the_cache_is_used(cache, alex):
    reconstruction, images = _pictures()
    assert torch.equal(Perceptual(net="alex").lpips(reconstruction, images), alex.lpips(reconstruction, images))


def test_the_distance_of_pixels_is_added(cache, alex):
    reconstruction, images = _pictures()
    distance = alex.lpips(reconstruction, images).mean()
    torch.testing.assert_close(alex(reconstruction, images), distance + (reconstruction - images).abs().mean())
    loss = Perceptual(MSE(weight=3.0), weight=0.5, net="alex")
    expected = 0.5 * distance + 3 * (reconstruction - images).square().mean()
    torch.testing.assert_close(loss(reconstruction, images), expected)


def test_equal_images_are_at_distance_zero_and_gradients_reach_the_others(alex):
    reconstruction, images = _pictures()
    same = images.clone().requires_grad_()
    loss = Perceptual(L1(weight=0.0), net="alex", weights=alex.weights)
    value = loss(same, images)
    value.backward()
    assert value.item() == 0
    assert not same.grad.any()
    reconstruction.requires_grad_()
    loss(reconstruction, images).backward()
    assert reconstruction.grad.isfinite().all()
    assert all(each.any() for each in reconstruction.grad)


@pytest.mark.parametrize("size", [8, 28, 63])
def test_small_images_are_enlarged_to_64_pixels(alex, size):
    reconstruction, images = _pictures(size=size)
    enlarged = (nn.functional.interpolate(x, (64, 64), mode="bilinear") for x in (reconstruction, images))
    torch.testing.assert_close(alex.lpips(reconstruction, images), alex.lpips(*enlarged))


def test_grey_images_are_repeated(alex):
    reconstruction, images = _pictures(channels=1)
    colours = (x.repeat(1, 3, 1, 1) for x in (reconstruction, images))
    assert torch.equal(alex.lpips(reconstruction, images), alex.lpips(*colours))


def test_reconstructions_may_leave_the_range(alex):
    reconstruction, images = _pictures()
    assert alex(3 * reconstruction, images).isfinite()


def test_autocast_does_not_reach_it(alex):
    reconstruction, images = _pictures()
    expected = alex(reconstruction, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(alex(reconstruction, images), expected)
    assert alex(reconstruction.bfloat16(), images).dtype == torch.float32


def test_a_model_that_holds_it_holds_none_of_its_weights(alex):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.reconstruction = Perceptual(net="alex", weights=alex.weights)

    model = Model().train()
    model.reconstruction(*_pictures())
    assert not model.state_dict()
    assert not list(model.parameters())
    assert [name for name, _ in model.named_modules()] == [""]
    for twin in (copy.deepcopy(model.reconstruction), pickle.loads(pickle.dumps(model.reconstruction))):
        assert torch.equal(twin(*_pictures()), model.reconstruction(*_pictures()))


def test_loading_it_moves_no_random_numbers_and_drops_nothing(alex):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    loss = Perceptual(net="alex", weights=alex.weights)
    # The heads are behind dropout, which must be off.
    assert torch.equal(loss(*_pictures()), loss(*_pictures()))
    assert torch.equal(torch.rand(3), expected)


def test_it_is_float32_and_passes_gradients_though_a_validation_in_bfloat16_came_first(alex):
    loss = Perceptual(net="alex", weights=alex.weights)
    reconstruction, images = _pictures()
    expected = alex(reconstruction, images)
    try:
        torch.set_default_dtype(torch.bfloat16)  # as in a step under bf16-true
        with torch.inference_mode():
            torch.testing.assert_close(loss(reconstruction, images), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    reconstruction.requires_grad_()
    loss(reconstruction, images).backward()
    assert reconstruction.grad.any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_follows_the_images_to_their_device(alex):
    loss = Perceptual(net="alex", weights=alex.weights)
    reconstruction, images = _pictures()
    here = loss(reconstruction, images)
    with torch.inference_mode():
        there = loss(reconstruction.cuda(), images.cuda())
    reconstruction = reconstruction.cuda().requires_grad_()
    loss(reconstruction, images.cuda()).backward()
    assert reconstruction.grad.any()
    torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-4)


def test_the_backbone_may_be_safetensors(alex, cache, tmp_path):
    held = torch.load(cache / FILES["alex"], weights_only=True)
    save_file({name: weight.contiguous() for name, weight in held.items()}, tmp_path / "alex.safetensors")
    again = Perceptual(net="alex", weights=str(tmp_path / "alex.safetensors"))
    assert torch.equal(again(*_pictures()), alex(*_pictures()))


def test_what_is_no_backbone_is_refused_at_the_first_use(cache, tmp_path):
    torn = tmp_path / "torn.pth"
    torn.write_bytes(b"no weights")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    for path in (torn, tmp_path / "tensor.pth", cache / FILES["vgg"]):
        loss = Perceptual(net="alex", weights=str(path))
        with pytest.raises(UserError, match=f"{path} does not hold torchvision's alexnet weights"):
            loss(*_pictures())
    with pytest.raises(UserError, match=r"no alexnet weights at \S*nowhere.pth: .* --model.reconstruction.weights"):
        Perceptual(net="alex", weights=str(tmp_path / "nowhere.pth"))(*_pictures())


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_without_file_and_network_the_option_is_named(tmp_path, monkeypatch, net):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, "http://127.0.0.1:9")
    for scheme in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(scheme, raising=False)
    with pytest.raises(
        UserError, match=rf"fetched from https://\S*{FILES[net]}: .* --model.reconstruction.weights=FILE"
    ):
        Perceptual(net=net)(*_pictures())
