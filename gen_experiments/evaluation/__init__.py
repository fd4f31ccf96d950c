"""Evaluation: what is compared, with what, and the record of it."""
