"""Files of pytorch-CycleGAN-and-pix2pix give models that translate as its networks do."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import gen_experiments
from conftest import CONFIGS
from gen_experiments.checkpoints.layouts import layout_of
from gen_experiments.checkpoints.layouts.base import Unconvertible
from pictures_on_disk import write_pictures

WIDTH, BLOCKS, HALVINGS = 4, 2, 5  # `UnetGenerator` has at least five


def drawn(shapes, seed=0):
    """Weights at the scale of their fan-in; factors and variances of batch norm about one."""
    source = torch.Generator().manual_seed(seed)
    held = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            held[name] = torch.tensor(9)
            continue
        weight = torch.randn(shape, generator=source)
        about_one = len(shape) == 1 and name.endswith(("weight", "running_var"))
        held[name] = 1 + 0.1 * weight.abs() if about_one else 1.4 * weight * max(weight[0].numel(), 9) ** -0.5
    return held


def conv(name, after, before, kernel, bias=True):
    return {f"{name}.weight": (after, before, kernel, kernel)} | ({f"{name}.bias": (after,)} if bias else {})


def batch_norm(name, channels):
    found = {f"{name}.{each}": (channels,) for each in ("weight", "bias", "running_mean", "running_var")}
    return found | {f"{name}.num_batches_tracked": ()}


def resnet(seed=0, dropout=False):
    """`ResnetGenerator` with instance norm, two halvings and two blocks."""
    shapes = (
        conv("model.1", WIDTH, 3, 7) | conv("model.4", 2 * WIDTH, WIDTH, 3) | conv("model.7", 4 * WIDTH, 2 * WIDTH, 3)
    )
    for block in (10, 11):
        for layer in (1, 6 if dropout else 5):
            shapes |= conv(f"model.{block}.conv_block.{layer}", 4 * WIDTH, 4 * WIDTH, 3)
    shapes |= {"model.12.weight": (4 * WIDTH, 2 * WIDTH, 3, 3), "model.12.bias": (2 * WIDTH,)}
    shapes |= {"model.15.weight": (2 * WIDTH, WIDTH, 3, 3), "model.15.bias": (WIDTH,)}
    return drawn(shapes | conv("model.19", 3, WIDTH, 7), seed)


def instance(x):
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


def of_resnet(x, held):
    def mirrored(h, name):
        weight = held[f"{name}.weight"]
        return F.conv2d(F.pad(h, (weight.shape[-1] // 2,) * 4, mode="reflect"), weight, held[f"{name}.bias"])

    second = 6 if "model.10.conv_block.6.weight" in held else 5
    h = instance(mirrored(x, "model.1")).relu()
    for layer in (4, 7):
        h = F.conv2d(h, held[f"model.{layer}.weight"], held[f"model.{layer}.bias"], stride=2, padding=1)
        h = instance(h).relu()
    for block in (10, 11):
        inner = instance(mirrored(h, f"model.{block}.conv_block.1")).relu()
        h = h + instance(mirrored(inner, f"model.{block}.conv_block.{second}"))
    for layer in (12, 15):
        weight, bias = held[f"model.{layer}.weight"], held[f"model.{layer}.bias"]
        h = instance(F.conv_transpose2d(h, weight, bias, stride=2, padding=1, output_padding=1)).relu()
    return mirrored(h, "model.19").tanh()


def unet(batch):
    """`UnetGenerator`: blocks within blocks."""
    widths = [3] + [WIDTH * min(2**i, 8) for i in range(HALVINGS)]
    shapes, prefix = {}, "model.model."
    for depth in range(HALVINGS):
        before, after = widths[depth : depth + 2]
        outermost, innermost = depth == 0, depth == HALVINGS - 1
        down, up = (0 if outermost else 1), (3 if outermost or innermost else 5)
        shapes |= conv(f"{prefix}{down}", after, before, 4, bias=outermost or not batch)
        shapes |= {f"{prefix}{up}.weight": (after if innermost else 2 * after, before, 4, 4)}
        if outermost or not batch:
            shapes |= {f"{prefix}{up}.bias": (before,)}
        if batch and not outermost:
            shapes |= batch_norm(f"{prefix}{up + 1}", before)
            shapes |= {} if innermost else batch_norm(f"{prefix}{down + 1}", after)
        prefix += f"{1 if outermost else 3}.model."
    return drawn(shapes)


def of_unet(x, held, depth=0, prefix="model.model."):
    """A block as `--eval` runs it: no dropout, batch norm by its averages."""
    outermost, innermost = depth == 0, depth == HALVINGS - 1
    down, up = (0 if outermost else 1), (3 if outermost or innermost else 5)

    def normalised(h, layer):
        name = f"{prefix}{layer}"
        if f"{name}.weight" not in held:
            return instance(h)
        mean, var, factor, offset = (
            held[f"{name}.{each}"][:, None, None] for each in ("running_mean", "running_var", "weight", "bias")
        )
        return (h - mean) / (var + 1e-5).sqrt() * factor + offset

    weight, bias = held[f"{prefix}{down}.weight"], held.get(f"{prefix}{down}.bias")
    h = F.conv2d(x if outermost else F.leaky_relu(x, 0.2), weight, bias, stride=2, padding=1)
    h = h if outermost or innermost else normalised(h, down + 1)
    h = h if innermost else of_unet(h, held, depth + 1, f"{prefix}{1 if outermost else 3}.model.")
    weight, bias = held[f"{prefix}{up}.weight"], held.get(f"{prefix}{up}.bias")
    h = F.conv_transpose2d(h.relu(), weight, bias, stride=2, padding=1)
    return h.tanh() if outermost else torch.cat([x, normalised(h, up + 1)], 1)


def discriminator(seed=0, batch=False):
    """`NLayerDiscriminator` of three layers."""
    shapes, before = conv("model.0", WIDTH, 3, 4), WIDTH
    for layer, factor in ((2, 2), (5, 4), (8, 8)):
        shapes |= conv(f"model.{layer}", factor * WIDTH, before, 4, bias=not batch)
        shapes |= batch_norm(f"model.{layer + 1}", factor * WIDTH) if batch else {}
        before = factor * WIDTH
    return drawn(shapes | conv("model.11", 1, before, 4), seed)


def judged(x, held):
    h = F.leaky_relu(F.conv2d(x, held["model.0.weight"], held["model.0.bias"], stride=2, padding=1), 0.2)
    for layer, stride in ((2, 2), (5, 2), (8, 1)):
        h = F.conv2d(h, held[f"model.{layer}.weight"], held[f"model.{layer}.bias"], stride=stride, padding=1)
        h = F.leaky_relu(instance(h), 0.2)
    return F.conv2d(h, held["model.11.weight"], held["model.11.bias"], padding=1).flatten(1)


@pytest.fixture
def begin(experiment, tmp_path):
    """Writes the checkpoint of a recipe over pairs of pictures of 32 pixels, from given weights; returns its model."""
    for side in "ab":
        write_pictures(tmp_path / side, 12, size=(32, 32), seed=ord(side))

    def run(recipe, weights, *options):
        configs = ["translation.yaml", "data/pairs.yaml", f"experiments/translation/{recipe}.yaml"]
        words = [f"--config={CONFIGS / name}" for name in configs]
        words += ["--data.source.a=a", "--data.source.b=b", "--data.size=32", "--data.crop=centre"]
        words += ["--data.crop_scale=[1, 1]", "--evaluation.extractor=null", f"--run.init_from={weights}"]
        words += [f"--model.generator.width={WIDTH}", f"--model.discriminator.width={WIDTH}"]
        assert experiment("fit", *words, "--trainer.max_steps=0", *options) == 0
        return gen_experiments.load(f"runs/{recipe}/version_0")

    return run


PICTURES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
SMALL_RESNET = f"--model.generator.residual_blocks={BLOCKS}"


def test_the_folder_of_a_cyclegan(experiment, begin, tmp_path, capsys):
    networks = {"G_A": resnet(1), "G_B": resnet(2), "D_A": discriminator(3), "D_B": discriminator(4)}
    (tmp_path / "theirs").mkdir()
    for name, held in networks.items():
        torch.save(held, tmp_path / "theirs" / f"latest_net_{name}.pth", _use_new_zipfile_serialization=False)
    model = begin("cyclegan", "theirs", SMALL_RESNET)
    said = capsys.readouterr().out
    assert "this is not the model" not in said
    with torch.no_grad():
        torch.testing.assert_close(model.translate(PICTURES, "B"), of_resnet(PICTURES, networks["G_A"]), **CLOSE)
        torch.testing.assert_close(model.translate(PICTURES, "A"), of_resnet(PICTURES, networks["G_B"]), **CLOSE)
        for place, name in enumerate(("D_A", "D_B")):
            logits = model.discriminators[place](PICTURES)
            torch.testing.assert_close(logits, judged(PICTURES, networks[name]), **CLOSE)
    options = ["--images=a", "--out=translated", "--to=A"]
    assert experiment("translate", "runs/cyclegan/version_0", *options) == 0
    first = np.asarray(Image.open(tmp_path / "a" / "000.png"))
    x = torch.from_numpy(first.copy()).movedim(-1, 0)[None] / 127.5 - 1
    expected = ((of_resnet(x, networks["G_B"]) + 1) * 127.5).round()[0].movedim(0, -1).numpy()
    found = np.asarray(Image.open(sorted((tmp_path / "translated").rglob("*.png"))[0]))
    assert np.abs(found - expected).max() <= 1


def test_one_file_is_the_network_that_its_name_says(begin, capsys):
    torch.save(resnet(2), "latest_net_G_B.pth")
    model = begin("cyclegan", "latest_net_G_B.pth", SMALL_RESNET)
    with torch.no_grad():
        torch.testing.assert_close(model.translate(PICTURES, "A"), of_resnet(PICTURES, resnet(2)), **CLOSE)
    assert "not loaded: generators.0" in capsys.readouterr().out


def test_statistics_of_instance_norm_are_left_out_and_a_nameless_file_leads_to_b(begin):
    """As the files of torch before 0.4 hold them: there instance norm had kept statistics that nothing used."""
    held = resnet(1, dropout=True)
    old = {f"model.{layer}.running_{each}": torch.full((8,), 5.0) for layer in (5, 13) for each in ("mean", "var")}
    torch.save(held | old, "horse2zebra.pth", _use_new_zipfile_serialization=False)
    model = begin("cyclegan", "horse2zebra.pth", SMALL_RESNET, "--model.generator.dropout=true")
    with torch.no_grad():
        torch.testing.assert_close(model.translate(PICTURES), of_resnet(PICTURES, held), **CLOSE)


@pytest.mark.parametrize("batch", [False, True])
def test_the_generator_of_pix2pix(begin, batch):
    held = unet(batch)
    if batch:  # before torch 0.4.1 batch norm did not count
        held = {name: weight for name, weight in held.items() if not name.endswith("num_batches_tracked")}
    torch.save(held, "latest_net_G.pth")
    model = begin("pix2pix", "latest_net_G.pth", f"--model.generator.batch_norm={str(batch).lower()}")
    with torch.no_grad():
        torch.testing.assert_close(model.translate(PICTURES), of_unet(PICTURES, held), **CLOSE)


def blurring():
    """CUT's generator without `--no_antialias`: a filter behind each convolution that would halve."""
    held = resnet()
    return held | {"model.7.filt": torch.zeros(8, 1, 3, 3)}


def enlarging():
    held = resnet()
    return held | {"model.12.weight": held["model.12.weight"].transpose(0, 1).contiguous()}


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (blurring(), "antialiasing"),
        (enlarging(), "enlarges bilinearly"),
        (discriminator(batch=True), "normalises by the batch"),
    ],
)
def test_what_no_network_here_can_be(held, said):
    with pytest.raises(Unconvertible, match=said):
        layout_of(held).convert(held)


def test_other_sizes_are_told(experiment, tmp_path, capsys):
    torch.save(resnet(), tmp_path / "latest_net_G_A.pth")
    words = [f"--config={CONFIGS / name}" for name in ("translation.yaml", "experiments/translation/cyclegan.yaml")]
    words += ["--data.crop=centre", "--data.crop_scale=[1, 1]", "--model.generator.width=8", "--trainer.max_steps=0"]
    assert experiment("fit", *words, f"--run.init_from={tmp_path / 'latest_net_G_A.pth'}") == 1
    said = capsys.readouterr().err
    assert "which this model is not: the generator needs ResNetTranslator with width=4, residual_blocks=2" in said
