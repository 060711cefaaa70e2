"""Objects in, data plane out: `Compiler` keeps the units this node should have up to date with the cache.

    routers.py      where nodes are in the underlay
    networks.py     a virtual-network's VRF, its subnets, the networks that policies join to it
    interfaces.py   which interfaces stand here, and how; which are on other nodes
    members.py      which back-ends answer for a listener, and why the others do not
    services.py     which VIPs stand in which VRF
    routes.py       what is reached from one VRF in another, and which networks cannot be joined
    outside.py      addresses that the outside reaches
    view.py         what these functions see
    engine.py       when they run

docs/design/compiler.md says why nobody keeps a list of what touches what.
"""

from vrouter.compiler.engine import Compiler

__all__ = ["Compiler"]
