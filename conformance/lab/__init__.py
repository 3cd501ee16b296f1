"""The lab: hosts in network namespaces, peers in them, traffic between them. Python 3 standard library only."""
