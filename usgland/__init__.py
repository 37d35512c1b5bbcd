"""Benign or malignant? Ultrasound classifiers that survive review."""

__version__ = "0.1.0"
