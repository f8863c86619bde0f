"""Starts the double of the Hugging Face Hub: tests/doubles/hub says what it serves."""

import sys
from pathlib import Path

# The package is found from any current directory, and in the image, where nothing installs it.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.doubles.hub.commandline import main

if __name__ == "__main__":
    sys.exit(main())
