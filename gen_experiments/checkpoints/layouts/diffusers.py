"""The layout of Hugging Face diffusers' VQGANs."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from gen_experiments.checkpoints.layouts.base import Converted, Unconvertible
from gen_experiments.checkpoints.layouts.deep import GROUPS, DeepLayout
from gen_experiments.errors import quoted

# What early versions called the parts of attention, in files that are still published.
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
OLD = re.compile(rf"(\.attentions\.\d+\.)({'|'.join(OLD_NAMES)})(?=\.)")
# What the sizes of the weights do not tell, and diffusers' values where its config.json does not name them.
SETTINGS: dict[str, tuple[Any, ...]] = {
    "_class_name": ("VQModel",),
    "act_fn": ("silu", "swish"),
    "norm_num_groups": (GROUPS,),
    "norm_type": ("group",),
}


class DiffusersVQModel(DeepLayout):
    """`VQModel` of github.com/huggingface/diffusers: `diffusion_pytorch_model.safetensors` or `.bin`, `config.json`.

    From models/autoencoders/vq_model.py, models/autoencoders/vae.py, models/unets/unet_2d_blocks.py and
    models/attention_processor.py of version 0.42.1. Images are in [-1, 1], codes are not normalised, group norm has ε
    1e-6; attention is linear layers. `scaling_factor` belongs to a diffusion model over the latents, not to the codes.
    """

    source = "a VQModel of diffusers"
    settings: ClassVar[str | None] = "config.json"
    levels: ClassVar[tuple[str, str]] = ("encoder.down_blocks.{}", "decoder.up_blocks.{}")
    block: ClassVar[str] = "resnets"
    shortcut: ClassVar[str] = "conv_shortcut"
    attention: ClassVar[str] = "attentions"
    attention_parts: ClassVar[tuple[str, str, str, str, str]] = ("group_norm", "to_q", "to_k", "to_v", "to_out.0")
    samplings: ClassVar[tuple[str, str]] = ("downsamplers.0.conv", "upsamplers.0.conv")
    middle: ClassVar[tuple[str, str, str]] = ("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1")
    last_norm: ClassVar[str] = "conv_norm_out"
    top_first: ClassVar[bool] = False
    cosine: ClassVar[bool] = False

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Returns whether there is the first block of an encoder, as KL autoencoders have it too."""
        return (
            "encoder.down_blocks.0.resnets.0.conv1.weight" in state
            and "encoder.mid_block.resnets.0.conv1.weight" in state
        )

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuses settings under which the same weights compute something else."""
        for name, expressible in SETTINGS.items():
            value = settings.get(name, expressible[0])
            if value not in expressible:
                wanted = " or ".join(map(str, expressible))
                raise Unconvertible(
                    f"its config.json has {name}: {quoted(value)}, and the networks here compute {wanted}"
                )

    def convert(self, state: Mapping[str, Tensor]) -> Converted:
        """Returns the weights as those of a `VQVAE`, the linear layers of attention as 1×1 convolutions."""
        renamed = {
            OLD.sub(lambda found: found[1] + OLD_NAMES[found[2]], name): weight for name, weight in state.items()
        }
        return super().convert(
            {
                name: weight[:, :, None, None] if ".attentions." in name and weight.ndim == 2 else weight
                for name, weight in renamed.items()
            }
        )
