"""Health of members: who is probed, how often, and what the answers come to.

    probing.py   one member and one monitor: answers become a state
    checks.py    all of them, on the agent's event loop
    room.py      how many probes may be on their way

The probe itself is the back-end's, for it knows the way into a VRF.
"""

from vrouter.health.checks import HealthChecks
from vrouter.health.probing import Probing, Transition

__all__ = ["HealthChecks", "Probing", "Transition"]
