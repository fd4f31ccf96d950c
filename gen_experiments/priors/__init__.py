"""Priors: densities over the codes of images, which they learn, measure and sample."""
