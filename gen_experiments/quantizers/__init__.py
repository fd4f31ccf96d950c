"""Quantizers: continuous to discrete and back."""
