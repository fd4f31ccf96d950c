"""Checkpoints that someone hands over: whatever stands in them, nothing of it runs."""

import io
import json
import pickle
import struct
import zipfile

import pytest
import torch
from evil_checkpoints import COMMAND, CONTENTS, MALFORMED, REACHING, changed, hyper, part

from conftest import CONFIGS, SHORT, SMALL
from pictures_on_disk import write_pictures


def test_the_parts_that_are_named(refused, contents, subtests_of):
    for place, names in (("generator", REACHING), ("optimizer_g", REACHING), ("loss", REACHING)):
        for name, value in names.items():
            with subtests_of(f"{place}: {name}"):
                torch.save(changed(contents["gan"], hyper(**{place: value})), "evil.ckpt")
                refused("sample", "evil.ckpt", "--num=1")


def test_hyperparameters_that_make_no_sense(refused, contents, subtests_of):
    for name, value in MALFORMED.items():
        with subtests_of(name):
            torch.save(changed(contents["gan"], hyper(generator=value)), "evil.ckpt")
            refused("sample", "evil.ckpt", "--num=1")


@pytest.mark.parametrize(("model", "command"), [("gan", "sample"), ("vqvae", "encode")])
def test_contents_that_make_no_sense(refused, contents, subtests_of, tmp_path, model, command):
    write_pictures(tmp_path / "pictures", 1)
    options = {"sample": ["--num=1"], "encode": ["--images=pictures"]}[command]
    for name, change in CONTENTS.items():
        with subtests_of(name):
            torch.save(torch.zeros(1) if change is None else changed(contents[model], change), "evil.ckpt")
            refused(command, "evil.ckpt", *options)


def test_sizes_that_the_weights_do_not_have(refused, contents, subtests_of):
    large = {"width": 2**13, "latent_dim": 2**16}
    for name, value in large.items():
        with subtests_of(name):
            generator = contents["gan"]["hyper_parameters"]["generator"]
            generator = {**generator, "init_args": {**generator["init_args"], name: value}}
            torch.save(changed(contents["gan"], hyper(generator=generator)), "evil.ckpt")
            said = refused("sample", "evil.ckpt")
            assert "larger model" in said or "other weights" in said


def test_the_first_weight_that_does_not_fit_is_named(refused, contents):
    held = contents["gan"]["state_dict"]
    first = next(iter(held))
    shape = tuple(held[first].shape)
    flat = {name: weight.flatten() for name, weight in held.items()}
    states = {
        f"({first} has the shape ({held[first].numel()},), not {shape})": flat,
        f"({first} is missing)": {name: weight for name, weight in held.items() if name != first},
        "(another is unknown)": {"another": torch.zeros(1), **held},
    }
    for said, state in states.items():
        torch.save({**contents["gan"], "state_dict": state}, "evil.ckpt")
        assert said in refused("sample", "evil.ckpt")


# As large as the constructors allow.
@pytest.mark.parametrize(("name", "value"), [("num_codes", 2**24), ("dim", 2**16)])
def test_codebooks_that_the_file_does_not_have(refused, contents, tmp_path, name, value):
    write_pictures(tmp_path / "pictures", 1)
    quantizer = contents["vqvae"]["hyper_parameters"]["quantizer"]
    quantizer = {**quantizer, "init_args": {**quantizer["init_args"], name: value}}
    torch.save(changed(contents["vqvae"], hyper(quantizer=quantizer)), "evil.ckpt")
    said = refused("reconstruct", "evil.ckpt", "--images=pictures")
    assert "larger model" in said or "other weights" in said


def test_depths_that_the_file_does_not_have(refused, contents, tmp_path):
    write_pictures(tmp_path / "pictures", 1)
    encoder = contents["vqvae"]["hyper_parameters"]["encoder"]
    encoder = {**encoder, "init_args": {**encoder["init_args"], "residual_blocks": 1000}}
    torch.save(changed(contents["vqvae"], hyper(encoder=encoder)), "evil.ckpt")
    assert "larger model" in refused("reconstruct", "evil.ckpt", "--images=pictures")


def descriptions(good):
    """VQ-VAEs that a prior's checkpoint describes."""
    hyperparameters = json.loads(good)
    yield from (None, 3, [], "", "{", "{}", "[1]", "evil.ckpt", "canary_module.function", "[" * 100_000)
    yield '{"_class_path": ' * 500 + "1" + "}" * 500
    for key, value in (
        ("_class_path", "canary_module.Part"),
        ("_class_path", "torch.os.system"),
        ("_class_path", "gen_experiments.models.prior.CodePrior"),
        ("_class_path", None),
        ("encoder", part("torch.os.system", command=COMMAND)),
        ("encoder", "canary_module.function"),
        ("decoder", json.dumps(part("canary_module.Part"))),
        ("quantizer", None),
        ("optimizer", part("torch.hub.load", repo_or_dir=".", model="canary_function", source="local")),
        ("image", {"size": 2**30}),
    ):
        yield json.dumps({**hyperparameters, key: value})


def test_the_vqvae_that_a_prior_describes(refused, contents, subtests_of):
    for number, value in enumerate(descriptions(contents["prior"]["hyper_parameters"]["vqvae"])):
        with subtests_of(f"{number}: {str(value)[:60]}"):
            torch.save(changed(contents["prior"], hyper(vqvae=value)), "evil.ckpt")
            refused("sample", "evil.ckpt", "--num=1")


