"""Exported functions are those of the model, whoever computes them."""

import json
import logging
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import gen_experiments
from exported_models import check_function, of_classes, write_livened
from gen_experiments.commands.export import PROGRAMS
from gen_experiments.commands.programs import TorchExport, quietly, trace_function, write_program
from gen_experiments.errors import UserError
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.pure_functions import PureFunction
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.fsq import FSQ
from gen_experiments.quantizers.residual import ResidualQuantizer
from small_models import vqvae

ROWS = (1, 5)  # neither is the number of rows with which a function is traced or checked


@pytest.fixture(scope="module")
def exports(contents, tmp_path_factory):
    """The folders of an exported GAN of classes and of an exported VQ-VAE, and the checkpoints that they are of."""
    from gen_experiments.__main__ import main

    folder = tmp_path_factory.mktemp("exports")
    described = {name: contents[name]["hyper_parameters"] for name in ("gan", "vqvae")}
    described["gan"] = of_classes(described["gan"])
    found = {}
    for name, hyper_parameters in described.items():
        path = write_livened(hyper_parameters, folder / f"{name}.ckpt", gain=2.0)
        assert main(["export", str(path), f"--out={folder / 'exported' / name}"]) == 0
        found[name] = folder / "exported" / name, path
    return found


@torch.no_grad()
def test_the_generator_of_a_gan_of_classes(exports):
    folder, path = exports["gan"]
    model = gen_experiments.load(path)
    source = torch.Generator().manual_seed(0)
    for rows in ROWS:
        inputs = {"latents": torch.randn(rows, 64, generator=source), "labels": torch.arange(rows) + 3}
        images = model(*inputs.values())
        others = model.generator.eval()(*inputs.values()), model(inputs["latents"], inputs["labels"] - 3)
        assert min(float((images - other).std()) for other in others) > 0.01
        check_function(folder, "generator", inputs, {"images": images})


@torch.no_grad()
def test_the_three_functions_of_a_vqvae(exports):
    folder, path = exports["vqvae"]
    model = gen_experiments.load(path)
    assert isinstance(model, VQVAE)
    for rows in ROWS:
        images = 2 * torch.rand(rows, 1, 32, 32) - 1
        codes = model.encode(images)
        assert len(codes.unique()) > 2
        check_function(folder, "encoder", {"images": images}, {"latents": model.encoder(images), "codes": codes})
        quantized, remade = model.code_latents(codes), model.reconstruct(images)
        assert remade.std() > 0.1
        check_function(folder, "codebook", {"codes": codes}, {"quantized": quantized})
        check_function(folder, "decoder", {"quantized": quantized}, {"images": remade})
    # Weights stand in a program by their names, not as constants of its graph.
    weights = torch.export.load(folder / "encoder.pt2").state_dict.values()
    for part in (next(model.encoder.parameters()), model.quantizer.codes()):
        assert any(torch.equal(part, weight) for weight in weights)


ALONE = """
import sys
sys.modules.update(dict.fromkeys(("gen_experiments", "lightning")))  # as if they were not installed
import torch
encoder, codebook, decoder = (torch.export.load(f"{name}.pt2").module() for name in ("encoder", "codebook", "decoder"))
_, codes = encoder(torch.load("images.pt"))
torch.save(decoder(codebook(codes)), "remade.pt")
"""


@pytest.mark.long
def test_programs_run_where_this_package_is_not(exports, tmp_path):
    folder, path = exports["vqvae"]
    images = 2 * torch.rand(4, 1, 32, 32) - 1
    for name in ("encoder", "codebook", "decoder"):
        shutil.copy(folder / f"{name}.pt2", tmp_path)
    torch.save(images, tmp_path / "images.pt")
    subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, check=True)
    with torch.no_grad():
        expected = gen_experiments.load(path).reconstruct(images)
    torch.testing.assert_close(torch.load(tmp_path / "remade.pt"), expected, rtol=0, atol=1e-5)


def test_the_configuration_says_what_there_is(exports):
    folder, path = exports["vqvae"]
    config = json.loads((folder / "config.json").read_text())
    held = torch.load(path, weights_only=True)
    assert config["model"]["class_path"] == "gen_experiments.models.vqvae.VQVAE"
    assert config["model"]["init_args"]["quantizer"] == held["hyper_parameters"]["quantizer"]
    assert config["image"] == {"channels": 1, "size": 32, "num_classes": 10, "class_names": list("0123456789")}
    assert (config["images_seen"], config["global_step"]) == (32, 2)
    assert config["functions"]["encoder"] == {
        "inputs": {"images": {"shape": ["batch", 1, 32, 32], "dtype": "float32"}},
        "outputs": {
            "latents": {"shape": ["batch", 8, 8, 8], "dtype": "float32"},
            "codes": {"shape": ["batch", 8, 8], "dtype": "int64"},
        },
        "files": ["encoder.onnx", "encoder.pt2"],
    }
    named = {name for function in config["functions"].values() for name in function["files"]}
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors", *named}
    weights = load_file(folder / "model.safetensors")
    assert weights.keys() == held["state_dict"].keys()
    assert all(torch.equal(weights[name], value) for name, value in held["state_dict"].items())


