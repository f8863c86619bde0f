"""Runs sentence-transformers models of the BERT family by onnxruntime alone, from their own files.

Only what gives the very vectors of sentence-transformers itself is run. Whatever a file says beyond
that is a reason not to run the model, which is told.
"""
