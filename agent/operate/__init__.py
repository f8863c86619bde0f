"""What operators do: promote, roll back, verify, prune, look."""