def written_to(folder, name, function):
    for file_format in PROGRAMS.values():
        contents, _ = write_program(name, function, trace_function(name, function), file_format)
        (folder / f"{name}{file_format.suffix}").write_bytes(contents)


QUANTIZERS = {
    "FSQ": lambda: FSQ((4, 5, 3)),
    "residual": lambda: ResidualQuantizer(lambda: EMAQuantizer(8, 4), depth=2),
}


@pytest.mark.parametrize("name", QUANTIZERS)
@torch.no_grad()
def test_codes_of_every_shape(tmp_path, name):
    model = vqvae(quantizer=QUANTIZERS[name](), ema_half_life=10.0).eval()
    for part in model.averages.parameters():
        part.mul_(1.5)  # the averages are what counts
    functions = model.pure_functions()
    for each in ("encoder", "codebook"):
        written_to(tmp_path, each, functions[each])
    images = 2 * torch.rand(5, 1, 8, 8) - 1
    codes = model.encode(images)
    assert len(codes.unique()) > 3
    latents = model.averages[0].module(images)
    check_function(tmp_path, "encoder", {"images": images}, {"latents": latents, "codes": codes})
    check_function(tmp_path, "codebook", {"codes": codes}, {"quantized": model.code_latents(codes)})


@pytest.mark.long
@torch.no_grad()
def test_the_logits_of_a_prior(checkpoints, tmp_path):
    model = gen_experiments.load(checkpoints["prior"])
    for weight in model.ema.module.parameters():
        weight.normal_(std=0.3)  # at its start a transformer mixes nothing
    functions = model.pure_functions()
    assert functions.keys() == {"encoder", "codebook", "decoder", "logits"}
    written_to(tmp_path, "logits", functions["logits"])
    codes = torch.randint(32, (5, 64))
    inputs = {"codes": codes, "hidden": torch.rand(5, 64) < 0.5, "conditions": torch.tensor([0, 3, 10, 9, 1])}
    check_function(tmp_path, "logits", inputs, {"logits": model.averaged.logits(*inputs.values())})


def test_a_program_that_computes_something_else_is_not_written():
    def compute(values):
        return values + (1.0 if torch.compiler.is_exporting() else 0.0)

    function = PureFunction(compute, (), {"values": torch.rand(3, 2)}, ("sums",))
    for file_format in PROGRAMS.values():
        with pytest.raises(UserError, match="would differ from the model by 1"):
            write_program("sum", function, trace_function("sum", function), file_format)


def test_what_depends_on_the_values_is_refused():
    function = PureFunction(lambda x: x if x.sum() > 0 else -x, (), {"values": torch.rand(3, 2)}, ("values",))
    with pytest.raises(UserError, match="the absolute cannot be traced"):
        trace_function("absolute", function)


def test_the_size_of_a_batch_is_asked_of_its_shape():
    inputs = {"values": torch.rand(3, 2)}
    with pytest.raises(UserError, match=r"the sums cannot be traced .* by x\.shape\[0\], not by len\(x\)"):
        trace_function("sums", PureFunction(lambda x: x.view(len(x), 2), (), inputs, ("sums",)))
    trace_function("sums", PureFunction(lambda x: x.view(x.shape[0], 2), (), inputs, ("sums",)))


def test_a_difference_is_the_largest_of_all_outputs_beside_the_size_of_their_numbers():
    function = PureFunction(lambda x: (x, 100 * x), (), {"values": torch.ones(3, 2)}, ("same", "large"))
    program = trace_function("both", function)

    class Off(TorchExport):
        def run(self, contents, inputs):
            same, large = super().run(contents, inputs)
            return [same, large + by]

    by = 0.05
    assert write_program("both", function, program, Off())[1] == pytest.approx(by, rel=1e-3)
    by = 0.2
    with pytest.raises(UserError, match=r"both\.pt2 would differ from the model by 2\.0e-01: not written"):
        write_program("both", function, program, Off())
    with quietly():
        assert not logging.getLogger("torch").isEnabledFor(logging.WARNING)
    assert logging.getLogger("torch").isEnabledFor(logging.WARNING)


def test_mistakes_get_one_line(refused, checkpoints, tmp_path, monkeypatch):
    path = checkpoints["gan"]
    assert "there is no checkpoint at nowhere.ckpt" in refused("export", "nowhere.ckpt")
    assert "there is no format onx" in refused("export", path, "--formats=[safetensors,onx]")

    def trace(*_):
        raise AssertionError("all was traced in vain")

    monkeypatch.setattr("gen_experiments.commands.export.trace_function", trace)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert "full exists and is no empty folder" in refused("export", path, "--out=full")
    assert "mine.txt exists and is no empty folder" in refused("export", path, "--out=full/mine.txt")
    assert "cannot write full/mine.txt/out" in refused("export", path, "--out=full/mine.txt/out")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not installed
    assert "pip install 'gen-experiments[export]'" in refused("export", path, "--out=other")
    assert not (tmp_path / "other").exists()
