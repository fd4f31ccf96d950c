"""A run that begins with the weights of a model of other data."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import gen_experiments
import independent
from conftest import SHORT, SMALL
from gen_experiments.checkpoints.transfer import files_named, load_what_fits
from gen_experiments.errors import UserError
from run_files import checkpoint, equal
from small_models import vqvae

OTHER = (*SHORT, "--run.root=other", "--trainer.max_steps=2")


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def began_with(run):
    return json.loads((Path(run) / "run.json").read_text())["began_with"]


def state(path):
    return checkpoint(path)["state_dict"]


def test_what_fits_is_loaded_and_the_rest_is_named(experiment, checkpoints, capsys):
    classes = ["--model.generator.conditional=true", "--model.discriminator.conditional=true"]
    still = ["--model.optimizer_g.lr=0", "--model.optimizer_d.lr=0", f"--run.init_from={checkpoints['gan']}"]
    assert experiment("fit", *SMALL["gan"], *OTHER, *classes, *still) == 0
    said = capsys.readouterr().out
    before, after = state(checkpoints["gan"]), state("other/gan/version_0/checkpoints/last.ckpt")
    fitting = {name for name in after if name in before and before[name].shape == after[name].shape}
    assert f"begins with {len(fitting)} of {len(after)} weights, from {checkpoints['gan']}" in said
    moved = ("running_mean", "running_var", "num_batches_tracked")
    for name in fitting:
        # The averages of batch norm go on; what is averaged from the generator is a copy of it at a rate of 0.
        if not name.endswith(moved) and not name.startswith("ema."):
            assert torch.equal(after[name], before[name]), name
    (line,) = [line for line in said.splitlines() if line.startswith("not loaded: ")]
    first = next(name for name in after if name not in fitting)
    assert first in line
    held = checkpoint("other/gan/version_0/checkpoints/last.ckpt")
    assert (held["images_seen"], held["global_step"]) == (32, 2)


def test_a_codebook_of_another_size_starts_from_the_data(experiment, checkpoints, capsys):
    # Revival would bring codes that were drawn to the data, too.
    options = ["--model.quantizer.num_codes=16", "--model.quantizer.revive_below=0", "--model.optimizer.lr=0"]
    options.append(f"--run.init_from={checkpoints['vqvae']}")
    assert experiment("fit", *SMALL["vqvae"], *OTHER, *options) == 0
    assert "quantizer.codebook (16x8 here, 32x8)" in capsys.readouterr().out
    before, after = state(checkpoints["vqvae"]), state("other/vqvae/version_0/checkpoints/last.ckpt")
    assert torch.equal(before["encoder.layers.0.weight"], after["encoder.layers.0.weight"])
    # Codes that were drawn and never met a latent lie far from any.
    model = gen_experiments.load("other/vqvae/version_0/checkpoints/last.ckpt")
    pixels, _ = independent.digits(32)
    with torch.no_grad():
        latents = model.encoder(pixels[:200].float() / 127.5 - 1).movedim(1, -1).flatten(0, 2)
    assert torch.cdist(after["quantizer.codebook"], latents).amin(1).mean() < 0.5 * latents.std()
    assert after["quantizer.codebook"].std() > 0.5 * before["quantizer.codebook"].std()


def test_a_run_that_goes_on_does_not_begin_anew(experiment, checkpoints, capsys):
    options = [*SMALL["vqvae"], *OTHER, f"--run.init_from={checkpoints['vqvae']}"]
    assert experiment("fit", *options) == 0
    capsys.readouterr()
    assert experiment("fit", *options, "--ckpt_path=last", "--trainer.max_steps=4") == 0
    said = capsys.readouterr().out
    assert "goes on from" in said
    assert "begins with" not in said


def test_a_run_of_no_steps_writes_what_it_begins_with(experiment, checkpoints, tmp_path, capsys):
    """Of the weights alone, as another program would have them; the run can then be trained."""
    before = state(checkpoints["vqvae"])
    save_file({f"module.{name}": weight for name, weight in before.items()}, tmp_path / "bare.safetensors")
    options = [*SMALL["vqvae"], *SHORT, "--run.root=other", "--run.init_from=bare.safetensors"]
    assert experiment("fit", *options, "--trainer.max_steps=0") == 0
    count = sum(not name.endswith("_extra_state") for name in before)
    assert f"begins with {count} of {count} weights, from bare.safetensors" in capsys.readouterr().out
    last = "other/vqvae/version_0/checkpoints/last.ckpt"
    held = checkpoint(last)
    assert (held["images_seen"], held["global_step"]) == (0, 0)
    assert held["state_dict"].keys() == before.keys()
    assert all(torch.equal(held["state_dict"][name], before[name]) for name in before)
    origin = {str(tmp_path / "bare.safetensors"): sha256(tmp_path / "bare.safetensors")}
    assert began_with("other/vqvae/version_0") == origin
    assert experiment("fit", *options, "--trainer.max_steps=2", "--ckpt_path=last") == 0
    assert "goes on from" in capsys.readouterr().out
    assert checkpoint(last)["global_step"] == 2
    assert began_with("other/vqvae/version_0") == origin


def test_a_run_that_begins_from_a_checkpoint_records_its_hash(experiment, checkpoints, tmp_path):
    source = checkpoints["vqvae"]
    steps = checkpoint(source)["global_step"] + 1
    options = [*SMALL["vqvae"], *OTHER, f"--ckpt_path={source}", f"--trainer.max_steps={steps}"]
    assert experiment("fit", *options) == 0
    assert began_with("other/vqvae/version_0") == {str(source): sha256(source)}


def test_the_files_of_weights_in_parts_are_all_recorded(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "one.safetensors")
    save_file({"b": torch.zeros(2)}, tmp_path / "two.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    files = [tmp_path / name for name in ("model.safetensors.index.json", "one.safetensors", "two.safetensors")]
    assert files_named(str(tmp_path)) == files
    assert files_named(f"{files[0]}:") == files


def test_what_cannot_be_begun_with_is_said_and_leaves_nothing(refused, checkpoints, tmp_path):
    fit = ["fit", *SMALL["gan"], *OTHER]
    assert "there is no checkpoint at nowhere.ckpt" in refused(*fit, "--run.init_from=nowhere.ckpt")
    assert "no weight of" in refused(*fit, f"--run.init_from={checkpoints['vqvae']}")
    both = [f"--run.init_from={checkpoints['gan']}", f"--ckpt_path={checkpoints['gan']}"]
    assert "exclude each other" in refused(*fit, *both)
    assert not list((tmp_path / "other").rglob("*.ckpt"))
    assert not list((tmp_path / "other").glob("*/version_*"))


def test_of_several_sets_of_weights_one_is_to_be_named(tmp_path):
    model, path = vqvae(), tmp_path / "a.pt"
    weights = {name: value + 1 for name, value in model.state_dict().items()}
    torch.save({"params": model.state_dict(), "params_ema": weights}, path)
    with pytest.raises(
        UserError, match=f"several sets of weights that fit: name one, {path}:params or {path}:params_ema"
    ):
        load_what_fits(model, path)
    count = sum(not name.endswith("_extra_state") for name in weights)
    assert load_what_fits(model, f"{path}:params_ema")[0].startswith(f"begins with {count} of {count} weights")
    assert torch.equal(model.quantizer.codebook, weights["quantizer.codebook"])


def test_averages_begin_as_copies_whatever_wrapped_the_weights(tmp_path):
    plain, averaged = vqvae(), vqvae(ema_half_life=10.0)
    weights = {name: value + 1 for name, value in plain.state_dict().items()}
    torch.save({f"model._orig_mod.{name}": value for name, value in weights.items()}, tmp_path / "a.pt")
    load_what_fits(averaged, tmp_path / "a.pt")
    for name in ("encoder", "quantizer", "decoder"):
        loaded = {key: value for key, value in getattr(averaged, name).state_dict().items() if "_extra" not in key}
        assert all(torch.equal(value, weights[f"{name}.{key}"]) for key, value in loaded.items())
    for average, part in averaged.averaged_parts():
        assert equal(average.module.state_dict(), part.state_dict())


def test_whole_numbers_are_no_weights(tmp_path):
    model = vqvae()
    torch.save({name: value.long() for name, value in model.state_dict().items()}, tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"no weight of .* fits this model by name and shape"):
        load_what_fits(model, tmp_path / "a.pt")
