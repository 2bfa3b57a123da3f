"""The rival: an event and an outbox row in one transaction, as Django projects usually do it."""
