"""A file of MUNIT's generators gives a model that translates as they do (NVlabs/MUNIT, networks.py, by names)."""

import pytest
import torch
from torch.nn import functional as F

import gen_experiments
from conftest import CONFIGS
from gen_experiments.checkpoints.layouts import layout_of
from gen_experiments.checkpoints.layouts.base import Unconvertible
from pictures_on_disk import write_pictures

WIDTH, BLOCKS, STYLE, UNITS = 4, 2, 3, 6
PICTURES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1


def shapes():
    def conv(name, after, before, kernel):
        return {f"{name}.weight": (after, before, kernel, kernel), f"{name}.bias": (after,)}

    found = conv("enc_style.model.0.conv", WIDTH, 3, 7)
    for layer, (before, after) in enumerate(((1, 2), (2, 4), (4, 4), (4, 4)), start=1):
        found |= conv(f"enc_style.model.{layer}.conv", after * WIDTH, before * WIDTH, 4)
    found |= conv("enc_style.model.6", STYLE, 4 * WIDTH, 1)
    found |= conv("enc_content.model.0.conv", WIDTH, 3, 7)
    for layer in (1, 2):
        found |= conv(f"enc_content.model.{layer}.conv", WIDTH << layer, WIDTH << layer - 1, 4)
    for prefix in ("enc_content.model.3", "dec.model.0"):
        for block in range(BLOCKS):
            for layer in (0, 1):
                found |= conv(f"{prefix}.model.{block}.model.{layer}.conv", 4 * WIDTH, 4 * WIDTH, 3)
    for layer, before in ((2, 4), (4, 2)):
        found |= conv(f"dec.model.{layer}.conv", before // 2 * WIDTH, before * WIDTH, 5)
        found |= {f"dec.model.{layer}.norm.{each}": (before // 2 * WIDTH,) for each in ("gamma", "beta")}
    found |= conv("dec.model.5.conv", 3, WIDTH, 7)
    for layer, (before, after) in enumerate(((STYLE, UNITS), (UNITS, UNITS), (UNITS, 4 * BLOCKS * 4 * WIDTH))):
        found |= {f"mlp.model.{layer}.fc.weight": (after, before), f"mlp.model.{layer}.fc.bias": (after,)}
    return found


def drawn(seed):
    """Weights of one side, and the buffers of AdaIN, which its code registers and does not use."""
    source = torch.Generator().manual_seed(seed)
    held = {}
    for name, shape in shapes().items():
        weight = torch.randn(shape, generator=source)
        held[name] = 1.4 * weight * max(weight[0].numel(), 9) ** -0.5 + name.endswith("gamma")
    return held | {"dec.model.0.model.0.model.0.norm.running_mean": torch.zeros(4 * WIDTH)}


def conv(x, held, name, stride=1):
    weight, bias = held[f"{name}.weight"], held[f"{name}.bias"]
    return F.conv2d(F.pad(x, ((weight.shape[-1] - 1) // 2,) * 4, mode="reflect"), weight, bias, stride=stride)


def instance(x):
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


def content(x, held):
    h = instance(conv(x, held, "enc_content.model.0.conv")).relu()
    for layer in (1, 2):
        h = instance(conv(h, held, f"enc_content.model.{layer}.conv", stride=2)).relu()
    for block in range(BLOCKS):
        name = f"enc_content.model.3.model.{block}.model"
        h = h + instance(conv(instance(conv(h, held, f"{name}.0.conv")).relu(), held, f"{name}.1.conv"))
    return h


def style(x, held):
    h = conv(x, held, "enc_style.model.0.conv").relu()
    for layer in (1, 2, 3, 4):
        h = conv(h, held, f"enc_style.model.{layer}.conv", stride=2).relu()
    return conv(h.mean((2, 3), keepdim=True), held, "enc_style.model.6").flatten(1)


def decoded(h, code, held):
    for layer in range(3):
        code = F.linear(code, held[f"mlp.model.{layer}.fc.weight"], held[f"mlp.model.{layer}.fc.bias"])
        code = code if layer == 2 else code.relu()
    given = iter(code[:, :, None, None].split(4 * WIDTH, dim=1))  # the bias and the weight of each norm in turn

    def adaptive(x):
        bias, weight = next(given), next(given)
        return instance(x) * weight + bias

    for block in range(BLOCKS):
        name = f"dec.model.0.model.{block}.model"
        h = h + adaptive(conv(adaptive(conv(h, held, f"{name}.0.conv")).relu(), held, f"{name}.1.conv"))
    for layer in (2, 4):
        h = conv(h.repeat_interleave(2, 2).repeat_interleave(2, 3), held, f"dec.model.{layer}.conv")
        centred = h - h.mean((1, 2, 3), keepdim=True)
        gamma, beta = (held[f"dec.model.{layer}.norm.{each}"][:, None, None] for each in ("gamma", "beta"))
        h = (centred / (h.std((1, 2, 3), keepdim=True) + 1e-5) * gamma + beta).relu()
    return conv(h, held, "dec.model.5.conv").tanh()


def test_the_generators_of_munit(experiment, tmp_path, capsys):
    a, b = drawn(1), drawn(2)
    for side in "ab":
        write_pictures(tmp_path / side, 12, size=(32, 32), seed=ord(side))
    torch.save({"a": a, "b": b}, tmp_path / "gen_01000000.pt")
    configs = ["translation.yaml", "data/pairs.yaml", "experiments/translation/munit.yaml"]
    words = [f"--config={CONFIGS / name}" for name in configs]
    words += ["--data.source=UnpairedFolders", "--data.source.a=a", "--data.source.b=b", "--data.size=32"]
    words += ["--data.crop=centre", "--data.crop_scale=[1, 1]", "--evaluation.extractor=null", "--model.scales=1"]
    sizes = {"width": WIDTH, "residual_blocks": BLOCKS, "style_dim": STYLE, "mlp_width": UNITS}
    words += [f"--model.autoencoder.{name}={value}" for name, value in sizes.items()]
    words += ["--model.discriminator.width=4", "--model.discriminator.layers=2"]
    words += ["--run.init_from=gen_01000000.pt", "--trainer.max_steps=0"]
    assert experiment("fit", *words) == 0
    assert "this is not the model" not in capsys.readouterr().out
    model = gen_experiments.load("runs/munit/version_0")
    with torch.no_grad():
        styles = style(PICTURES, b)
        torch.testing.assert_close(model.styles_of(PICTURES, "B"), styles, rtol=1e-5, atol=1e-5)
        for to, (here, there) in (("B", (a, b)), ("A", (b, a))):
            expected = decoded(content(PICTURES, here), styles, there)
            torch.testing.assert_close(model.translate(PICTURES, to, styles), expected, rtol=1e-5, atol=1e-5)


def test_a_layer_without_a_place_is_named():
    held = {f"{side}.{name}": weight for side in "ab" for name, weight in drawn(0).items()}
    held["a.enc_style.model.1.norm.gamma"] = torch.ones(4)
    with pytest.raises(Unconvertible, match=r"no place for a\.enc_style\.model\.1\.norm\.gamma"):
        layout_of(held).convert(held)
