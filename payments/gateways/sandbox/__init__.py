"""A payment provider to develop and test against: a process of its own with its own ledger file.

`python -m payments.gateways.sandbox --port 8101 --ledger ledger.sqlite3 --api-key-file key`
starts it; `faults.py` has the amounts and tokens that provoke trouble.
"""
