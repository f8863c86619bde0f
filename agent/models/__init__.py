"""Model files and what runs them: formats, devices, runtimes."""
