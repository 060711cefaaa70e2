"""What the agent knows and does, as JSON on the loopback interface.

Read only, and no part of forwarding: a page is made when it is asked for, from the agent's own state or by asking the
backend. The pages have the columns of Contrail's tools where they show the same thing; `/` lists them.

    server.py       where it listens, and which pages there are
    sources.py      what a page is made from
    questions.py    the parameters of a request, and what is said of wrong ones
    node.py tables.py flows.py stats.py trace.py health.py reasons.py plan.py       the pages, by noun
    metrics.py traffic_metrics.py       for Prometheus
"""

from vrouter.introspect.server import Introspect

__all__ = ["Introspect"]
