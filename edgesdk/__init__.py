"""edgesdk: the cameras of a LAN as one compute cluster."""

__version__ = "0.1.0"
