"""The configuration file of a node: one TOML file, read into immutable structs.

Every mistake in the file is reported at once, each with file, line, field, value and what was
expected. Relative paths in the file are relative to its folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgesdk.durations import DURATION_FORM, parse_duration
from edgesdk.errors import ConfigError, EdgeError, UsageError
from edgesdk.listen import MEMBER_LISTEN_FORM, parse_listen, parse_member_listen
from edgesdk.toml.structs import Mistakes, nearest, read_struct

__all__ = [
    "ApplicationConfig",
    "CameraConfig",
    "ClusterConfig",
    "Config",
    "Duration",
    "EmulatedConfig",
    "EmulatedModel",
    "ListenAddress",
    "MemberAddress",
    "Name",
    "NodeConfig",
    "OutboxConfig",
    "ResultsConfig",
    "WebConfig",
    "join_paths",
    "load_config",
    "parse_config",
    "read_value",
]

MAX_FILE_BYTES = 1 << 20


class Duration(int):
    """Nanoseconds; in the file a text such as ``"500ms"``."""


class ListenAddress(str):
    """``host:port`` on loopback; ``edgesdk.listen.parse_listen`` takes it apart."""


Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="a name of letters, digits, '.', '_' and '-', 64 at most",
    ),
]
MemberAddress = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\s:/]{1,255}:[0-9]{1,5}\Z",
        description='HOST:PORT, such as "0.0.0.0:7440"; nodes talk over IPv4 only',
    ),
]
Folder = Annotated[str, msgspec.Meta(min_length=1, max_length=4096, description="a folder's path")]
BackendName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, description="a backend's name")
]


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[node]``: the machine. None and empty mean the default that the contract names."""

    name: Name | None = None
    threads: (
        Annotated[
            int, msgspec.Meta(ge=1, le=1024, description="a whole number of threads, 1 to 1024")
        ]
        | None
    ) = None
    backends: Annotated[
        tuple[BackendName, ...],
        msgspec.Meta(description='a list of backends\' names, such as ["openvino"]'),
    ] = ()
    state: Folder | None = None
    cache: Folder | None = None


class WebConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[web]``: where metrics, health and previews are served; nowhere if *listen* is None."""

    listen: ListenAddress | None = None


class OutboxConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[outbox]``: how much each sink keeps while its receiver is away; the oldest go first."""

    records: Annotated[
        int, msgspec.Meta(ge=1, le=10**9, description="a whole number of records, 1 or more")
    ] = 100_000
    megabytes: Annotated[
        int, msgspec.Meta(ge=1, le=10**6, description="a whole number of megabytes, 1 or more")
    ] = 64


class ResultsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[results]``: *out* is a file to which every result is appended, as ``run --out`` does."""

    out: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=4096, description="a file's path")]
        | None
    ) = None


class CameraConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[cameras.NAME]``; *uri* may contain credentials: show it through ``redact`` only."""

    uri: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=8192,
            description='a source, such as "rtsp://host/stream" or "video.mp4"',
        ),
    ]
    queue: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=1024, description="a whole number of frames, 1 (only the latest) to 1024"
        ),
    ] = 1
    slots: Annotated[
        int, msgspec.Meta(ge=2, le=256, description="a whole number of ring slots, 2 to 256")
    ] = 4
    frames: Annotated[
        Literal["node", "site", "cluster"],
        msgspec.Meta(description='how far its frames may go: "node", "site" or "cluster"'),
    ] = "cluster"


class ApplicationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[apps.NAME]``; what is None is as the application itself says."""

    app: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[^:]+:[A-Za-z_][A-Za-z0-9_.]*\Z",
            max_length=4096,
            description='"FILE.py:NAME" or "package.module:NAME"',
        ),
    ]
    cameras: Annotated[
        tuple[Name, ...] | None,
        msgspec.Meta(description='a list of cameras\' names, such as ["door"]'),
    ] = None
    deadline: Duration | None = None
    weight: (
        Annotated[
            float, msgspec.Meta(gt=0, le=1_000_000, description="a number above 0, such as 1.0")
        ]
        | None
    ) = None
    exact: Annotated[bool, msgspec.Meta(description="true or false")] | None = None


class ClusterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[cluster]``: how this node takes part in a cluster.

    *listen* is for control, UDP and TCP; *data*, for frame groups, is the port after it if None.
    """

    bundle: Annotated[
        str, msgspec.Meta(min_length=1, max_length=4096, description="a node bundle's path")
    ]
    listen: MemberAddress = "0.0.0.0:7440"  # certificates guard it
    data: MemberAddress | None = None
    seeds: tuple[MemberAddress, ...] = ()
    site: Annotated[
        str, msgspec.Meta(max_length=64, description="a site's name, 64 characters at most")
    ] = ""
    discovery: Annotated[bool, msgspec.Meta(description="true or false")] = True


class EmulatedModel(msgspec.Struct, frozen=True, kw_only=True):
    """``[emulated.models.NAME]``: a batch of b takes base * (overlap + (1 - overlap) * b)."""

    base: Duration
    overlap: Annotated[float, msgspec.Meta(ge=0, lt=1, description="a number in [0, 1)")] = 0.0
    load: Duration | None = None


class EmulatedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``[emulated]``: a stand-in for an accelerator that is not there.

    Results are real, padded to the stated service time. *residents*: how many models it holds.
    """

    name: Name
    residents: Annotated[
        int, msgspec.Meta(ge=1, le=64, description="a whole number of models, 1 to 64")
    ] = 8
    models: dict[str, EmulatedModel] = {}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file; an empty one is valid and means the defaults."""

    schema: Annotated[Literal[1], msgspec.Meta(description="1, the version this edgesdk reads")] = 1
    node: NodeConfig = NodeConfig()
    web: WebConfig = WebConfig()
    outbox: OutboxConfig = OutboxConfig()
    results: ResultsConfig = ResultsConfig()
    cameras: dict[Name, CameraConfig] = {}
    apps: dict[Name, ApplicationConfig] = {}
    cluster: ClusterConfig | None = None
    emulated: EmulatedConfig | None = None


