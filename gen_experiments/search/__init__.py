"""Searches for hyperparameters on one machine.

- `sweep_file`: the file of a W&B sweep; `trials`: the trials so far, and the next one.
"""