COMMANDS = {
    "sample": [],
    "reconstruct": ["--images=pictures"],
    "interpolate": [],
    "explore": [],
    "project": ["--images=pictures"],
    "memorisation": [],
    "augment-score": [],
    "inpaint": ["--images=pictures"],
    "encode": ["--images=pictures"],
    "decode": ["--codes=codes.npz"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_opens_a_checkpoint(refused, contents, subtests_of, tmp_path, command):
    write_pictures(tmp_path / "pictures", 1)
    for model, change in (
        ("gan", hyper(optimizer_g=part("torch.os.system", command=COMMAND))),
        ("vqvae", hyper(encoder="canary_module.function")),
        ("prior", hyper(prior=json.dumps(part("canary_module.Part")))),
        ("gan", hyper(_class_path="canary_module.Part")),
        ("vqvae", CONTENTS["hyperparameters of None"]),
        ("gan", CONTENTS["weights of None"]),
    ):
        with subtests_of(model):
            torch.save(changed(contents[model], change), "evil.ckpt")
            refused(command, "evil.ckpt", *COMMANDS[command])


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_a_checkpoint_that_a_run_starts_from(refused, contents, subtests_of, command):
    for name, change in (
        ("foreign model", CONTENTS["foreign model"]),
        ("weights of None", CONTENTS["weights of None"]),
        ("repeated weight", CONTENTS["weight that is one number repeated"]),
    ):
        with subtests_of(name):
            torch.save(changed(contents["gan"], change), "evil.ckpt")
            refused(command, *SMALL["gan"], *SHORT, "--ckpt_path=evil.ckpt")


def test_the_vqvae_that_a_prior_is_trained_on(refused, contents, subtests_of):
    for change in (
        hyper(encoder=part("torch.os.system", command=COMMAND)),
        hyper(encoder="canary_module.function"),
        CONTENTS["foreign model"],
    ):
        torch.save(changed(contents["vqvae"], change), "evil.ckpt")
        refused("fit", f"--config={CONFIGS / 'prior.yaml'}", *SHORT, "--model.vqvae=evil.ckpt")


def _rewritten(good, path, change=lambda name, data: data, compression=zipfile.ZIP_STORED):
    """A checkpoint's archive, entry by entry."""
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", compression) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, change(entry.filename, source.read(entry)))


def files(good):
    """Files that are no checkpoints, by name: what is in them."""
    yield "empty", b""
    yield "text", b"hello\n" * 100
    yield "pickle", pickle.dumps({"a": 1})
    yield "pickle of a command", b"cposix\nsystem\n(S'touch COMMAND_RAN'\ntR."
    for length in (10, 1000, len(good) // 2, len(good) - 10):
        yield f"cut after {length}", good[:length]
    damaged = bytearray(good)
    damaged[-300:-200] = b"\xff" * 100
    yield "damaged directory", bytes(damaged)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w"):
        pass
    yield "empty archive", archive.getvalue()
    for name, pickled in (
        ("a command", b"\x80\x02cposix\nsystem\n(X\x11\x00\x00\x00touch COMMAND_RANtR."),
        ("a module", b"\x80\x02ccanary_module\nfunction\n(tR."),
        ("eight gigabytes", b"\x80\x02cbuiltins\nbytearray\n(\x8a\x05\x00\x00\x00\x00\x02tR."),
        ("the name in pieces", b"\x80\x04\x8c\x05posix\x8c\x06system\x93."),
        ("an endless list", b"\x80\x02]q\x00h\x00a."),
        ("nothing", b""),
        ("half an operation", b"\x80\x02X\xff\xff\xff\x7f"),
    ):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as target:
            for entry, data in (("data.pkl", pickled), ("version", b"3\n"), ("byteorder", b"little")):
                target.writestr(f"archive/{entry}", data)
        yield f"archive of {name}", archive.getvalue()


def test_files_that_are_no_checkpoints(refused, checkpoints, subtests_of, tmp_path):
    for name, data in files(checkpoints["gan"].read_bytes()):
        with subtests_of(name):
            (tmp_path / "evil.ckpt").write_bytes(data)
            refused("sample", "evil.ckpt")


def test_compressed_archives_are_refused_by_their_directory(refused, checkpoints):
    _rewritten(checkpoints["gan"], "evil.ckpt", compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refused("sample", "evil.ckpt")


def test_a_directory_that_claims_more_than_the_file_holds(refused, checkpoints, tmp_path):
    data = bytearray(checkpoints["gan"].read_bytes())
    entry = data.index(b"PK\x01\x02")
    while entry >= 0:
        struct.pack_into("<II", data, entry + 20, 2**31, 2**31)
        entry = data.find(b"PK\x01\x02", entry + 4)
    (tmp_path / "evil.ckpt").write_bytes(data)
    assert "claims more bytes" in refused("sample", "evil.ckpt")


def test_a_storage_that_claims_more_than_its_entry(refused, checkpoints):
    def change(name, data):
        return data if not name.endswith("data.pkl") else data.replace(b"K@", b"J\xff\xff\xff\x7f")

    _rewritten(checkpoints["gan"], "evil.ckpt", change)
    refused("sample", "evil.ckpt")
