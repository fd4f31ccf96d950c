"""What commands read beside a checkpoint: configurations, codes, noise, pictures."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import yaml
from evil_checkpoints import BOMB, COMMAND, MALFORMED, REACHING
from PIL import Image

from pictures_on_disk import write_pictures

PLAIN = (type(None), str, int, float, list, dict)
CONFIGS_OF_NOTHING = {
    "empty": "",
    "text": "hello",
    "list": "[1, 2]",
    "no data": "model: 1",
    "data of None": "data:",
    "data of text": "data: canary_module.Part",
    "no YAML": "data: [",
    "tabs": "data:\n\t- x",
    "alias bomb": BOMB.replace("b: *a11", "data: {init_args: {root: *a11}}"),
    "alias bomb of keys": BOMB.replace("b: *a11", "data: {*a11 : 1}"),
    "contains itself": "data: &a {class_path: *a}",
    "list that contains itself": "data: &a [*a]",
    "nested deeply": "data: " + "[" * 50_000,
    "nested a little less": "data: " + "[" * 200 + "]" * 200,
    "tag of a command": f"data: !!python/object/apply:os.system ['{COMMAND}']",
    "tag of a module": "data: !!python/name:canary_module.function",
    "foreign data module": "data: {class_path: canary_module.Part}",
    "data module by a function": f"data: {{class_path: torch.os.system, init_args: {{command: {COMMAND}}}}}",
    "model for data": "data: {class_path: gen_experiments.models.gan.GAN}",
}


def configs():
    for name, text in CONFIGS_OF_NOTHING.items():
        yield name, text.encode()
    yield "no text", b"\xff\xfe\x00data: 1"
    yield "control characters", b"data: \x1b[31m\x00"
    yield "five megabytes", b"# " + b"x" * (5 << 20)
    for values in (REACHING, MALFORMED):
        for name, value in values.items():
            if isinstance(value, PLAIN) and name not in (
                "contains itself",
                "doubled forty times",
                "nested deeply",
                "None",
            ):
                described = {"class_path": "ImageDataModule", "init_args": {"source": value, "size": 32}}
                yield f"source: {name}", yaml.safe_dump({"data": json.loads(json.dumps(described))}).encode()


@pytest.mark.parametrize("command", ["memorisation", pytest.param("augment-score", marks=pytest.mark.long)])
def test_the_configuration_beside_a_checkpoint(refused, checkpoints, subtests_of, tmp_path, command):
    for name, data in configs():
        with subtests_of(name):
            (tmp_path / "evil.yaml").write_bytes(data)
            refused(command, checkpoints["gan"], "--config=evil.yaml")


def test_a_folder_instead_of_a_configuration(refused, checkpoints, tmp_path):
    assert "by --config" in refused("memorisation", checkpoints["gan"], f"--config={tmp_path}")


def _npy(shape, dtype="<i8", data=b""):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def _archive(name, data, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def arrays(name, item, dtype):
    """Archives that are no codes or noise of the shape `item`."""
    whole = ", ".join(map(str, item))
    yield "empty", b""
    yield "text", b"hello"
    yield "array without an archive", _npy(f"(1, {whole})", dtype, bytes(64))
    yield "another name", _archive("other", _npy(f"(1, {whole})", dtype, bytes(4096)))
    yield "empty array", _archive(name, b"")
    yield "header only", _archive(name, _npy(f"(1, {whole})", dtype))
    yield "23 GB", _archive(name, _npy(f"(45000000, {whole})", dtype, bytes(1 << 20)))
    yield "overflowing", _archive(name, _npy(f"({2**62}, {whole})", dtype))
    yield "negative", _archive(name, _npy(f"(-1, {whole})", dtype))
    yield "no items", _archive(name, _npy(f"(0, {whole})", dtype))
    yield "another shape", _archive(name, _npy("(1, 3, 3, 3, 3)", dtype, bytes(1 << 12)))
    yield "scalar", _archive(name, _npy("()", dtype, bytes(8)))
    yield "text for numbers", _archive(name, _npy(f"(1, {whole})", "<U8", bytes(1 << 12)))
    yield "objects", _archive(name, _npy(f"(1, {whole})", "|O", b"cposix\nsystem\n(S'touch COMMAND_RAN'\ntR."))
    yield "no header", _archive(name, b"\x93NUMPY\x01\x00\xff\xff{'descr'")
    yield "code for a header", _archive(name, _npy("__import__('canary_module')", dtype))
    good = _archive(name, _npy(f"(1, {whole})", dtype, bytes(1 << 12)), zipfile.ZIP_STORED)
    yield "cut short", good[: len(good) // 2]
    yield "damaged", good.replace(b"\x00" * 64, b"\xff" * 64)


def test_codes(refused, checkpoints, subtests_of, tmp_path):
    for name, data in arrays("codes", (8, 8), "<i8"):
        with subtests_of(name):
            (tmp_path / "evil.npz").write_bytes(data)
            refused("decode", checkpoints["vqvae"], "--codes=evil.npz")


def test_codes_out_of_range(refused, checkpoints, tmp_path):
    for dtype, value in (("<i8", -1), ("<u8", 2**64 - 1), ("<i2", 32)):
        np.savez(tmp_path / "evil.npz", codes=np.full((1, 8, 8), value, dtype=dtype))
        assert "codes" in refused("decode", checkpoints["vqvae"], "--codes=evil.npz")


def test_noise(refused, checkpoints, subtests_of, tmp_path):
    for name, data in arrays("latents", (64,), "<f8"):
        with subtests_of(name):
            (tmp_path / "evil.npz").write_bytes(data)
            refused("interpolate", checkpoints["gan"], "--latents=evil.npz")


POSTSCRIPT = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(%pipe%{COMMAND}) (r) file\nshowpage\n"


def pictures():
    yield "empty", b""
    yield "text", b"hello"
    yield "PostScript", POSTSCRIPT.encode()
    yield "icon", _encoded("ICO")
    yield "PDF", b"%PDF-1.4\n"
    whole = _encoded("PNG")
    yield "cut short", whole[: len(whole) // 2]
    yield "head only", whole[:40]
    damaged = bytearray(whole)
    damaged[60:80] = b"\xff" * 20
    yield "damaged", bytes(damaged)
    yield "of 100,000 pixels squared", whole[:16] + struct.pack(">II", 100_000, 100_000) + whole[24:]
    yield "of no pixels", whole[:16] + struct.pack(">II", 0, 0) + whole[24:]
    yield "JPEG cut short", _encoded("JPEG")[:200]
    yield "TIFF cut short", _encoded("TIFF")[:150]


def _encoded(kind):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("command", "model"),
    [("encode", "vqvae"), ("reconstruct", "vqvae"), ("project", "gan"), ("inpaint", "prior")],
)
def test_pictures(refused, checkpoints, subtests_of, tmp_path, command, model):
    for name, data in pictures():
        with subtests_of(name):
            (tmp_path / "pictures").mkdir(exist_ok=True)
            (tmp_path / "pictures" / "evil.png").write_bytes(data)
            assert "evil.png" in refused(command, checkpoints[model], "--images=pictures")


def test_masks(refused, checkpoints, subtests_of, tmp_path):
    write_pictures(tmp_path / "pictures", 1)
    for name, data in pictures():
        with subtests_of(name):
            (tmp_path / "mask.png").write_bytes(data)
            assert "mask.png" in refused("inpaint", checkpoints["prior"], "--images=pictures", "--mask=mask.png")


MEASURED = """
import re, sys
import gen_experiments.cli.trainer_commands, scipy.linalg, PIL.Image, torchvision
from gen_experiments.__main__ import main
def peak():
    # Not `ru_maxrss`, which begins with what the parent has taken.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024
