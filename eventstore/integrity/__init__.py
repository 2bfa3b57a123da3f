"""Proof that the log is whole and unchanged: verification, signed checkpoints, the writer role."""
