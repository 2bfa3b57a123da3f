"""From the log to NATS: what the publisher is made of."""
