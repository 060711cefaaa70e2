"""A whole load balancer as one noun: a VIP, its ports, the back-ends behind each.

It is made of the objects that Contrail's kube-manager makes of a Kubernetes service: an interface and an instance-ip
for the VIP, the loadbalancer, and for each port a listener and a pool with a member per back-end.
"""
