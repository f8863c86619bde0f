"""The rules of each loader: the files of a model that it reads, and those it must have. Pure."""
