"""Fetches models from the Hugging Face Hub, pinned and verified."""
