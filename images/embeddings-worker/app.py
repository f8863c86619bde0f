"""Serves embeddings of a model in a store, and loads new releases without failing a request.

python images/embeddings-worker/app.py --store /mnt/models --model BAAI/bge-large-en-v1.5
"""

import os
import signal

# Process 1 has no default action for SIGTERM. During the imports below, which take seconds, a
# SIGTERM would be lost, and the pod would end only after its whole grace period.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

from embeddings_worker.main import main

if __name__ == "__main__":
    main()
