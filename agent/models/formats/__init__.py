"""The formats of model files, read without loading them."""
