"""Published checkpoints of other projects: under which names their weights stand, and under which they do here.

A file of weights is recognised by its names. `base` is the contract; each other file is one project's layout: `vqgan`
(taming-transformers, latent-diffusion), `diffusers` and `llamagen`, on `deep`; `pix2pix`
(pytorch-CycleGAN-and-pix2pix); `munit`; `drunet`, which is recognised only to be refused. All were written from the
projects' code and are tested on weights drawn at random in their format; the published files were not tried.
"""

from collections.abc import Mapping

from torch import Tensor

from gen_experiments.checkpoints.layouts.base import Layout
from gen_experiments.checkpoints.layouts.diffusers import DiffusersVQModel
from gen_experiments.checkpoints.layouts.drunet import DPIRDRUNet
from gen_experiments.checkpoints.layouts.llamagen import LlamaGen
from gen_experiments.checkpoints.layouts.munit import MUNITGenerators
from gen_experiments.checkpoints.layouts.pix2pix import Pix2PixNetworks
from gen_experiments.checkpoints.layouts.vqgan import TamingVQGAN

LAYOUTS: tuple[Layout, ...] = (
    TamingVQGAN(),
    DiffusersVQModel(),
    LlamaGen(),
    MUNITGenerators(),
    Pix2PixNetworks(),
    DPIRDRUNet(),
)


def layout_of(state: Mapping[str, Tensor]) -> Layout | None:
    """Returns the layout that weights have, by their names; None if it is no known one."""
    return next((layout for layout in LAYOUTS if layout.recognises(state)), None)