def load_config(path: str | Path, *, again: bool = False) -> Config:
    """The configuration in the file *path*; relative paths come back joined to its folder.

    again: something runs by this file: a blank one is a write that failed or has not ended, and
    does not mean that all shall end. Raises ConfigError with every mistake, one a line.
    """
    file = Path(path)
    try:
        if again and file.is_fifo():
            raise ConfigError(f"{path}: a pipe cannot be read again: expected a file")
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{path}: {reason}: expected a TOML file that can be read") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: over {MAX_FILE_BYTES} bytes: expected a configuration file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8: expected TOML in UTF-8"
        ) from None
    if again and not text.strip():
        raise ConfigError(f"{path}: empty: a file that shall end everything says: schema = 1")
    return parse_config(text, file=str(path), directory=file.parent)


def parse_config(text: str, *, file: str = "config", directory: Path | None = None) -> Config:
    """The configuration that *text* says; *file* is its name in messages.

    Relative paths are joined to *directory*, or left as they are where it is None. Raises
    ConfigError.
    """
    config = read_struct(
        text.replace("\r\n", "\n"), Config, file=file, dec_hook=read_value, check=_check
    )
    return config if directory is None else join_paths(config, directory)


def read_value(kind: type[Any], value: Any) -> Any:
    """The ``dec_hook`` by which msgspec reads this module's structs. Raises ValueError."""
    if kind is Duration:
        if not isinstance(value, str):
            raise ValueError(f"expected {DURATION_FORM}")
        nanoseconds = parse_duration(value)
        if nanoseconds == 0:
            raise ValueError(f"expected {DURATION_FORM}, above zero")
        return Duration(nanoseconds)
    if kind is ListenAddress:
        try:
            parse_listen(str(value))
        except UsageError as error:
            raise ValueError(str(error).partition(": expected ")[2]) from None
        return ListenAddress(value)
    raise NotImplementedError(kind)


def _check(config: Config, mistakes: Mistakes) -> None:
    _check_addresses(config, mistakes)
    for name, camera in config.cameras.items():
        if wrong := _wrong_source(camera.uri):
            mistakes.add(("cameras", name, "uri"), f"cameras.{name}.uri: {wrong}")
    for name, app in config.apps.items():
        for index, wanted in enumerate(app.cameras or ()):
            path = ("apps", name, "cameras", index)
            if wanted not in config.cameras:
                known = nearest(wanted, config.cameras)
                mistakes.add_value(path, wanted, f"the name of a [cameras.NAME] table; {known}")
            elif wanted in (app.cameras or ())[:index]:
                mistakes.add_value(path, wanted, "each camera once")
    for index, backend in enumerate(config.node.backends):
        if backend in config.node.backends[:index]:
            mistakes.add_value(("node", "backends", index), backend, "each backend once")


def _check_addresses(config: Config, mistakes: Mistakes) -> None:
    cluster = config.cluster
    if cluster is None:
        return
    addresses: list[tuple[tuple[str | int, ...], str | None]] = [
        (("cluster", "listen"), cluster.listen),
        (("cluster", "data"), cluster.data),
    ]
    seeds = [(("cluster", "seeds", i), seed) for i, seed in enumerate(cluster.seeds)]
    for path, address in [*addresses, *seeds]:
        if address is None:
            continue
        if not 0 < int(address.rpartition(":")[2]) < 65536:
            mistakes.add_value(path, address, "a port of 1 to 65535")
        elif (path, address) in addresses:
            try:
                parse_member_listen(address)
            except UsageError:
                mistakes.add_value(path, address, MEMBER_LISTEN_FORM)


def _wrong_source(uri: str) -> str:
    from edgesdk.capture import parse_source

    try:
        parse_source(uri)
    except EdgeError as error:
        return str(error)
    return ""


def join_paths(config: Config, directory: Path) -> Config:
    """*config* with its relative paths joined to *directory*."""
    node = msgspec.structs.replace(
        config.node,
        state=_joined_path(config.node.state, directory),
        cache=_joined_path(config.node.cache, directory),
    )
    cameras = {
        name: msgspec.structs.replace(camera, uri=_joined_source(camera.uri, directory))
        for name, camera in config.cameras.items()
    }
    apps = {
        name: msgspec.structs.replace(app, app=_joined_application(app.app, directory))
        for name, app in config.apps.items()
    }
    cluster = config.cluster
    if cluster is not None:
        bundle = str(directory / Path(cluster.bundle).expanduser())
        cluster = msgspec.structs.replace(cluster, bundle=bundle)
    results = msgspec.structs.replace(
        config.results, out=_joined_path(config.results.out, directory)
    )
    return msgspec.structs.replace(
        config, node=node, results=results, cameras=cameras, apps=apps, cluster=cluster
    )


def _joined_path(folder: str | None, directory: Path) -> str | None:
    return None if folder is None else str(directory / Path(folder).expanduser())


def _joined_source(uri: str, directory: Path) -> str:
    if uri.startswith("file:"):
        path = uri.removeprefix("file:")
        return uri if path.startswith("/") else f"file:{directory / path}"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri) or uri.startswith(("/", "~")):
        return uri
    return str(directory / uri)


def _joined_application(app: str, directory: Path) -> str:
    place, _, name = app.rpartition(":")
    return f"{directory / place}:{name}" if place.endswith(".py") else app
