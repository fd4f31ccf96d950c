"""What all tests share: no account, no network, a cache of their own, and the command line in a folder of its own."""

import getpass
import os
import shutil
import tempfile
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path

import lightning.pytorch  # noqa: F401 - now: its log goes to the stderr of this moment, and that of a test gets closed
import pytest
import torch

from shared_fixtures import backbone_weights, cache, inception_weights, photograph, ramps  # noqa: F401
from slowest_first import pytest_collection_modifyitems  # noqa: F401

CONFIGS = Path(__file__).parent.parent / "configs"

# A run of a few steps, without the loggers that need a client.
SHORT = (
    "--trainer.max_steps=4",
    "--trainer.val_check_interval=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--data.batch_size=16",
)

# The shipped models, made small.
SMALL = {
    "vqvae": (
        f"--config={CONFIGS / 'vqvae.yaml'}",
        "--model.encoder.hidden=8",
        "--model.encoder.residual_hidden=4",
        "--model.decoder.hidden=8",
        "--model.decoder.residual_hidden=4",
        "--model.quantizer.num_codes=32",
        "--model.quantizer.dim=8",
    ),
    "gan": (
        f"--config={CONFIGS / 'gan.yaml'}",
        "--model.generator.width=4",
        "--model.discriminator.width=4",
        "--evaluation.samples=128",
    ),
}

SMALL_PRIOR = (
    f"--config={CONFIGS / 'prior.yaml'}",
    "--model.prior.width=16",
    "--model.prior.depth=2",
    "--model.prior.heads=2",
    "--model.prior.steps=3",
    "--model.ema_half_life=100",
    "--evaluation.samples=60",
)

# A program that locks the folder it is given, says whether it could, and lives until its input ends.
HOLD = """
import sys
from pathlib import Path
from gen_experiments.runs.lock import lock
print(lock(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def pytest_configure(config):
    """Has the tests compute with one thread each, and what they put among temporary files end with the session.

    The client of Weights & Biases, torchrun and whatever is killed leave folders there. pytest's own stay where they
    are, and so does the compiler's cache, without which each session would wait for it anew.
    """
    if hasattr(config, "workerinput"):  # of xdist, which inherits what follows
        return
    # Before a worker loads a linear algebra library, which never looks again: with two threads each, two tests side by
    # side take up to ten times as long.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    before = Path(tempfile.gettempdir())
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(before))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(before / f"torchinductor_{getpass.getuser()}"))
    # Not below pytest's folders: the path of a socket has 104 bytes at most.
    folder = tempfile.mkdtemp(prefix="gen-")
    # After `multiprocessing`, which removes a folder of its own in there at a priority of -100 and would miss it.
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-200)
    os.environ["TMPDIR"], tempfile.tempdir = folder, None


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory):
    """Keeps the tests off the user's cache, home and W&B account."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_EXPERIMENTS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("WANDB_MODE", "disabled")
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("huggingface")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        torch.set_num_threads(1)  # where the tests run without workers
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # and so do the processes that they start
        yield


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Runs a command line in a fresh folder, in this process, and returns its exit code."""
    from gen_experiments.__main__ import main

    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)

    def run(*arguments):
        try:
            return main([str(argument) for argument in arguments])
        except SystemExit as end:
            return end.code

    yield run
    # A run hands seeds, folders and ports to its processes by the environment: none of it is for the next test.
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """A VQ-VAE, a GAN, and a prior over the first's codes, whose own VQ-VAE file is gone by now."""
    from gen_experiments.__main__ import main

    folder, before = tmp_path_factory.mktemp("trained"), dict(os.environ)
    for model in SMALL:
        assert main(["fit", *SMALL[model], *SHORT, "--trainer.max_steps=2", f"--run.root={folder}"]) == 0
    paths = {model: folder / model / "version_0" / "checkpoints" / "last.ckpt" for model in [*SMALL, "prior"]}
    moved = folder / "moved.ckpt"
    moved.write_bytes(paths["vqvae"].read_bytes())
    prior = ["fit", *SMALL_PRIOR, *SHORT, f"--model.vqvae={moved}", "--data.flip=true", f"--run.root={folder}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_EXPERIMENTS_CACHE", str(folder / "cache"))
        assert main(prior) == 0
    moved.unlink()
    os.environ.clear()
    os.environ.update(before)
    return paths


@pytest.fixture
def mistake(experiment, capsys):
    """Runs a command line that must fail and returns the one line it says."""

    def run(*arguments):
        capsys.readouterr()
        code = experiment(*arguments)
        said = capsys.readouterr().err
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        assert code not in (0, None)
        assert len(lines) == 1, said
        assert "Traceback" not in said
        return lines[0]

    return run


# What hostile files name: it must not be imported.
CANARY = """
open('MODULE_IMPORTED', 'w')
class Part:
    def __init__(self, *arguments, **options): open('MODULE_IMPORTED', 'w')
def function(*arguments, **options): open('MODULE_IMPORTED', 'w')
"""


@pytest.fixture
def refused(experiment, capsys, tmp_path, monkeypatch):
    """Runs a command that must end with one line and nothing else; returns the line."""
    elsewhere = tmp_path / "importable"
    elsewhere.mkdir()
    (elsewhere / "canary_module.py").write_text(CANARY)
    (tmp_path / "hubconf.py").write_text(CANARY + "def canary_function(): pass\n")
    (tmp_path / "part.yaml").write_text("class_path: canary_module.Part\n")
    monkeypatch.syspath_prepend(elsewhere)
    monkeypatch.delenv("GEN_EXPERIMENTS_TRUST", raising=False)

    def run(*arguments):
        capsys.readouterr()
        code = experiment(*arguments)
        said = capsys.readouterr().err
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        assert code not in (0, None), said
        assert len(lines) == 1, said
        assert said.rstrip().splitlines()[-1] == lines[0], said
        assert "Traceback" not in said
        assert len(lines[0]) < 1500
        assert not (tmp_path / "MODULE_IMPORTED").exists(), "a file had a module imported"
        assert not (tmp_path / "COMMAND_RAN").exists(), "a file had a command run"
        return lines[0]

    return run


@pytest.fixture(scope="session")
def contents(checkpoints):
    """The contents of a good checkpoint of each model."""
    return {model: torch.load(path, weights_only=True) for model, path in checkpoints.items()}


@pytest.fixture
def subtests_of():
    """Goes on after a failed case, and fails at the end with the names of all that failed."""
    failed = {}

    @contextmanager
    def case(name):
        try:
            yield
        except AssertionError as error:
            failed[name] = str(error)[:1000]

    yield case
    assert not failed, "\n\n".join(f"{name}: {said}" for name, said in failed.items())
