"""Parts of the user's own package, which a file may name once the user trusts the package."""

import pytest
import torch
from evil_checkpoints import changed, hyper

import gen_experiments
from gen_experiments.errors import UserError

OWN = """
from gen_experiments.networks.generators import DCGANGenerator

class MyGenerator(DCGANGenerator):
    pass
"""


@pytest.fixture
def own_part(contents, refused, tmp_path):
    """A checkpoint, `own.ckpt`, whose generator is of a module of the user."""
    (tmp_path / "importable" / "own_parts.py").write_text(OWN)
    generator = {**contents["gan"]["hyper_parameters"]["generator"], "class_path": "own_parts.MyGenerator"}
    torch.save(changed(contents["gan"], hyper(generator=generator)), "own.ckpt")


def test_a_part_of_the_user_works_once_its_package_is_trusted(own_part, refused, experiment, monkeypatch):
    said = refused("sample", "own.ckpt")
    assert "own_parts.MyGenerator" in said
    assert "GEN_EXPERIMENTS_TRUST=own_parts" in said
    monkeypatch.setenv("GEN_EXPERIMENTS_TRUST", "another, own_parts")
    assert experiment("sample", "own.ckpt", "--num=1") == 0
    for package in ("torch", "torch.hub", "os", "os.path", "jsonargparse", "a b", "*"):
        monkeypatch.setenv("GEN_EXPERIMENTS_TRUST", package)
        said = f"GEN_EXPERIMENTS_TRUST names your own packages, separated by commas; {package} cannot be one"
        assert said in refused("sample", "own.ckpt")


@pytest.mark.parametrize("trust", ["own_parts", ["another", "own_parts"]])
def test_python_names_the_trusted_package_for_one_call(own_part, refused, trust):
    with pytest.raises(UserError, match=r"own_parts\.MyGenerator.*load\(path, trust='own_parts'\)"):
        gen_experiments.load("own.ckpt")
    loaded = gen_experiments.load("own.ckpt", trust=trust)
    assert type(loaded.generator).__module__ == "own_parts"
    assert "own_parts.MyGenerator" in refused("sample", "own.ckpt")
    for package in ("torch", "os", "a b", "*", ""):
        with pytest.raises(UserError, match="trust names your own packages"):
            gen_experiments.load("own.ckpt", trust=package)
