"""Published VQGANs: a file in their format gives a model with their codes, reconstructions and scores."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import gen_experiments
from conftest import CONFIGS
from foreign_vqgan import BLOCKS, CODES, DIM, LATENT, Pass, diffusers_folder, published, weights
from gen_experiments.checkpoints.transfer import load_what_fits
from gen_experiments.errors import UserError
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.fsq import FSQ
from gen_experiments.quantizers.gradient import GradientQuantizer
from pictures_on_disk import write_pictures
from small_vqgans import model, of_the_project

SIZES = [
    *[
        f"--model.{half}.{name}={value}"
        for half in ("encoder", "decoder")
        for name, value in (("multipliers", "[1, 2]"), ("blocks", BLOCKS), ("latent_channels", LATENT))
    ],
    f"--model.quantizer.num_codes={CODES}",
    f"--model.quantizer.dim={DIM}",
]
RECIPES = {"taming": "vqgan_f16", "llamagen": "vqgan_llamagen_f16", "diffusers": "vqgan_f8"}


def begun(project, weights, *options):
    """The words of a run that only writes the checkpoint of given weights, over pictures of 16 pixels."""
    recipe = CONFIGS / "experiments" / "vqvae" / f"{RECIPES[project]}.yaml"
    configs = [CONFIGS / "vqvae.yaml", CONFIGS / "data" / "folder.yaml", recipe]
    return [
        "fit",
        *(f"--config={config}" for config in configs),
        *SIZES,
        "--data.source.root=pictures",
        "--data.size=16",
        "--data.batch_size=4",
        "--evaluation.extractor=null",
        "--model.adversary.discriminator.layers=1",
        "--trainer.max_steps=0",
        f"--run.init_from={weights}",
        *options,
    ]


@pytest.fixture
def pictures(tmp_path):
    """(6, 3, 16, 16) uint8 pictures of a split for validation, which lie on disk beside others."""
    write_pictures(tmp_path / "pictures" / "train", 8, size=(16, 16))
    write_pictures(tmp_path / "pictures" / "val", 6, size=(16, 16), seed=1)
    files = sorted((tmp_path / "pictures" / "val").glob("*.png"))
    return torch.from_numpy(np.stack([np.asarray(Image.open(file)) for file in files])).movedim(-1, 1)


def written(project, held, path):
    """The file that the project publishes."""
    if project == "taming":
        published(held, path)
    elif project == "diffusers":
        diffusers_folder(held, path)
    else:
        torch.save({"model": held}, path)


@pytest.mark.parametrize("project", RECIPES)
def test_codes_reconstructions_and_scores_are_those_of_the_project(experiment, capsys, tmp_path, pictures, project):
    held = weights(project)
    written(project, held, Path("published"))
    assert experiment(*begun(project, "published")) == 0
    said = capsys.readouterr().out
    assert "from published, a " in said
    assert "this is not the model" not in said
    run = f"runs/{RECIPES[project]}/version_0"
    model, theirs = gen_experiments.load(run), Pass(project, held)
    x = pictures.float() / 127.5 - 1
    with torch.no_grad():
        codes = theirs.codes(x)
        images = theirs.decoded(codes)
        assert len(codes.unique()) > CODES // 3
        assert torch.equal(model.encode(x), codes)
        torch.testing.assert_close(model.reconstruct(x), images, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.decode(codes), images, rtol=1e-5, atol=1e-5)
    assert experiment("evaluate", run, "--metrics=[psnr]", "--json=scores.json") == 0
    shown = (((images.clamp(-1, 1) + 1) * 127.5).round() - pictures) / 255
    psnr = -10 * shown.double().square().mean((1, 2, 3)).log10()
    found = json.loads((tmp_path / "scores.json").read_text())["scores"]["psnr"]["value"]
    assert found == pytest.approx(float(psnr.mean()), abs=1e-3)


def wrapped(held, prefix):
    return {prefix + name: weight for name, weight in held.items()}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "first_stage_model.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_left_out(tmp_path, prefix):
    held = weights("taming")
    others = {"model.diffusion_model.out.weight": torch.zeros(2, 2)} if prefix == "first_stage_model." else {}
    torch.save(wrapped(held, prefix) | others, tmp_path / "wrapped.pt")
    network = model()
    load_what_fits(network, tmp_path / "wrapped.pt")
    assert of_the_project(network, "taming", held)


def test_averages_begin_as_what_they_average(tmp_path):
    torch.save(weights("taming"), tmp_path / "raw.pt")
    network = model(ema_half_life=1000.0)
    load_what_fits(network, tmp_path / "raw.pt")
    assert of_the_project(network, "taming", weights("taming"))


@pytest.mark.parametrize("quantizer", [GradientQuantizer, EMAQuantizer])
def test_a_training_that_follows_keeps_the_codes(tmp_path, quantizer):
    """k-means would start them anew, and a code of few hits would be replaced by a latent."""
    held = weights("taming")
    torch.save(held, tmp_path / "raw.pt")
    network = model(quantizer=quantizer, num_codes=CODES)
    load_what_fits(network, tmp_path / "raw.pt")
    codebook = network.quantizer.train()
    with torch.no_grad():
        for _ in range(3):
            codebook(torch.randn(64, DIM, 8, 8))
    moved = (codebook.codes() - held["quantize.embedding.weight"]).abs().max()
    assert moved < (0.5 if quantizer is EMAQuantizer else 1e-6)


def test_a_choice_among_raw_and_averaged_weights(tmp_path):
    """The training checkpoint of LlamaGen's vq_train.py with --ema."""
    raw, averaged = weights("llamagen"), weights("llamagen", seed=1)
    path = tmp_path / "0050000.pt"
    others = {"discriminator": {"main.0.weight": torch.zeros(2, 3, 4, 4)}, "steps": 5, "args": Namespace(lr=1)}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}
    torch.save({"model": raw, "ema": averaged, "optimizer": optimizer, **others}, path)
    with pytest.raises(UserError, match=rf"several .*{path}:model or {path}:ema"):
        load_what_fits(model("llamagen"), path)
    with pytest.raises(UserError, match="holds no g: choose from model, ema, discriminator"):
        load_what_fits(model("llamagen"), f"{path}:g")
    for name, held in (("model", raw), ("ema", averaged)):
        network = model("llamagen")
        load_what_fits(network, f"{path}:{name}")
        assert of_the_project(network, "llamagen", held)


