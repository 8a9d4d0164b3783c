"""Policies as they were received, each under the digest of what it says."""

from __future__ import annotations

from pathlib import Path

from policies import Policy, parse
from tasks.durable import write_whole
from tasks.errors import IntegrityError


def keep_policy(home: Path, digest: str, data: bytes) -> None:
    path = _path(home, digest)
    if not path.exists():
        write_whole(path, data)


def kept_policy(home: Path, digest: str) -> Policy:
    """IntegrityError if it is not there, or says something else by now."""
    path = _path(home, digest)
    policy = parse(path.read_bytes(), f"policy {digest[:12]}") if path.exists() else None
    if policy is None or policy.digest != digest:
        raise IntegrityError(f"{path} is not the policy in force that was received: restore it from a backup")
    return policy


def _path(home: Path, digest: str) -> Path:
    return home / "policies" / f"{digest}.yaml"
