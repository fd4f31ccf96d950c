"""Exported folders that someone hands over: as with checkpoints, nothing of what stands in them runs."""

import copy
import json
import shutil
import struct

import pytest
import torch
from evil_checkpoints import MALFORMED, REACHING
from safetensors.torch import load_file, save_file

from pictures_on_disk import write_pictures


@pytest.fixture(scope="module")
def exported(checkpoints, tmp_path_factory):
    from gen_experiments.__main__ import main

    folder = tmp_path_factory.mktemp("exported")
    for model in ("gan", "vqvae"):
        assert main(["export", str(checkpoints[model]), "--formats=[safetensors]", f"--out={folder / model}"]) == 0
    return folder


@pytest.fixture
def evil(exported, tmp_path):
    """Writes `evil`, the export of a GAN with a changed configuration."""
    shutil.copytree(exported / "gan", tmp_path / "evil")
    good = json.loads((exported / "gan" / "config.json").read_text())

    def write(change):
        config = copy.deepcopy(good)
        change(config)
        (tmp_path / "evil" / "config.json").write_text(json.dumps(config))

    return write


def test_the_parts_that_are_named(refused, evil, subtests_of):
    for name, value in REACHING.items():
        with subtests_of(name):
            evil(lambda config, value=value: config["model"]["init_args"].update(generator=value))
            refused("sample", "evil", "--num=1")


def test_configurations_that_make_no_sense(refused, evil, subtests_of):
    plain = {name: value for name, value in MALFORMED.items() if name not in ("contains itself", "doubled forty times")}
    for name, value in plain.items():
        with subtests_of(name):
            try:
                evil(lambda config, value=value: config["model"]["init_args"].update(generator=value))
            except TypeError:  # a tensor or a set, which JSON cannot hold
                continue
            refused("sample", "evil", "--num=1")
    for key, value in (
        ("format", 2),
        ("format", None),
        ("model", None),
        ("model", []),
        ("model", {"class_path": "torch.os.system", "init_args": {}}),
        ("model", {"class_path": "canary_module.Part", "init_args": {}}),
        ("model", {"class_path": ["gen_experiments.models.gan.GAN"], "init_args": {}}),
        ("model", {"class_path": "gen_experiments.models.gan.GAN", "init_args": {}}),
        ("model", {"class_path": "gen_experiments.models.gan.GAN"}),
        ("images_seen", "many"),
        ("global_step", None),
    ):
        with subtests_of(f"{key}: {value}"):
            evil(lambda config, key=key, value=value: config.update({key: value}))
            refused("sample", "evil", "--num=1")


def test_an_unknown_class_is_named(refused, evil):
    evil(lambda config: config["model"]["init_args"].update(generator={"class_path": "NoSuchGenerator"}))
    assert "NoSuchGenerator" in refused("sample", "evil", "--num=1")
    evil(lambda config: config["model"].update(class_path="canary_module.Model"))
    assert "GEN_EXPERIMENTS_TRUST=canary_module" in refused("sample", "evil", "--num=1")


def test_files_that_are_no_configurations(refused, evil, subtests_of, tmp_path):
    path = tmp_path / "evil" / "config.json"
    for name, text in {
        "nothing": "",
        "no JSON": "{",
        "a list": "[]",
        "deep": "[" * 200_000,
        "a long number": '{"format": ' + "1" * 10_000 + "}",
        "too large": " " * (5 << 20) + "{}",
        "no text": "\udcff",
    }.items():
        with subtests_of(name):
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
            assert "config.json" in refused("sample", "evil", "--num=1")
    path.unlink()
    assert "it has no config.json" in refused("sample", "evil", "--num=1")
    (tmp_path / "evil" / "model.safetensors").unlink()
    assert "there is no checkpoint at evil" in refused("sample", "evil", "--num=1")


def test_weights_that_do_not_fit(refused, evil, exported, subtests_of, tmp_path):
    good = load_file(exported / "gan" / "model.safetensors")
    first = next(iter(good))
    for name, state in {
        "none": {},
        "one missing": {key: value for key, value in good.items() if key != first},
        "one too many": {**good, "no_such": torch.zeros(1)},
        "another shape": {**good, first: torch.zeros(7, 7)},
        "those of another model": load_file(exported / "vqvae" / "model.safetensors"),
    }.items():
        with subtests_of(name):
            save_file(state, tmp_path / "evil" / "model.safetensors")
            said = refused("sample", "evil", "--num=1")
            assert "other weights" in said or "larger model" in said
    config = json.loads((tmp_path / "evil" / "config.json").read_text())
    config["model"]["init_args"]["generator"]["init_args"]["width"] = 2**13
    (tmp_path / "evil" / "config.json").write_text(json.dumps(config))
    save_file(good, tmp_path / "evil" / "model.safetensors")
    assert "larger model" in refused("sample", "evil", "--num=1")


def test_the_weights_alone(refused, evil):
    evil(lambda config: None)
    said = refused("sample", "evil/model.safetensors", "--num=1")
    assert "evil/model.safetensors holds weights alone: name the folder that `export` wrote them to" in said


def test_files_that_are_no_weights(refused, evil, exported, subtests_of, tmp_path, checkpoints):
    good = (exported / "gan" / "model.safetensors").read_bytes()
    header = b'{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
    claims = struct.pack("<Q", len(header)) + header
    for name, data in {
        "empty": b"",
        "cut": good[: len(good) // 2],
        "text": b"hello\n" * 100,
        "a checkpoint": checkpoints["gan"].read_bytes(),
        "claims a terabyte": claims + b"\0" * 64,
        "claims a long header": struct.pack("<Q", 2**62) + good[8:],
    }.items():
        with subtests_of(name):
            (tmp_path / "evil" / "model.safetensors").write_bytes(data)
            assert "model.safetensors cannot be read" in refused("sample", "evil", "--num=1")


def test_other_commands_refuse_it_as_well(refused, evil, subtests_of, tmp_path):
    write_pictures(tmp_path / "pictures", 1)
    evil(lambda config: config["model"]["init_args"].update(optimizer_g=REACHING["torch.os.system"]))
    for command, options in {
        "export": ["--out=other"],
        "interpolate": [],
        "project": ["--images=pictures"],
        "memorisation": [],
        "evaluate": ["pictures", "--extractor=DigitsFeatures"],
    }.items():
        with subtests_of(command):
            refused(command, "evil", *options)
