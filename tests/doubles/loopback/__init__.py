"""The parts that the doubles share: serving, faults, counters and the control endpoint.

`control.py` describes the endpoint /_control/, `faults.py` the fields of a fault and its kinds.
"""
