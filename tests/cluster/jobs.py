"""The sbatch files that are shipped, submitted with a small model, and what becomes of its jobs."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from conftest import CONFIGS, SHORT, SMALL
from one_node_slurm import ENDED, Slurm, wait_until
from processes import PYTHONPATH

SRUN, TORCHRUN = (CONFIGS / "trainer" / f"{name}.sbatch" for name in ("slurm", "slurm_torchrun"))
STEPS = 160
# Batch norm on CPUs would normalise by each process's own part of the batch.
MODELS = {
    "vqvae": [*SMALL["vqvae"], "--model.quantizer.revive_below=0.5"],
    "gan": [
        *SMALL["gan"],
        "--model.n_critic=2",
        "--model.generator.batch_norm=false",
        "--model.discriminator.batch_norm=false",
    ],
}


@dataclass
class Job:
    """A job, or one task of an array.

    Attributes:
        id: its number, or ARRAY_TASK.
        folder: where it was submitted; the run is below `runs`.
        log: the file of all that it prints, in all of its starts.
        progress: the file that tells the number of restarts and the iterations since the last, see `WriteProgress`.
    """

    slurm: Slurm
    id: str
    folder: Path
    log: Path
    progress: Path

    def known(self):
        """What SLURM knows of it."""
        return self.slurm.job(self.id)

    def wait_until_started(self, restarts=0):
        """Waits until a start of the job, the first being 0, has come to the code that both of its ranks run."""
        wait_until(
            lambda: self.log.exists() and self.log.read_text().count("Seed set to") >= 2 * (restarts + 1),
            f"start {restarts} of {self}",
            self.log,
        )

    def wait_for_iterations(self, count, restarts=0):
        """Waits until a start of the job, the first being 0, has finished so many iterations, or the job has ended."""

        def reached():
            start, done = map(int, self.progress.read_text().split()) if self.progress.exists() else (-1, -1)
            return (start == restarts and done >= count) or self.known()["JobState"] in ENDED

        wait_until(reached, f"{count} iterations of start {restarts} of {self}", self.log)

    def wait_until_restarted(self, restarts):
        """Waits until SLURM has put the job into the queue so many times, or it has ended."""

        def restarted():
            known = self.known()
            return int(known["Restarts"]) >= restarts or known["JobState"] in ENDED

        wait_until(restarted, f"restart {restarts} of {self}", self.log)

    def wait_until_ended(self):
        """Waits until the job will not run again, and returns what SLURM knows of it."""
        wait_until(lambda: self.known()["JobState"] in ENDED, f"the end of {self}", self.log)
        return self.known()

    def wait_until_completed(self):
        """Waits for the job's end, and returns how often it was restarted.

        Raises:
            AssertionError: it ended in another way than by itself and well.
        """
        known = self.wait_until_ended()
        assert known["JobState"] == "COMPLETED", f"{known}\n{self.log.read_text()}"
        return int(known["Restarts"])


def submit(slurm, folder, model, *options, nodes=1, ranks=2, tasks=None, file=SRUN):
    """Submits the file for a run, or for an array of so many tasks; returns its jobs, one for each task."""
    progress = {"class_path": "progress.WriteProgress", "init_args": {"folder": str(folder)}}
    fit = [
        *MODELS[model],
        f"--config={CONFIGS / 'trainer' / 'slurm.yaml'}",
        *SHORT,
        f"--trainer.max_steps={STEPS}",
        "--trainer.val_check_interval=50",
        "--trainer.log_every_n_steps=3",  # the penalty of the GAN is computed every 16
        "--trainer.accelerator=cpu",
        f"--trainer.callbacks+={json.dumps(progress)}",
        *options,
    ]
    # These outrank the lines of the file, which are for nodes with eight GPUs.
    place = [f"--nodes={nodes}", f"--ntasks-per-node={ranks // nodes}", "--gres=none", "--cpus-per-task=1"]
    place += [f"--array=0-{tasks - 1}", "--output=log-%a.txt"] if tasks else ["--output=log-0.txt"]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{slurm.environment['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), PYTHONPATH]),
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "offline",
        "MASTER_ADDR": "127.0.0.1",  # the nodes' names are known to SLURM alone
    }
    job = slurm.submit(*place, file, *fit, cwd=folder, environment=environment)
    return [
        Job(slurm, f"{job}_{task}" if tasks else job, folder, folder / f"log-{task}.txt", folder / f"progress-{task}")
        for task in range(tasks or 1)
    ]
