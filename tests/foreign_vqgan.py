"""VQGANs in the formats of taming-transformers, LlamaGen and diffusers, small but for their width, and their pass.

Written from their code (taming/models/vqgan.py, taming/modules/diffusionmodules/model.py, taming/modules/vqvae/
quantize.py; LlamaGen's tokenizer/tokenizer_image/vq_model.py; diffusers' models/autoencoders/vq_model.py and vae.py,
models/unets/unet_2d_blocks.py): names, shapes and the pass, by torch's functions alone.
"""

import json
import pickle
import sys
import types

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

CODES, DIM, LATENT, WIDTHS, BLOCKS = 24, 5, 6, (128, 256), 1


class Names:
    """What a project calls the parts of its networks, the resolution of an encoder or decoder by its number from 0.

    Attention stands at the smaller resolution and in the middle ("both"), in the middle alone or nowhere.
    """

    def __init__(self, project, attends="both"):
        taming, diffusers = project == "taming", project == "diffusers"
        self.levels_attend, self.middle_attends = attends == "both", attends != "none"
        self.linear = diffusers
        self.shortcut, self.attn, self.norm_out = "nin_shortcut", "attn", "norm_out"
        self.parts = ("norm", "q", "k", "v", "proj_out")
        self.sampling = {"encoder": "downsample", "decoder": "upsample"}
        self.mid = "mid"
        if diffusers:
            self.block, self.down, self.up, self.mid = "resnets", "down_blocks", "up_blocks", "mid_block"
            self.first, self.attention, self.last = "resnets.0", "attentions.0", "resnets.1"
            self.shortcut, self.attn, self.norm_out = "conv_shortcut", "attentions", "conv_norm_out"
            self.parts = ("group_norm", "to_q", "to_k", "to_v", "to_out.0")
            self.sampling = {"encoder": "downsamplers.0", "decoder": "upsamplers.0"}
        else:
            self.block = "block" if taming else "res"
            self.first, self.attention, self.last = ("block_1", "attn_1", "block_2") if taming else "012"
            self.down, self.up = ("down", "up") if taming else ("conv_blocks", "conv_blocks")
        self.reversed = not taming
        self.normalised = project == "llamagen"

    def level(self, half, level):
        if half == "encoder":
            return f"encoder.{self.down}.{level}"
        return f"decoder.{self.up}.{len(WIDTHS) - 1 - level if self.reversed else level}"


def shapes(names):
    """Yields the shape of each weight by name."""

    def conv(name, after, before, kernel):
        return {f"{name}.weight": (after, before, kernel, kernel), f"{name}.bias": (after,)}

    def norm(name, channels):
        return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}

    def block(name, before, after):
        found = norm(f"{name}.norm1", before) | conv(f"{name}.conv1", after, before, 3)
        found |= norm(f"{name}.norm2", after) | conv(f"{name}.conv2", after, after, 3)
        return found | (conv(f"{name}.{names.shortcut}", after, before, 1) if before != after else {})

    def attention(name, channels):
        first, *others = names.parts
        found = norm(f"{name}.{first}", channels)
        for part in others:
            found |= conv(f"{name}.{part}", channels, channels, 1)
            if names.linear:
                found[f"{name}.{part}.weight"] = (channels, channels)
        return found

    found = {"quantize.embedding.weight": (CODES, DIM)}
    found |= conv("quant_conv", DIM, LATENT, 1) | conv("post_quant_conv", LATENT, DIM, 1)
    for half, blocks in (("encoder", BLOCKS), ("decoder", BLOCKS + 1)):
        order = (0, 1) if half == "encoder" else (1, 0)
        before = WIDTHS[order[0]]
        found |= conv(f"{half}.conv_in", before, 3 if half == "encoder" else LATENT, 3)
        for level in order:
            for number in range(blocks):
                found |= block(f"{names.level(half, level)}.{names.block}.{number}", before, WIDTHS[level])
                before = WIDTHS[level]
                if level == 1 and names.levels_attend:
                    found |= attention(f"{names.level(half, level)}.{names.attn}.{number}", before)
            if level == order[0]:
                found |= conv(f"{names.level(half, level)}.{names.sampling[half]}.conv", before, before, 3)
        for name in (names.first, names.last):
            found |= block(f"{half}.{names.mid}.{name}", WIDTHS[1], WIDTHS[1])
        if names.middle_attends:
            found |= attention(f"{half}.{names.mid}.{names.attention}", WIDTHS[1])
        found |= norm(f"{half}.{names.norm_out}", before) | conv(
            f"{half}.conv_out", LATENT if half == "encoder" else 3, before, 3
        )
    return found


