"""The work of operators: promote, roll back, verify, warm, prune, look."""
