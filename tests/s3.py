"""A real S3 server, rclone's."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RCLONE = Path(sys.executable).with_name("rclone")


@contextmanager
def serving(folder: Path, *, bucket: str, key: str, secret: str) -> Iterator[str]:
    """Serve an empty bucket from 127.0.0.1 until the block ends; its objects lie in the folder."""
    (folder / bucket).mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen(
        [
            RCLONE, "serve", "s3", "--config", os.devnull,
            "--addr", address, "--auth-key", f"{key},{secret}", folder,
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(address)
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


def _wait(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("rclone serve s3 does not listen")
