"""Postgres, NATS and Valkey from Python wheels, and the Django backend for this Postgres."""
