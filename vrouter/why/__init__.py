"""Why something gets traffic, or does not, in words.

The walk goes the way a packet's fate is decided: service -> listener -> pool -> member -> interface -> unit -> what
stands in the kernel -> what has passed. The functions that compile are asked again, so what is said here is what was
done, not a second opinion; and the back-end is asked about the things in question only, however many there are.

    walk.py         from a question to its answers
    evidence.py     what the back-end says, asked for once
    ground.py       what the walks stand on
    services.py     a service, a listener, a pool, a member
    pods.py         an interface: what leads to it, and why nothing does
    outside.py      floating-ips, and what is reached from outside
    lines.py        how it is said
"""

from vrouter.why.walk import explain

__all__ = ["explain"]
