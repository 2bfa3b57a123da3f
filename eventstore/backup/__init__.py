"""Archive of the log, and the way back: import, restore, recovery, a new broker."""
