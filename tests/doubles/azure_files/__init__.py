"""A loopback double of the Azure Files REST API, for tests and demonstrations.

python images/azure-files/server.py --host 127.0.0.1 --port 0 --account NAME --key BASE64

Its first line of output is its URL. Paths are those of the real host: /SHARE/dir/file.

It serves what `permissions.py` lists, as the service does for SMB shares. Not modelled: snapshots,
copying, Put Range from URL, share ACLs and so stored access policies, user delegation SAS, Shared
Key Lite, handles, List Shares, NFS shares and their links. A deleted share is gone at once.

Faults and counters are at /_control/ (see tests/doubles/loopback/control.py). Besides the kinds of
fault in tests/doubles/loopback/faults.py there are `throttled` (429), `busy` (503),
`sharing_violation` (409), `forbidden` (403) and `timed_out` (500).
"""
