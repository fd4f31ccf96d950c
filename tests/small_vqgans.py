"""Models of the sizes of `foreign_vqgan`, and whether they compute what a project's does."""

from functools import partial

import torch

from foreign_vqgan import BLOCKS, CODES, DIM, LATENT, Pass
from gen_experiments.images import ImageSpec
from gen_experiments.losses.reconstruction import L1
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.networks.deep_autoencoder import DeepDecoder, DeepEncoder
from gen_experiments.quantizers.gradient import GradientQuantizer


def model(project="taming", quantizer=GradientQuantizer, num_codes=CODES, ema_half_life=None, **options):
    """A model of the sizes of the small VQGANs."""
    sizes = {"multipliers": (1, 2), "blocks": BLOCKS, "latent_channels": LATENT} | options
    torch.manual_seed(0)
    return VQVAE(
        image=ImageSpec(3, 16),
        encoder=partial(DeepEncoder, **sizes),
        decoder=partial(DeepDecoder, **sizes),
        quantizer=quantizer(num_codes, DIM, cosine=project == "llamagen"),
        reconstruction=L1(),
        optimizer=partial(torch.optim.Adam, lr=1e-3),
        ema_half_life=ema_half_life,
    ).eval()


def of_the_project(network, project, held, attends="both"):
    """Whether a model turns pictures into the codes and pictures that the project's does."""
    theirs, x = (
        Pass(project, held, attends),
        torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1,
    )
    with torch.no_grad():
        codes = theirs.codes(x)
        close = torch.allclose(network.reconstruct(x), theirs.decoded(codes), rtol=1e-5, atol=1e-5)
        return bool(close and torch.equal(network.encode(x), codes))
