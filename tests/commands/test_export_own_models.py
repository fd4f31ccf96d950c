"""A model of one's own is exported, with its functions or without, wholly or not at all."""

import functools

import pytest
import torch

import gen_experiments
from gen_experiments.images import ImageSpec
from small_models import gan

OWN = """
from torch import nn
from gen_experiments.images import ImageSpec
from gen_experiments.models.base import ImageModel
from gen_experiments.networks.generators import PlainGenerator

class Mine(ImageModel):
    def __init__(self, image: ImageSpec):
        super().__init__(image, None)
        self.layer = nn.Linear(2, 2)

    def training_step(self, batch, batch_idx):
        return None

class Untraceable(PlainGenerator):
    def forward(self, noise, labels=None):
        return super().forward(noise if noise.sum() > 0 else -noise, labels)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "importable").mkdir(exist_ok=True)
    (tmp_path / "importable" / "own_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "importable")
    monkeypatch.setenv("GEN_EXPERIMENTS_TRUST", "own_models")
    import own_models

    return own_models


def test_a_model_that_names_no_functions_is_exported_without(experiment, own, tmp_path, capsys):
    model = own.Mine(ImageSpec(channels=1, size=8))
    held = {"hyper_parameters": model.hyper_parameters(), "images_seen": 3, "global_step": 1}
    held["hyper_parameters"]["image"].pop("class_names")
    torch.save({**held, "state_dict": model.state_dict()}, tmp_path / "mine.ckpt")
    assert experiment("export", "mine.ckpt", "--out=mine") == 0
    assert "a Mine names no pure_functions: there is no .onnx or .pt2 file to write" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "mine").iterdir()} == {"config.json", "model.safetensors"}
    assert torch.equal(gen_experiments.load("mine").layer.weight, model.layer.weight)


def test_an_export_that_fails_leaves_nothing(experiment, own, contents, tmp_path, capsys):
    model = gan(generator=functools.partial(own.Untraceable, latent_dim=4, hidden=8))
    hyper_parameters = dict(contents["gan"]["hyper_parameters"])
    hyper_parameters["generator"] = {
        "class_path": "own_models.Untraceable",
        "init_args": {"latent_dim": 4, "hidden": 8},
    }
    hyper_parameters["discriminator"] = {"class_path": "PlainDiscriminator", "init_args": {"hidden": 8}}
    hyper_parameters["image"] = {"channels": 1, "size": 8}
    held = {"hyper_parameters": hyper_parameters, "images_seen": 3, "global_step": 1, "state_dict": model.state_dict()}
    torch.save(held, tmp_path / "own.ckpt")
    assert experiment("export", "own.ckpt", "--out=own") == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1, said
    assert said.startswith("error: the generator cannot be traced by torch.export")
    assert not {path.name for path in tmp_path.iterdir()} - {"own.ckpt", "importable"}
    assert "--formats=[safetensors] leaves it out" in said
    assert experiment("export", "own.ckpt", "--out=own", "--formats=[safetensors]") == 0
