"""`model-agent doctor`: what is wrong between the share and the worker, and what to do about it.

`examination` runs the checks. What each one observes is judged by pure functions (`findings`,
`mounts`, `reach`, `rates`, `variables`, `misplaced`); the other modules do the looking.
"""
