"""What torch's compiler makes of networks computes what they compute."""

import os
import subprocess

import pytest
import torch
from torch.utils.data import DataLoader

from conftest import SHORT, SMALL
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.losses.adversarial import NonSaturating
from gen_experiments.losses.reconstruction import L1
from gen_experiments.models.pix2pix import Pix2Pix
from gen_experiments.networks.patch import PatchDiscriminator
from gen_experiments.networks.resnet_translator import ResNetTranslator
from processes import MODULE
from small_models import quiet_trainer
from small_translators import Watch


def trained(folder, precision, compiled):
    """The changes of a generator's weights by three steps."""
    torch.manual_seed(0)
    images, sources = torch.rand(2, 8, 3, 64, 64) * 2 - 1
    model = Pix2Pix(
        image=ImageSpec(3, 64),
        generator=lambda image: ResNetTranslator(image, width=16, residual_blocks=4, resize_convolution=True),
        discriminator=lambda image: PatchDiscriminator(image, width=8, layers=2),
        loss=NonSaturating(),
        reconstruction=L1(100.0),
        optimizer_g=lambda parameters: torch.optim.SGD(parameters, lr=1e-3),
        optimizer_d=lambda parameters: torch.optim.SGD(parameters, lr=1e-3),
        compile=compiled,
    )
    before = torch.nn.utils.parameters_to_vector(model.generators[0].parameters()).detach().clone()
    trainer = quiet_trainer(Watch(), 3, folder, precision=precision)
    trainer.fit(model, DataLoader([Batch(images, None, source_images=sources)] * 3, batch_size=None))
    return torch.nn.utils.parameters_to_vector(model.generators[0].parameters()).detach() - before


@pytest.mark.long
def test_residual_networks_learn_the_same_in_bfloat16(tmp_path):
    """They become NaN on CPUs with AMX if PyTorch 2.14's compiler chooses the layout of convolutions."""
    exact = trained(tmp_path, "32-true", False)
    compiled = trained(tmp_path, "bf16-mixed", True)
    assert (compiled - exact).norm() < 0.2 * exact.norm()


@pytest.mark.long
def test_without_a_compiler_one_is_asked_for(tmp_path):
    # A process of its own, as torch reads CXX where it is imported.
    command = [*MODULE, "fit", *SMALL["vqvae"], *SHORT, "--trainer.logger=MetricsCSV", "--model.compile=true"]
    environment = os.environ | {"CXX": "/nowhere/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    asked = "compiled networks need a C++ compiler: install one, such as g++, or leave out model.compile"
    assert asked in done.stderr.splitlines()[-1]
