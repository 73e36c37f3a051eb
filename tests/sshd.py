"""A real OpenSSH server on 127.0.0.1, as rented machines have one: on an odd port, with a key."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
RUN = Path("/run/sshd")  # root's sshd wants it, and only Debian's service makes it


@dataclass
class Host:
    """Where to log in, and with what."""

    user: str
    port: int
    key: Path
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def url(self, path: Path) -> str:
        """A folder of the machine, as DVC writes it."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"

    def listen(self) -> None:
        """Start the server."""
        assert SSHD is not None
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", self.folder / "sshd_config"],
            stdout=subprocess.DEVNULL, stderr=(self.folder / "sshd.log").open("ab"),
        )  # fmt: skip
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def configure(self, old: str, new: str) -> None:
        """Replace a line of the configuration, and start with it."""
        self.stop()
        file = self.folder / "sshd_config"
        file.write_text(file.read_text().replace(f"{old}\n", f"{new}\n"))
        self.listen()

    def stop(self) -> None:
        """Take the machine away, with the connections that are open."""
        assert self.process is not None
        server = psutil.Process(self.process.pid)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


def make(folder: Path, port: int) -> Host:
    """Keys and configuration of a server, in a new folder."""
    folder.mkdir(parents=True)
    for name in ("host_key", "my_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    shutil.copy(folder / "my_key.pub", folder / "authorized_keys")
    (folder / "sshd_config").write_text(
        f"""Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
"""
    )
    if os.getuid() == 0:
        RUN.mkdir(exist_ok=True)
    return Host(getpass.getuser(), port, folder / "my_key", folder)
