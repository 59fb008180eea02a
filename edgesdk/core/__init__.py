"""The only place that knows cffi: ring, bell, results and scheduler of libedgesdk."""

from importlib.util import find_spec

if find_spec("edgesdk.core._native") is None:
    raise ImportError(
        f"{__path__[0]} has no native module: a checkout of edgesdk that is not built is found "
        "before the installed package. Start Python from another directory, or run: "
        "pip install --no-build-isolation -e ."
    )
