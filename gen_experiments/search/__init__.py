"""Searches for hyperparameters on one machine: what was tried, and what is tried next."""
