"""Parts of a package outside of this project: chosen by their import paths, used by every command, and mistaken."""

import csv
import functools
import os
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch

import gen_experiments
from conftest import CONFIGS, SMALL
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.networks.autoencoder import ConvDecoder, ConvEncoder

OUTSIDE = Path(__file__).parent / "own_package"
DATA = """
data:
  init_args: {source: {class_path: mylab.parts.Stripes, init_args: {count: 60}}, size: 16, batch_size: 8}
evaluation: {extractor: {class_path: mylab.parts.Thumbnails, init_args: {side: 3}}}
trainer:
  max_steps: 4
  val_check_interval: 2
  log_every_n_steps: 1
  logger: {class_path: MetricsCSV, init_args: {save_dir: RUN_DIR}}
"""
VQVAE = """
model:
  class_path: mylab.parts.ContrastVQVAE
  init_args:
    contrast: 0.2
    encoder: {init_args: {hidden: 8, residual_hidden: 4}}
    decoder: {init_args: {hidden: 8, residual_hidden: 4}}
    quantizer: {class_path: mylab.parts.Signs, init_args: {dim: 5}}
    reconstruction: {class_path: mylab.parts.Huber, init_args: {delta: 0.2}}
"""
GAN = """
model:
  class_path: mylab.parts.OwnGAN
  init_args:
    generator: {class_path: mylab.parts.Perceptron, init_args: {latent_dim: 6}}
    discriminator: {init_args: {width: 4}}
    loss: mylab.parts.LeastSquares
"""
SWEEP = """
program: gen_experiments
method: grid
metric: {name: val/rfid, goal: minimize}
parameters: {model.quantizer.dim: {values: [3]}}
command: [python, -m, gen_experiments, fit, "--config=CONFIGS/vqvae.yaml", --config=vqvae.yaml, "${args}"]
"""
COMMANDS = [
    "fit --config=CONFIGS/vqvae.yaml --config=vqvae.yaml",
    "fit --config=CONFIGS/vqvae.yaml --config=vqvae.yaml --ckpt_path=last --trainer.max_steps=6",
    "fit --config=CONFIGS/gan.yaml --config=gan.yaml --evaluation.samples=20 "
    "--trainer.callbacks+=mylab.parts.Brightness",
    "validate --config=CONFIGS/vqvae.yaml --config=vqvae.yaml --ckpt_path=best",
    "evaluate runs/vqvae/version_0",
    "evaluate runs/gan/version_0 --num=20",
    "sample runs/gan/version_0 --num=4 --out=samples.png",
    "reconstruct runs/vqvae/version_0 --images=runs/vqvae/version_0/images --out=pairs.png",
    "report runs/vqvae/version_0 runs/gan/version_0",
]
MORE_COMMANDS = [
    "export runs/gan/version_0 --out=exported",
    "sample exported --num=4 --out=again.png",
    "fit --config=CONFIGS/prior.yaml --config=data.yaml --model.vqvae=runs/vqvae/version_0 --model.prior.width=16 "
    "--evaluation.samples=20",
    "sample runs/prior/version_0 --class=flat --num=4 --out=flat.png",
    "sweep sweep.yaml --count=1",
]
RUN = """
import sys
from gen_experiments.__main__ import main

for line in sys.stdin.read().splitlines():
    print("$", line, flush=True)
    code = main(line.split())
    if code:
        sys.exit(f"{line} ended with {code}")
"""
ADAM = functools.partial(torch.optim.Adam, lr=1e-3)


