"""Searches for hyperparameters on one machine.

- `sweep_file`: the file of a W&B sweep; `trials`: stores the trials, and draws the next one.
"""
