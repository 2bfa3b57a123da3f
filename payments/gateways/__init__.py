"""Payment providers behind one port: what payments asks of them, and the adapters that ask."""
