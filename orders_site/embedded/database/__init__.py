"""The Django database backend for PostgreSQL 16+ that speaks django-cockroachdb's dialect."""
