"""A loopback double of the Hugging Face Hub, for tests and demonstrations.

python images/hub/server.py --host 127.0.0.1 --port 0 --root DIR [--token T] [--gated ORG/NAME]

Its first line of output is its URL, to be given to huggingface_hub as HF_ENDPOINT. It serves the
models in DIR: DIR/ORG/NAME/REVISION/file, where REVISION is a commit's 40 hex digits. A branch or
tag is a file DIR/ORG/NAME/refs/BRANCH that holds one; without refs/main, `main` is the newest.

Answers are those of the real Hub to a client without Xet: model info, trees, and files, the large
ones by a redirect to a CDN, which is this server under another name. Not modelled: datasets and
spaces, uploads, commits, search, accounts, Xet, the redirect of small files to /api/resolve-cache.

Faults and counters are at /_control/ (see tests/doubles/loopback/control.py). Besides the kinds of
fault in tests/doubles/loopback/faults.py there are `throttled` (429), `busy` (503), `forbidden`
(403), `unauthorized` (401), `not_found` (404), `html_page` (200, an HTML page as the body) and
`lfs_pointer` (200, the Git LFS pointer of the body in its place).
"""
