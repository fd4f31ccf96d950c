"""VQGANs of diffusers, and of latent-diffusion with attention in the middle alone or nowhere."""

import json
import shutil

import pytest
import torch

from foreign_vqgan import CODES, DIM, LATENT, Pass, diffusers_folder, weights
from gen_experiments.checkpoints.transfer import load_what_fits
from gen_experiments.errors import UserError
from small_vqgans import model, of_the_project

ATTENTION = {
    "both": {},
    "middle": {"attention": (), "middle_attention": True},
    "none": {"attention": ()},
}


@pytest.fixture
def folder(tmp_path):
    """The folder of a model whose smaller resolution and middle attend."""
    diffusers_folder(weights("diffusers"), tmp_path / "vqvae")
    return tmp_path / "vqvae"


@pytest.mark.parametrize("attends", ATTENTION)
@pytest.mark.parametrize("project", ["diffusers", "taming"])
def test_attention_stands_where_theirs_does(tmp_path, project, attends):
    held = weights(project, attends=attends)
    torch.save(held, tmp_path / "weights.pt")
    network = model(**ATTENTION[attends])
    lines = load_what_fits(network, tmp_path / "weights.pt")
    assert "not the model" not in " ".join(lines)
    assert of_the_project(network, project, held, attends)


@pytest.mark.parametrize("attends", ATTENTION)
def test_the_options_for_attention_are_told(tmp_path, attends):
    torch.save(weights("taming", attends=attends), tmp_path / "weights.pt")
    said = {
        "both": r"attention at 1/2 of the image, the",
        "middle": r"attention=\[\], middle_attention=true, the",
        "none": r"attention=\[\], the",
    }
    with pytest.raises(UserError, match=rf"latent_channels=6 and {said[attends]} quantizer num_codes=24, dim=5"):
        load_what_fits(model(num_codes=CODES + 1, blocks=3), tmp_path / "weights.pt")


def test_a_decoder_that_attends_elsewhere_is_told_too(tmp_path):
    held = weights("diffusers")
    both = {name: weight for name, weight in held.items() if "decoder.up_blocks.0.attentions" not in name}
    torch.save(both, tmp_path / "weights.pt")
    told = r"attention at 1/2 of the image \(the decoder attention=\[\], middle_attention=true\)"
    with pytest.raises(UserError, match=told):
        load_what_fits(model(num_codes=CODES + 1, blocks=3), tmp_path / "weights.pt")


def test_a_file_is_taken_with_the_settings_beside_it(folder):
    network = model()
    lines = load_what_fits(network, folder / "diffusion_pytorch_model.safetensors")
    assert lines == [lines[0]]
    assert of_the_project(network, "diffusers", weights("diffusers"))
    (folder / "config.json").unlink()
    lines = load_what_fits(model(), folder / "diffusion_pytorch_model.safetensors")
    assert lines[1:] == ["there is no config.json beside it: its defaults are assumed"]


def test_the_names_of_early_versions(tmp_path):
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    held = {}
    for name, weight in weights("diffusers").items():
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.")
        held[name] = weight
    folder = tmp_path / "vqvae"
    folder.mkdir()
    torch.save(held, folder / "diffusion_pytorch_model.bin")
    assert any("proj_attn" in name for name in held)
    network = model()
    load_what_fits(network, folder)
    assert of_the_project(network, "diffusers", weights("diffusers"))


def test_half_precision_beside_it_is_left_alone(folder):
    (folder / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"other")
    network = model()
    load_what_fits(network, folder)
    assert of_the_project(network, "diffusers", weights("diffusers"))


@pytest.mark.parametrize(
    ("setting", "value", "wanted"),
    [
        ("act_fn", "gelu", "silu or swish"),
        ("norm_num_groups", 16, "32"),
        ("norm_type", "spatial", "group"),
        ("_class_name", "AutoencoderKL", "VQModel"),
        ("norm_num_groups", [32], "32"),
    ],
)
def test_settings_that_change_no_size_are_checked(tmp_path, setting, value, wanted):
    diffusers_folder(weights("diffusers"), tmp_path / "vqvae", **{setting: value})
    with pytest.raises(UserError, match=rf"a VQModel of diffusers, which cannot be loaded: .*{setting}.*{wanted}"):
        load_what_fits(model(), tmp_path / "vqvae")


@pytest.mark.parametrize("text", ["{", "[1]", "\xff", '{"a": ' * 5000])
def test_damaged_settings_are_named(folder, text):
    (folder / "config.json").write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match=r"cannot be loaded: config\.json"):
        load_what_fits(model(), folder)


def test_settings_of_any_size_are_not_read(folder):
    (folder / "config.json").write_text(json.dumps({"note": "x" * (4 << 20)}))
    with pytest.raises(UserError, match=r"config\.json has more than 4 MiB"):
        load_what_fits(model(), folder)


def test_a_pipeline_is_asked_for_its_model(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "unet")
    with pytest.raises(UserError, match=rf"folder of several models: name the folder of one, {tmp_path / 'unet'}"):
        load_what_fits(model(), tmp_path)


def test_the_norm_of_spatial_models_is_no_layer_here(tmp_path):
    held = weights("diffusers")
    held["decoder.mid_block.attentions.0.spatial_norm.conv_y.weight"] = torch.zeros(1)
    torch.save(held, tmp_path / "spatial.bin")
    with pytest.raises(UserError, match=r"have no layer like decoder\.mid_block\.attentions\.0\.spatial_norm"):
        load_what_fits(model(), tmp_path / "spatial.bin")


@pytest.mark.parametrize("attends", ATTENTION)
def test_the_library_itself_computes_the_same(tmp_path, attends):
    """The fixture is the library's model; skipped where the library is not installed."""
    VQModel = pytest.importorskip("diffusers.models.autoencoders.vq_model").VQModel  # noqa: N806
    held = weights("diffusers", attends=attends)
    diffusers_folder(held, tmp_path / "vqvae")
    theirs = VQModel.from_pretrained(tmp_path / "vqvae", local_files_only=True).eval()
    assert theirs.config.latent_channels == LATENT
    assert theirs.quantize.embedding.weight.shape == (CODES, DIM)
    network = model(**ATTENTION[attends])
    load_what_fits(network, tmp_path / "vqvae")
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.no_grad():
        codes = theirs.quantize(theirs.encode(x).latents)[2][2].reshape(2, 8, 8)
        assert torch.equal(network.encode(x), codes)
        assert torch.equal(Pass("diffusers", held, attends).codes(x), codes)
        torch.testing.assert_close(network.reconstruct(x), theirs(x).sample, rtol=1e-5, atol=1e-5)