def run_all(commands, folder):
    """Runs commands in one process of a user who has the package installed; returns what they printed."""
    for name, text in {"data": DATA, "vqvae": DATA + VQVAE, "gan": DATA + GAN, "sweep": SWEEP}.items():
        (folder / f"{name}.yaml").write_text(text.replace("CONFIGS", str(CONFIGS)))
    paths = [OUTSIDE, Path(gen_experiments.__file__).parents[1], *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input="\n".join(commands).replace("CONFIGS", str(CONFIGS)),
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "GEN_EXPERIMENTS_TRUST": "mylab", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.mark.long
def test_every_part_comes_from_an_own_package(tmp_path):
    printed = run_all([*COMMANDS, *MORE_COMMANDS], tmp_path)
    assert "our own GAN trains" in printed
    with (tmp_path / "runs/vqvae/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["train/contrast"]] == ["0", "1", "2", "3", "4", "5"]
    for name in ("samples.png", "pairs.png", "again.png", "flat.png", "report.html", "exported/generator.onnx"):
        assert (tmp_path / name).stat().st_size > 0
    with (tmp_path / "runs/gan/version_0/metrics.csv").open() as file:
        assert any(row["val/brightness"] for row in csv.DictReader(file))


WRONG = """
import torch
from gen_experiments.data.sources import Decoded
from mylab.parts import Huber, LeastSquares, Perceptron, Signs, Stripes, Thumbnails

class TooLarge(Signs):
    def forward(self, z):
        right = super().forward(z)
        return type(right)(right.values, right.indices + 2**self.dim, right.loss)
class Narrow(Perceptron):
    def forward(self, noise, labels=None): return super().forward(noise)[..., 1:]
class NoLatent(Perceptron):
    def __init__(self, image):
        super().__init__(image)
        del self.latent_dim
class EachPixel(Huber):
    def __call__(self, reconstruction, images): return (reconstruction - images).square()
class EachImage(LeastSquares):
    def generator(self, real, fake): return fake.square()
class Bare(Stripes):
    def decode(self, split, size): return super().decode(split, size).images
class Untrained(Stripes):
    def splits(self): return {"test"}
class Short(Thumbnails):
    def extract(self, images): return super().extract(images)[:, 1:]
class Nan(Thumbnails):
    def extract(self, images): return super().extract(images) * float("nan")
class NoPart: ...
"""


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Has the package, and modules in a folder beside it, be found by their names."""
    beside = tmp_path_factory.mktemp("beside")
    (beside / "wrong.py").write_text(WRONG)
    (beside / "unfinished.py").write_text("def f(:\n")
    (beside / "unlucky.py").write_text("raise RuntimeError('no licence')\n")
    (beside / "lacking.py").write_text("import nothing_of_this_name\n")
    with pytest.MonkeyPatch.context() as patch:
        for folder in (OUTSIDE, beside):
            patch.syspath_prepend(folder)
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mylab", "wrong")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("model", "option", "complaint"),
    [
        ("vqvae", "model.quantizer=wrong.TooLarge", "TooLarge.forward returned indices from "),
        (
            "gan",
            "model.generator=wrong.Narrow",
            "Narrow.forward must have shape (8, 1, 16, 16), not float32 of shape (8",
        ),
        ("gan", "model.generator=wrong.NoLatent", "NoLatent has no latent_dim: its class or its __init__ must set it"),
        ("vqvae", "model.reconstruction=wrong.EachPixel", "the result of EachPixel.__call__ must be a scalar tensor"),
        ("gan", "model.loss=wrong.EachImage", "the result of EachImage.generator must be a scalar tensor"),
        ("vqvae", "data.source=wrong.Bare", "must return a gen_experiments.data.sources.Decoded, not a ndarray"),
        ("vqvae", "data.source=wrong.Untrained", "Untrained.splits must name a split train"),
        (
            "vqvae",
            "evaluation.extractor=wrong.Short",
            "Short.extract must have shape (2, 9), not float32 of shape (2, 8)",
        ),
        ("vqvae", "evaluation.extractor=wrong.Nan", "Nan.extract returned features that are NaN"),
        ("vqvae", "model.quantizer=mylab.parts.Sings", "no class Sings in mylab.parts; did you mean Signs?"),
        ("vqvae", "model.quantizer=mylab.prats.Signs", "model.quantizer: there is no module mylab.prats"),
        ("vqvae", "model.quantizer=maylab.parts.Signs", "there is no module maylab: install its package, or start in"),
        (
            "vqvae",
            "model.quantizer=mylab/parts.py",
            "mylab/parts.py is no import path: write it as package.module.Class",
        ),
        (
            "vqvae",
            "model.quantizer=wrong.NoPart",
            "model.quantizer: wrong.NoPart is no Quantizer: derive it from Quant",
        ),
        ("gan", "model.generator=wrong.NoPart", "model.generator: wrong.NoPart is no Generator: derive it from Gen"),
        ("gan", "trainer.callbacks+=wrong.NoPart", "trainer.callbacks: wrong.NoPart is no Callback: derive it from"),
        ("vqvae", "model.quantizer=unfinished.Q", "unfinished cannot be imported: SyntaxError: invalid syntax (unfi"),
        ("vqvae", "model.quantizer=unlucky.Q", "unlucky cannot be imported: RuntimeError: no licence"),
        (
            "vqvae",
            "model.quantizer=lacking.Q",
            "lacking cannot be imported: ModuleNotFoundError: No module named 'noth",
        ),
    ],
)
def test_a_mistake_in_an_own_part_is_one_line_before_the_first_validation(
    outside, experiment, tmp_path, capsys, model, option, complaint
):
    small = "--data.source=mylab.parts.Stripes", "--data.size=16", "--data.batch_size=8", "--trainer.logger=false"
    extractor = "--evaluation.extractor=mylab.parts.Thumbnails"
    assert experiment("fit", *SMALL[model], *small, extractor, f"--{option}") in (1, 2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert complaint in line
    assert not list(tmp_path.glob("runs/*/version_*"))


def test_a_subclass_that_hands_its_arguments_on_is_loaded_as_it_was_trained(outside, tmp_path, monkeypatch):
    from mylab.parts import ContrastVQVAE, Huber, Signs, Stripes

    data = ImageDataModule(Stripes(40), size=16, batch_size=8)
    parts = {
        "decoder": functools.partial(ConvDecoder, hidden=8, residual_hidden=4),
        "quantizer": Signs(4),
        "reconstruction": Huber(delta=0.3),
    }
    encoder = functools.partial(ConvEncoder, hidden=8, residual_hidden=4)
    model = ContrastVQVAE(data.image, encoder, **parts, optimizer=ADAM, contrast=0.2)
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    monkeypatch.setenv("GEN_EXPERIMENTS_TRUST", "mylab")
    loaded = gen_experiments.load(tmp_path / "own.ckpt")
    assert isinstance(loaded, ContrastVQVAE)
    assert (loaded.contrast, loaded.reconstruction.delta, loaded.quantizer.dim) == (0.2, 0.3, 4)
    images = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded.encode(images), model.eval().encode(images))
