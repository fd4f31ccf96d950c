"""Metrics: extractors, FID, reconstruction errors, codebook usage."""
