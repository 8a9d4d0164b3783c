"""Free loopback ports: the usual one where it is free, another where it is not, an explicit one or none."""

import os
import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from expunge.tasks.core.errors import ServiceUnreachable

HOST = "127.0.0.1"
ANY = range(15000, 32000)
"""What a port that nobody named is taken from: the system gives those above to outgoing connections at any moment."""


class PortTaken(ServiceUnreachable):
    """A port that was asked for by name is in use."""


@dataclass(frozen=True)
class Wish:
    """One port to find: `usual` is tried first (0: any free port); `variable` in the environment makes one a demand."""

    name: str
    usual: int = 0
    variable: str | None = None


def choose(wishes: list[Wish]) -> dict[str, int]:
    """Port by wish name, all different. Raises PortTaken for a demanded port in use, ValueError for a bad number."""
    with ExitStack() as held:  # all stay bound until the last is found, so that no two get the same
        sockets = {wish.name: held.enter_context(_bind(wish)) for wish in wishes}
        return {name: bound.getsockname()[1] for name, bound in sockets.items()}


def _bind(wish: Wish) -> socket.socket:
    demanded = os.environ.get(wish.variable) if wish.variable else None
    if demanded:
        if not demanded.isdecimal() or not 0 < int(demanded) < 65536:
            raise ValueError(f"{wish.variable}={demanded}: give a port number from 1 to 65535")
        bound = _try_bind(int(demanded))
        if bound is None:
            raise PortTaken(f"{wish.variable}={demanded}: the port is taken; stop what uses it or name another")
        return bound
    for port in (wish.usual, *random.SystemRandom().sample(ANY, 100)):
        if port and (bound := _try_bind(port)):
            return bound
    raise PortTaken("no free port on 127.0.0.1: close some programs")


def _try_bind(port: int) -> socket.socket | None:
    candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no obstacle
    try:
        candidate.bind((HOST, port))
        candidate.listen()  # of two sockets with SO_REUSEADDR both may bind, only one may listen
    except OSError:
        candidate.close()
        return None
    return candidate
