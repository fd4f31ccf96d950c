"""A checkpoint says how it came about, and a record passes it on."""

import json
import time

from conftest import SHORT, SMALL
from gen_experiments.checkpoints.loading import read_checkpoint


def test_what_a_run_took_is_the_sum_over_its_starts(experiment):
    last = "runs/vqvae/version_0/checkpoints/last.ckpt"
    trained, clock, processor = [], [time.perf_counter()], [time.process_time()]
    for steps, options in ((4, []), (8, ["--ckpt_path=last"])):
        options = [*options, "--seed_everything=3", f"--trainer.max_steps={steps}", "--trainer.precision=bf16-mixed"]
        assert experiment("fit", *SMALL["vqvae"], *SHORT, *options) == 0
        assert read_checkpoint(last)["global_step"] == steps
        trained.append(read_checkpoint(last)["training"])
        clock.append(time.perf_counter())
        processor.append(time.process_time())
    first, second = trained
    assert (first["seed"], first["precision"], first["device"], first["processes"]) == (3, "bf16-mixed", "cpu", 1)
    assert first["images"] == second["images"] == [*set(second["images"])]  # the same images at both starts
    assert 0 < first["seconds"] < clock[1] - clock[0]
    assert 0 < second["seconds"] - first["seconds"] < clock[2] - clock[1]
    assert 0 < first["processor_seconds"] < processor[1] - processor[0]
    assert 0 < second["processor_seconds"] - first["processor_seconds"] < processor[2] - processor[1]

    assert experiment("evaluate", last, "test", "--metrics=[psnr]", "--json=record.json") == 0
    with open("record.json") as file:
        assert json.load(file)["protocol"]["evaluated"]["training"] == second
    assert experiment("export", last, "--formats=[safetensors]", "--out=exported") == 0
    assert read_checkpoint("exported")["training"] == second
