"""Nodes that find each other, trust each other by certificates, and share their work.

``authority`` is the operator's side (the CA), ``identity`` a node's. ``control`` carries datagrams
between nodes, ``administration`` an operator's requests, ``discovery`` finds addresses.
"""
