"""Losses: pure formulas over tensors, logits and callables."""
