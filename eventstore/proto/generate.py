"""Writes the Python code of eventstore.proto beside it: `python -m eventstore.proto.generate`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTO = "eventstore/proto/eventstore.proto"


def generate(into: Path = ROOT) -> None:
    """Compile the contract below `into`, with the package path that imports need.

    Raises:
        subprocess.CalledProcessError: the contract does not compile.
    """
    outputs = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, PROTO], cwd=ROOT, check=True
    )


if __name__ == "__main__":
    generate()
