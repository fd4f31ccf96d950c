"""Experiments with image generators: GANs and VQ-VAEs from one YAML."""

__version__ = "0.1.0"
