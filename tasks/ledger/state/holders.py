"""Who holds a lease: a process, named so that another one on the same machine can tell that it is dead."""

from __future__ import annotations

import os
import socket
import uuid
from functools import lru_cache
from pathlib import Path

import psutil

from expunge.canonical_json import sha256

BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = "/proc/self/ns/pid"


def new_holder() -> str:
    """Return a name that no other acquisition has: machine, process, its start, and a random part."""
    process = psutil.Process()
    return f"{_machine()}:{process.pid}:{process.create_time():.2f}:{uuid.uuid4().hex}"


def is_dead(holder: str) -> bool:
    """Return whether the process is one of this machine and has ended; of another machine's nobody here can tell."""
    machine, _, rest = holder.partition(":")
    if machine != _machine():
        return False
    pid, started, _ = rest.split(":")
    try:
        process = psutil.Process(int(pid))
        return f"{process.create_time():.2f}" != started or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@lru_cache(maxsize=1)
def _machine() -> str:
    """Name this machine by its name, boot and process numbers: containers of one name count their own processes."""
    boot = BOOT.read_text(encoding="utf-8").strip() if BOOT.is_file() else hex(uuid.getnode())
    namespace = os.readlink(NAMESPACE) if os.path.lexists(NAMESPACE) else ""
    return f"{socket.gethostname()[:63].replace(':', '-')}-{sha256(f'{boot} {namespace}'.encode())[:12]}"
