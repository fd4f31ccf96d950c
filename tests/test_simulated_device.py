"""Training and commands where tensors must not be on the CPU: on a simulated GPU, with the numbers of the CPU."""

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import SHORT, SMALL, SMALL_PRIOR
from recipes import FEW, RECIPES, small
from simulated_device import DEVICE, Generator, simulated_device

# At least one recipe of each model, prior, penalty, quantizer with levels, and projected discriminator.
TRIED = {
    *("r3gan", "wgan_gp", "mnist_cgan_projection", "emoji64_projected"),
    *("vqvae2_cifar10", "residual_2x512", "lfq_1024", "rotation_1024", "vqgan_mnist"),
    *("masked_f16", "autoregressive_f16"),
    *("restoration_cifar10", "cyclegan_digits", "emoji_cut", "munit"),
}


def test_it_computes_what_the_cpu_does_and_refuses_what_a_gpu_does():
    weight = torch.randn(3, 4, requires_grad=True)
    (expected,) = torch.autograd.grad(torch.tanh(weight @ weight.T).sum(), weight)
    with simulated_device():
        on_device = weight.detach().to(DEVICE).requires_grad_()
        assert on_device.device == DEVICE
        torch.tanh(on_device @ on_device.T).sum().backward()
        assert torch.equal(on_device.grad.cpu(), expected)
        with pytest.raises(RuntimeError, match="same device"):
            on_device + torch.ones(4)
        with pytest.raises(RuntimeError, match="generator"):
            torch.randn(3, device=DEVICE, generator=Generator("cpu"))
        with pytest.raises(TypeError, match="numpy"):
            on_device.numpy()
        assert torch.equal((2 * on_device).cpu(), 2 * weight)


@pytest.mark.parametrize("name", ["vqvae", "gan", "prior"])
def test_a_run_ends_with_the_weights_that_it_has_on_the_cpu(experiment, tmp_path, checkpoints, name):
    prior = [*SMALL_PRIOR, f"--model.vqvae={checkpoints['vqvae']}"]
    # The second derivative of batch norm is not simulated.
    options = {"vqvae": SMALL["vqvae"], "gan": [*SMALL["gan"], "--model.penalties=null"], "prior": prior}[name]
    command = ["fit", *options, *SHORT, "--trainer.max_steps=2"]
    assert experiment(*command, "--run.name=cpu") == 0
    with simulated_device():
        assert experiment(*command, "--run.name=device") == 0
    runs = [tmp_path / "runs" / place / "version_0" for place in ("cpu", "device")]
    cpu, device = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"] for run in runs)
    assert cpu.keys() == device.keys()
    for key in cpu:  # attention has a kernel of its own for the CPU
        torch.testing.assert_close(device[key], cpu[key], rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.long
@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem in TRIED], ids=lambda path: path.stem)
def test_a_recipe_trains(experiment, checkpoints, backbone_weights, path):
    options = small(path, FEW, checkpoints, backbone_weights)
    with simulated_device():
        assert experiment("fit", *options) == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gan", ("sample", "--num=4", "--out=out.png")),
        ("gan", ("interpolate", "--out=out.png")),
        ("gan", ("explore", "--out=out.png")),
        ("gan", ("project", "--images={pictures}", "--steps=2", "--out=out.png")),
        ("gan", ("memorisation", "--num=20", "--out=out.png")),
        ("prior", ("sample", "--num=4", "--out=out.png")),
        ("prior", ("inpaint", "--images={pictures}", "--mask={pictures}/0.png", "--proposals=2", "--out=out.png")),
        ("vqvae", ("reconstruct", "--images={pictures}", "--out=out.png")),
        ("vqvae", ("encode", "--images={pictures}", "--out=out.npz")),
        ("vqvae", ("evaluate", "--json=out.json")),
        ("gan", ("evaluate", "--num=60", "--json=out.json")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_command_computes_there(experiment, tmp_path, checkpoints, model, words):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        pixels = np.zeros((32, 32), np.uint8)
        pixels[:, 16 * (number % 2) :] = 255
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    command, *options = (word.format(pictures=pictures) for word in words)
    with simulated_device():
        assert experiment(command, checkpoints[model], *options, f"--device={DEVICE}") == 0
    assert list(tmp_path.glob("out.*"))