def test_half_precision_is_converted(tmp_path):
    held = {name: weight.half() for name, weight in weights("taming").items()}
    save_file(held, tmp_path / "half.safetensors")
    network = model()
    load_what_fits(network, tmp_path / "half.safetensors")
    assert network.encoder.layers[0].weight.dtype == torch.float32
    assert of_the_project(network, "taming", {name: weight.float() for name, weight in held.items()})


def test_another_codebook_begins_anew_and_it_is_said(tmp_path):
    torch.save(weights("taming"), tmp_path / "raw.pt")
    network = model(num_codes=2 * CODES)
    before = network.quantizer.codes().clone()
    lines = load_what_fits(network, tmp_path / "raw.pt")
    assert "this is not the model" in lines[1]
    assert "quantizer does not fit" in lines[1]
    assert f"num_codes={CODES}" in lines[1]
    assert torch.equal(network.quantizer.codes(), before)
    assert network.quantizer.steps == 0


@pytest.mark.parametrize("options", [{"multipliers": (1, 1)}, {"blocks": 2}, {"latent_channels": None}, {"width": 64}])
def test_other_networks_are_told_the_sizes(tmp_path, options):
    held = weights("taming")
    torch.save(held, tmp_path / "raw.pt")
    network = model(num_codes=CODES + 1, **options)
    with pytest.raises(UserError, match=r"width=128, multipliers=\[1, 2\], blocks=1, latent_channels=6"):
        load_what_fits(network, tmp_path / "raw.pt")


def test_a_quantizer_of_another_kind_begins_anew(tmp_path):
    torch.save(weights("taming"), tmp_path / "raw.pt")
    lines = load_what_fits(model(quantizer=lambda codes, dim, cosine: FSQ(levels=[3] * dim)), tmp_path / "raw.pt")
    assert "quantizer does not fit and begins anew" in lines[1]


def without(held, *parts):
    return {name: weight for name, weight in held.items() if not any(part in name for part in parts)}


INEXPRESSIBLE = {
    "Gumbel": lambda held: without(held, "quantize.") | {"quantize.embed.weight": torch.zeros(4, 5)},
    "KL autoencoder": lambda held: without(held, "quantize."),
    "encoder.down.0.downsample.conv": lambda held: without(held, "encoder.down.0.downsample"),
    "no layer like": lambda held: held | {"encoder.down.1.block.0.conv_shortcut.weight": torch.zeros(1)},
    "64 channels in 32 groups": lambda held: held | {"encoder.conv_in.weight": torch.zeros(64, 3, 3, 3)},
    "attn_1.to_qkv": lambda held: without(held, "attn") | {"encoder.mid.attn_1.to_qkv.weight": torch.zeros(1)},
    "128 are no multiple": lambda held: held | {"encoder.conv_in.weight": torch.zeros(160, 3, 3, 3)},
}


@pytest.mark.parametrize("said", INEXPRESSIBLE)
def test_what_no_network_here_can_be_is_refused_by_name(tmp_path, said):
    torch.save(INEXPRESSIBLE[said](weights("taming")), tmp_path / "other.pt")
    with pytest.raises(UserError, match=f"VQGAN of taming-transformers, which cannot be loaded: .*{said}"):
        load_what_fits(model(), tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("project", "other", "word"), [("taming", "llamagen", "false"), ("llamagen", "taming", "true")]
)
def test_codes_must_be_normalised_as_theirs(tmp_path, project, other, word):
    torch.save(weights(project), tmp_path / "raw.pt")
    with pytest.raises(UserError, match=f"needs --model.quantizer.cosine={word}"):
        load_what_fits(model(other), tmp_path / "raw.pt")
