"""Options of runs whose every state must survive a resumption, and the rows that they write."""

import csv

from conftest import SMALL

RUNS = {
    "vqvae": [*SMALL["vqvae"], "--model.quantizer.revive_below=0.5", "--model.lr_schedule.images=2000"],
    "gan": [*SMALL["gan"], "--model.n_critic=2"],
}


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
