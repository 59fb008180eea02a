"""Adapters to inference runtimes, one package each; installed as ``edgesdk.backends``."""
