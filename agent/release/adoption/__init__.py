"""Adoption: picks the files of a hand-made tree that make a release. Pure: listing in, plan out."""
