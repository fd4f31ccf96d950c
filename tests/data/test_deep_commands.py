"""Pictures of more than 8 bits, and .npy files, from a command line."""

import re

import numpy as np
import torch
import yaml
from PIL import Image
from test_deep import write_deep

from conftest import SHORT, SMALL
from gen_experiments import load
from gen_experiments.data.framing import Framing
from gen_experiments.data.picture_decoding import decode_one
from gen_experiments.images import to_float


def test_a_run_over_16_bits_from_a_command_line(experiment, capsys, tmp_path):
    write_deep(tmp_path / "in", 40, kind="npy")
    data = ["--data.source=ImageFolder", f"--data.source.root={tmp_path / 'in'}", "--data.source.channels=1"]
    data += ["--data.source.arrays=true", "--data.value_range=[30000, 30200]", "--data.size=16"]
    arguments = ["fit", *SMALL["vqvae"], *SHORT, *data, "--evaluation.extractor=null"]
    assert experiment(*arguments, "--data.depth=16") == 0
    # 40 images of 16x16 pixels, of two bytes each.
    assert "pixels: decoded once, 0.0195 MiB of 16 bits a channel in" in capsys.readouterr().out
    run = tmp_path / "runs" / "vqvae" / "version_0"
    assert re.search(r"value_range:\s*\n\s*- 30000", (run / "config.yaml").read_text())
    # Commands read a folder as the run does.
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert experiment("encode", checkpoint, f"--images={tmp_path / 'in'}") == 0
    model = load(checkpoint)
    first = Framing(value_range=(30000, 30200))
    expected = model.encode(to_float(torch.from_numpy(decode_one(tmp_path / "in" / "00.npy", 16, 1, first))[None]))
    held = np.load(tmp_path / "codes.npz")
    assert held["files"].tolist() == [f"{number:02d}.npy" for number in range(40)]
    assert np.array_equal(held["codes"][0], expected[0])
    # The scores compare what is written, of 8 bits, with the images in 8 bits, from that run's own configuration.
    evaluated = ["evaluate", run, "--metrics=[psnr]", "--extractor=DigitsFeatures", "--extractor.any_images=true"]
    assert experiment(*evaluated) == 0
    assert "of 16 bits, scored in 8" in (run / "evaluation.json").read_text()


def test_damage_reads_the_files_of_a_folder_as_its_configuration_says(experiment, tmp_path):
    numbers = np.array([[0, 250], [500, 1000]], dtype=np.uint16).repeat(8, 0).repeat(8, 1)
    (tmp_path / "in").mkdir()
    for number in range(4):
        np.save(tmp_path / "in" / f"{number}.npy", numbers)
    source = {"class_path": "ImageFolder", "init_args": {"root": str(tmp_path / "in"), "channels": 1, "arrays": True}}
    grey = {"class_path": "gen_experiments.data.damage_parts.Grey"}  # leaves a grey picture as it is
    data = {"source": source, "size": 16, "value_range": [0, 1000], "damage": [grey]}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"data": {"class_path": "ImageDataModule", "init_args": data}}))
    assert experiment("damage", config, f"--images={tmp_path / 'in'}", f"--out={tmp_path / 'out'}") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{number}.png" for number in range(4)]
    # A run and its checkpoint name the configuration of the run.
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    for number, run in enumerate((tmp_path, tmp_path / "checkpoints" / "last.ckpt")):
        assert experiment("damage", run, f"--images={tmp_path / 'in'}", f"--out={tmp_path / f'of_run_{number}'}") == 0
    for folder in ("out", "of_run_0", "of_run_1"):
        written = np.array(Image.open(tmp_path / folder / "0.png"))
        assert np.array_equal(written, np.rint(numbers / 1000 * 255).astype(np.uint8))
