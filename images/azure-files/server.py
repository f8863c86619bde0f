"""Starts the double of Azure Files: tests/doubles/azure_files says what it serves."""

import sys
from pathlib import Path

# The package is found from any current directory, and in the image, where nothing installs it.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.doubles.azure_files.commandline import main

if __name__ == "__main__":
    sys.exit(main())
