"""Serves embeddings of a model in a store, and takes new releases without a request failing.

python images/embeddings-worker/app.py --store /mnt/models --model BAAI/bge-large-en-v1.5
"""

import os
import signal

# Process 1 has no default action: a SIGTERM during the imports below, which take seconds, would be
# lost, and the pod would wait out its grace.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

from embeddings_worker.main import main

if __name__ == "__main__":
    main()