before = peak()
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print("MEGABYTES", peak() - before)
sys.exit(code)
"""


def measured(tmp_path, *arguments):
    """Runs a command line in a process of its own; returns its code, stderr, and what it took at most, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_CPU_COUNT": "2"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stderr, int(done.stdout.rpartition("MEGABYTES ")[2] or -1)


@pytest.mark.long
def test_a_file_that_claims_gigabytes_takes_none(checkpoints, tmp_path):
    pickled = b"\x80\x02cbuiltins\nbytearray\n(\x8a\x05\x00\x00\x00\x00\x02tR."
    with zipfile.ZipFile(tmp_path / "evil.ckpt", "w") as target:
        for entry, data in (("data.pkl", pickled), ("version", b"3\n"), ("data/0", bytes(9 << 20))):
            target.writestr(f"archive/{entry}", data)
    code, said, megabytes = measured(tmp_path, "sample", "evil.ckpt")
    assert (code, said.count("error: "), said.count("Traceback")) == (1, 1, 0)
    assert megabytes < 100
    (tmp_path / "evil.npz").write_bytes(_archive("codes", _npy("(45000000, 8, 8)", "<i8", bytes(3 << 20))))
    code, said, megabytes = measured(tmp_path, "decode", checkpoints["vqvae"], "--codes=evil.npz")
    assert (code, said.count("error: "), said.count("Traceback")) == (1, 1, 0)
    assert "it claims" in said
    assert megabytes < 100


@pytest.mark.long
def test_large_pictures_are_decoded_one_after_another(checkpoints, tmp_path):
    (tmp_path / "pictures").mkdir()
    # 36 million pixels take 144 MB, and four times that where they are transparent.
    Image.new("RGBA", (6000, 6000), (255, 0, 0, 128)).save(tmp_path / "pictures" / "0.png", compress_level=1)
    for number in range(1, 9):
        (tmp_path / "pictures" / f"{number}.png").hardlink_to(tmp_path / "pictures" / "0.png")
    code, said, megabytes = measured(tmp_path, "encode", checkpoints["vqvae"], "--images=pictures")
    assert code == 0, said
    assert megabytes < 800
