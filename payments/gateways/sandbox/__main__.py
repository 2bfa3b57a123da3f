"""`python -m payments.gateways.sandbox`."""

from payments.gateways.sandbox.command import main

if __name__ == "__main__":
    raise SystemExit(main())
