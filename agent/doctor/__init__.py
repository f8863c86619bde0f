"""`model-agent doctor`: says what is wrong between the share and the worker, and what to do.

`examination` runs the checks. The modules here look at things; `judge` says what they mean.
"""
