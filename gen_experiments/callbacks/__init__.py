"""Callbacks: what happens beside training."""
