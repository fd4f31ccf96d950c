import functools
import importlib
from collections.abc import Callable
from typing import Any

import pytest
from jsonargparse._common import parsing_settings
from torch.optim import SGD, Optimizer

from gen_experiments.checkpoints.arguments import Recorded, arguments_of
from gen_experiments.checkpoints.descriptions import ALLOWED, build, described_by
from gen_experiments.errors import UserError


def built(description, kind):
    with described_by("evil.ckpt"):
        return build(lambda parser: parser.add_argument("--described", type=kind), description, "evil.ckpt")


def test_classes_are_built_and_functions_are_not():
    optimizer = built({"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5}}, Callable[[Any], Optimizer])
    assert optimizer.keywords["lr"] == 0.5
    for function in ("torch.nn.functional.relu", "gen_experiments.models.averaged_translator.translate_images"):
        with pytest.raises(UserError, match="which is no class"):
            built(function, Callable[[Any], Any])
        with pytest.raises(UserError, match="which is no class"):
            built({"class_path": function}, Any)


def test_the_rule_ends_with_the_file():
    before = dict(parsing_settings)
    with pytest.raises(UserError, match="no part of a model"):
        built("torch.os.system", Callable[[Any], Any])
    assert parsing_settings == before
    with described_by("outer.ckpt"):
        bound = dict(parsing_settings)
        with described_by("inner.ckpt"):
            pass
        assert parsing_settings == bound != before
    assert parsing_settings == before


def test_messages_are_one_line_without_control_characters():
    with pytest.raises(UserError) as caught, described_by("evil.ckpt"):
        raise UserError("a\nb\x1b[31m" + "x" * 10_000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def test_a_file_that_a_description_names_is_not_read(tmp_path):
    other = tmp_path / "optimizer.yaml"
    other.write_text("class_path: torch.optim.SGD\ninit_args: {lr: 0.5}\n")
    for description in (str(other), {"class_path": "torch.optim.SGD", "init_args": str(other)}):
        with pytest.raises(UserError, match="names another file"):
            built(description, Callable[[Any], Optimizer])


class Part(Recorded):
    def __init__(self, *sizes, factory=None): ...


class Named(Part):
    def __init__(self, name, *sizes): ...


def test_an_object_is_described_as_it_was_built_or_not_at_all():
    factory = functools.partial(SGD, lr=0.5)
    described = {"class_path": "torch.optim.sgd.SGD", "init_args": {"lr": 0.5}}
    assert arguments_of(Part(factory=factory)) == {"factory": described}
    with pytest.raises(UserError, match=r"Part\.factory is partial, by which no checkpoint can describe it"):
        arguments_of(Part(factory=functools.partial(SGD, [])))
    with pytest.raises(UserError, match="Named hands arguments on by position, by which no checkpoint can describe it"):
        arguments_of(Named("a", 1, 2))


@pytest.mark.parametrize("size", [0, 4097, [32, 4097], [0, 32]])
def test_images_of_impossible_sizes_are_refused(size):
    with pytest.raises(UserError, match="possible are 1 to 4096"):
        built({"image": {"size": size}}, dict[str, Any])
    assert built({"image": {"size": 4096}}, dict[str, Any]) == {"image": {"size": 4096}}


@pytest.mark.parametrize(
    "path",
    [
        "data.damage_parts.Mask",
        "data.datamodule.ImageDataModule",
        "data.pair_folders.PairedFolders",
        "data.sources.ImageFolder",
        "losses.adversarial.Hinge",
        "losses.penalties.R1",
        "losses.reconstruction.L1",
        "losses.trained_perceptual.TrainedPerceptual",
        "metrics.classifier_net.ClassifierNet",
        "models.adversary.Adversary",
        "models.strength.AdaptiveStrength",
        "networks.augment.DiffAugment",
        "networks.autoencoder.ConvEncoder",
        "networks.discriminators.DCGANDiscriminator",
        "networks.drunet.DRUNet",
        "networks.generators.DCGANGenerator",
        "networks.munit.MUNITAutoencoder",
        "networks.patch.PatchDiscriminator",
        "networks.projected.ProjectedDiscriminator",
        "networks.resnet.ResNetGenerator",
        "networks.resnet_translator.ResNetTranslator",
        "networks.unet.UNet",
        "priors.masked.MaskedPrior",
        "quantizers.ema.EMAQuantizer",
        "schedules.Cosine",
    ],
)
def test_a_class_that_written_checkpoints_name_stays_where_it_is(path):
    module, name = f"gen_experiments.{path}".rsplit(".", 1)
    part = getattr(importlib.import_module(module), name)
    assert isinstance(part, type)
    assert f"gen_experiments.{path}".startswith(ALLOWED)
