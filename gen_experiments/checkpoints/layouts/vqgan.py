"""The layout of taming-transformers' VQGAN."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from gen_experiments.checkpoints.layouts.deep import DeepLayout


class TamingVQGAN(DeepLayout):
    """`VQModel` of github.com/CompVis/taming-transformers, as in `vqgan_imagenet_f16_16384/checkpoints/last.ckpt`.

    From taming/models/vqgan.py, taming/modules/diffusionmodules/model.py and taming/modules/vqvae/quantize.py at commit
    3ba01b241669f5ade541ce990f7650a3b8f65318; latent-diffusion's first stages with a codebook (vq-f8) have it too.
    Images are in [-1, 1], codes are not normalised, group norm has 32 groups and ε 1e-6. The discriminator normalises
    by the batch, as no `PatchDiscriminator` does, and is not read.
    """

    source = "a VQGAN of taming-transformers"
    levels: ClassVar[tuple[str, str]] = ("encoder.down.{}", "decoder.up.{}")
    block: ClassVar[str] = "block"
    middle: ClassVar[tuple[str, str, str]] = ("mid.block_1", "mid.attn_1", "mid.block_2")
    top_first: ClassVar[bool] = True
    cosine: ClassVar[bool] = False

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Returns whether there is the first block of its encoder."""
        return "encoder.down.0.block.0.norm1.weight" in state and "encoder.mid.block_1.norm1.weight" in state
