"""`vaportrail-cni`: what a container runtime calls to plug a pod in (Container Network Interface 1.0).

A runtime starts it for each pod and waits, so it loads no more than it needs: the standard library and the kernel's
messages, no web client and no server.

command      the program: one call of the runtime, one answer
request      what the runtime asks: environment and network configuration
add remove check    its three commands
client       how the agent of this node is asked
container    the container's network namespace, and the link into it
answer       what the runtime is told
"""