def weights(project, seed=0, attends="both"):
    """Weights drawn at the scale of their fan-in; factors of norms about one."""
    source = torch.Generator().manual_seed(seed)
    held = {}
    for name, shape in shapes(Names(project, attends)).items():
        drawn = torch.randn(shape, generator=source)
        fan_in = drawn[0].numel() if len(shape) > 1 else 25
        factor = "norm" in name and name.endswith("weight")
        held[name] = drawn * fan_in**-0.5 + float(factor)
    return held


def published(held, path):
    """Writes taming-transformers' checkpoint of Lightning 1.0, which names a class of Lightning that is not here."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    packages = {name: types.ModuleType(name) for name in ("pytorch_lightning", "pytorch_lightning.callbacks")}
    sys.modules |= packages | {module.__name__: module}
    try:
        others = {"loss.discriminator.main.0.weight": torch.zeros(8, 3, 4, 4), "loss.logvar": torch.zeros(1)}
        contents = {
            "epoch": 3,
            "global_step": 7,
            "pytorch-lightning_version": "1.0.8",
            "state_dict": held | others,
            "callbacks": {module.ModelCheckpoint: {"best_model_score": torch.tensor(0.1), "best_model_path": "a.ckpt"}},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3, 3)}}, "param_groups": [{"lr": 1e-3}]}],
            "lr_schedulers": [],
        }
        torch.save(contents, path)
    finally:
        for name in [*packages, module.__name__]:
            del sys.modules[name]
    try:
        torch.load(path, weights_only=True)
    except pickle.UnpicklingError:
        return
    raise AssertionError("this file should need Lightning")


def diffusers_folder(held, folder, **changed):
    """Writes the folder of a model of diffusers: weights, and the settings that it would be built with."""
    folder.mkdir()
    attends = {
        kind: f"Attn{kind}" if any(".attentions.0" in name and place in name for name in held) else kind
        for kind, place in (("DownEncoderBlock2D", "encoder.down_blocks"), ("UpDecoderBlock2D", "decoder.up_blocks"))
    }
    settings = {
        "_class_name": "VQModel",
        "_diffusers_version": "0.42.1",
        "act_fn": "silu",
        "block_out_channels": WIDTHS,
        "down_block_types": ["DownEncoderBlock2D", attends["DownEncoderBlock2D"]],
        "in_channels": 3,
        "latent_channels": LATENT,
        "layers_per_block": BLOCKS,
        "mid_block_add_attention": "encoder.mid_block.attentions.0.to_q.weight" in held,
        "norm_num_groups": 32,
        "norm_type": "group",
        "num_vq_embeddings": CODES,
        "out_channels": 3,
        "sample_size": 16,
        "scaling_factor": 0.18215,
        "up_block_types": [attends["UpDecoderBlock2D"], "UpDecoderBlock2D"],
        "vq_embed_dim": DIM,
    }
    save_file(held, folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps(settings | changed))


class Pass:
    """The pass of a project's `VQModel` over its weights."""

    def __init__(self, project, held, attends="both"):
        self.names, self.held = Names(project, attends), held

    def conv(self, x, name, **options):
        weight = self.held[f"{name}.weight"]
        return F.conv2d(
            x, weight.reshape(*weight.shape[:2], *weight.shape[2:] or (1, 1)), self.held[f"{name}.bias"], **options
        )

    def norm(self, x, name):
        """Of 32 groups of channels by the mean and deviation of an image's group."""
        grouped = x.reshape(len(x), 32, -1)
        deviation = (grouped.var(2, correction=0, keepdim=True) + 1e-6).sqrt()
        normal = ((grouped - grouped.mean(2, keepdim=True)) / deviation).reshape(x.shape)
        factor, offset = (self.held[f"{name}.{each}"][:, None, None] for each in ("weight", "bias"))
        return normal * factor + offset

    def swished(self, x, name):
        h = self.norm(x, name)
        return h * torch.sigmoid(h)

    def block(self, x, name):
        h = self.conv(self.swished(x, f"{name}.norm1"), f"{name}.conv1", padding=1)
        h = self.conv(self.swished(h, f"{name}.norm2"), f"{name}.conv2", padding=1)
        shortcut = f"{name}.{self.names.shortcut}"
        return h + (self.conv(x, shortcut) if f"{shortcut}.weight" in self.held else x)

    def attention(self, x, name):
        norm, *inputs, output = self.names.parts
        h = self.norm(x, f"{name}.{norm}")
        q, k, v = (self.conv(h, f"{name}.{part}").flatten(2) for part in inputs)
        shares = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / q.shape[1] ** 0.5, dim=2)
        mixed = torch.einsum("bcj,bij->bci", v, shares)
        return x + self.conv(mixed.reshape(x.shape), f"{name}.{output}")

    def middle(self, h, half):
        h = self.block(h, f"{half}.{self.names.mid}.{self.names.first}")
        if self.names.middle_attends:
            h = self.attention(h, f"{half}.{self.names.mid}.{self.names.attention}")
        return self.block(h, f"{half}.{self.names.mid}.{self.names.last}")

    def level(self, h, half, level):
        prefix, number = self.names.level(half, level), 0
        while f"{prefix}.{self.names.block}.{number}.conv1.weight" in self.held:
            h = self.block(h, f"{prefix}.{self.names.block}.{number}")
            if level == 1 and self.names.levels_attend:
                h = self.attention(h, f"{prefix}.{self.names.attn}.{number}")
            number += 1
        return h

    def codes(self, x):
        """Maps (B, 3, H, W) in [-1, 1] -> (B, h, w) codes."""
        h = self.level(self.conv(x, "encoder.conv_in", padding=1), "encoder", 0)
        halving = f"{self.names.level('encoder', 0)}.{self.names.sampling['encoder']}.conv"
        h = self.conv(F.pad(h, (0, 1, 0, 1)), halving, stride=2)
        h = self.middle(self.level(h, "encoder", 1), "encoder")
        h = self.conv(self.swished(h, f"encoder.{self.names.norm_out}"), "encoder.conv_out", padding=1)
        z = self.conv(h, "quant_conv").movedim(1, -1)
        distances = (self.scaled(z)[..., None, :] - self.table()).square().sum(-1)
        return distances.argmin(-1)

    def scaled(self, rows):
        return rows / rows.square().sum(-1, keepdim=True).sqrt() if self.names.normalised else rows

    def table(self):
        return self.scaled(self.held["quantize.embedding.weight"])

    def decoded(self, codes):
        """Maps (B, h, w) codes -> (B, 3, H, W)."""
        h = self.conv(self.table()[codes].movedim(-1, 1), "post_quant_conv")
        h = self.middle(self.conv(h, "decoder.conv_in", padding=1), "decoder")
        h = self.level(h, "decoder", 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
        h = self.conv(h, f"{self.names.level('decoder', 1)}.{self.names.sampling['decoder']}.conv", padding=1)
        h = self.level(h, "decoder", 0)
        return self.conv(self.swished(h, f"decoder.{self.names.norm_out}"), "decoder.conv_out", padding=1)
