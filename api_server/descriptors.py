"""How many files and connections this process may hold open: a watcher is one for as long as it watches."""

import resource

MOST = 65_536
RESERVE = 200
"""For all but connections: the database, listening, those that are told that they are too many."""
REQUESTS = 100
"""Connections that watchers leave to others."""


def allow_many() -> None:
    """Raise the soft limit, which is often 1024, towards the hard one, as any process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def for_connections() -> int:
    """How many connections the limit leaves room for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(soft - RESERVE, 1)


def for_watchers() -> int:
    """How many of them may be watchers."""
    return max(for_connections() - REQUESTS, 1)
