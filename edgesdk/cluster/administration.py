"""An operator's requests to a node: TLS on the control plane's port number, one request each.

The node speaks first (so that its refusal of a certificate is read, not lost): ``[1, node id,
version]``. Then ``[verb, body]``, then ``[ok, body or words, cause]``; each is msgpack after its
length in four bytes.
"""

from __future__ import annotations

import logging
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from edgesdk.cluster.admittance import Bucket
from edgesdk.cluster.certificates import Role, Subject
from edgesdk.cluster.connections import Connections
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.tls import authenticated, client_context, explain, server_context
from edgesdk.errors import ClusterError, EdgeError, MalformedMessage, PeerError

__all__ = ["MAX_ANSWER", "MAX_REQUEST", "Administration", "Caller", "Handler", "administer"]

MAX_REQUEST = 1 << 20
MAX_ANSWER = 16 << 20
_MAX_GREETING = 1024
_CONNECTIONS, _OF_ONE_HOST = 32, 8
_SECONDS = 10.0
_HANDSHAKE_SECONDS = 3.0
_LENGTH = struct.Struct("!I")

_log = logging.getLogger(__name__)

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by its certificate."""

    node_id: str
    number: int
    role: Role
    address: Address


@dataclass(frozen=True, slots=True)
class Handler:
    """What answers a verb: *answer* gets the caller and the body, both of msgpack's types.

    It runs on a connection's thread, several at once. An EdgeError of it is told to the caller.
    """

    answer: Callable[[Caller, Any], Any]
    roles: frozenset[Role] = frozenset({"operator"})


class Administration:
    """A TLS server with bounded connections, frames and times. Start it once; any thread closes it.

    ``revoke`` (a newer revocation list, from anybody: the CA signed it) and ``who`` (who this is)
    are there from the start. about: what ``who`` says besides, such as ``data_port``. met: told of
    each caller once it is authenticated, before it is answered.
    """

    def __init__(
        self,
        identity: Identity,
        listen: Address,
        handlers: Mapping[str, Handler],
        *,
        version: str = "",
        about: Mapping[str, Any] | None = None,
        met: Callable[[Caller], None] | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        both: frozenset[Role] = frozenset({"node", "operator"})
        self._handlers = {
            "who": Handler(self._who, both),
            "revoke": Handler(self._revoke, both),
            **handlers,
        }
        self._identity, self._version, self._seconds = identity, version, seconds
        self._about = dict(about or {})
        self._met = met
        self._context: tuple[int, ssl.SSLContext] | None = None
        self.connections = Connections(_CONNECTIONS, _OF_ONE_HOST)
        # Whoever knocks all day shall not fill the log.
        self._words = Bucket(0.1, 20, time.monotonic_ns())
        self.refused: Counter[str] = Counter()
        """Connections that came to nothing, by cause."""
        family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        try:
            self._socket = socket.create_server(listen, family=family, backlog=128)
        except OSError as error:
            raise ClusterError(
                f"cannot listen on TCP {listen[0]}:{listen[1]}: {error.strerror or error}"
            ) from None
        self._thread = threading.Thread(target=self._accept, name="edgesdk-admin", daemon=True)

    @property
    def address(self) -> Address:
        """Host and port of the socket."""
        name = self._socket.getsockname()
        return name[0], name[1]

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def close(self) -> None:
        """No more connections; those that are open have ``seconds`` to end."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        finally:
            self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, name = self._socket.accept()
            except OSError as error:
                if self._socket.fileno() < 0 or error.errno == 22:
                    return
                time.sleep(0.05)  # out of descriptors: others may close some
                continue
            try:
                secure = self._current().wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            except OSError:  # it has gone again
                connection.close()
                continue
            if not self.connections.open(secure, name[0]):
                secure.close()
                continue
            threading.Thread(target=self._serve, args=(secure, name[:2]), daemon=True).start()

    def _serve(self, secure: ssl.SSLSocket, address: Address) -> None:
        try:
            with secure:
                self._serve_one(secure, address)
        except PeerError as error:
            self._refuse(error.cause, address, error)
        except (MalformedMessage, OSError) as error:
            self._refuse("protocol", address, error)
        finally:
            self.connections.closed(secure)

    def _refuse(self, cause: str, address: Address, error: Exception) -> None:
        self.refused[cause] += 1
        level = logging.INFO if self._words.take(time.monotonic_ns()) else logging.DEBUG
        _log.log(level, "administration refuses %s: %s", address[0], error)

    def _serve_one(self, secure: ssl.SSLSocket, address: Address) -> None:
        deadline = time.monotonic() + self._seconds
        secure.settimeout(min(self._seconds, _HANDSHAKE_SECONDS))
        try:
            secure.do_handshake()
        except OSError as error:
            raise explain(error, f"{address[0]}:{address[1]}") from None
        subject = authenticated(secure, self._identity)
        self.connections.known(secure)
        secure.settimeout(self._seconds)
        caller = Caller(subject.node_id, subject.number, subject.role, address)
        if self._met is not None:
            self._met(caller)
        _write(secure, [1, self._identity.node_id, self._version], deadline)
        request = _read(secure, MAX_REQUEST, deadline)
        # What the handler does takes its own time; the caller's patience bounds it.
        answer = self._answer(caller, request)
        _write(secure, answer, time.monotonic() + self._seconds)

    def _answer(self, caller: Caller, request: Any) -> list[Any]:
        match request:
            case [str(verb), body, *_]:
                handler = self._handlers.get(verb)
            case _:
                return [False, "expected [verb, body]", "protocol"]
        if handler is None:
            return [False, f"{verb[:64]!r} is unknown to this version", "protocol"]
        if caller.role not in handler.roles:
            wanted = " or ".join(sorted(handler.roles))
            return [False, f"{verb} is for the role {wanted}, not {caller.role}", "role"]
        try:
            return [True, handler.answer(caller, body), ""]
        except EdgeError as error:
            return [False, str(error), "refused"]
        except Exception as error:
            _log.exception("administration: %s failed", verb)
            return [False, f"{type(error).__name__}: {error} (a bug in edgesdk)", "refused"]

    def _current(self) -> ssl.SSLContext:
        number = self._identity.revocations.number
        if self._context is None or self._context[0] != number:
            self._context = (number, server_context(self._identity))
        return self._context[1]

    def _who(self, caller: Caller, body: Any) -> dict[str, Any]:
        return {
            **self._about,
            "node": self._identity.node_id,
            "number": self._identity.number,
            "version": self._version,
            "utc": time.time(),
            "expires": self._identity.expires.timestamp(),
            "revocations": self._identity.revocations.number,
        }

    def _revoke(self, caller: Caller, body: Any) -> dict[str, Any]:
        if not isinstance(body, bytes):
            raise MalformedMessage("expected a revocation list in DER")
        newer = self._identity.revocations.offer(body)
        return {"newer": newer, "revocations": self._identity.revocations.number}


def administer(
    identity: Identity,
    address: Address,
    verb: str,
    body: Any = None,
    *,
    timeout: float = 5.0,
    expected: str | None = None,
) -> Any:
    """Asks the node at *address* and returns its answer, of msgpack's types.

    timeout: seconds, in all. expected: the node id that must answer. Raises PeerError, whose cause
    says what is wrong with the connection, or that the node refuses.
    """
    return Conversation(identity, address, timeout=timeout, expected=expected).ask(verb, body)


class Conversation:
    """One connection, as far as the node's greeting: *subject* and *version* are who answers."""

    def __init__(
        self, identity: Identity, address: Address, *, timeout: float, expected: str | None = None
    ) -> None:
        self.where = f"{address[0]}:{address[1]}"
        self._deadline = time.monotonic() + timeout
        try:
            plain = socket.create_connection(address, timeout)
        except socket.gaierror as error:
            raise PeerError(
                f"{self.where}: no such name ({error.strerror})", cause="unreachable"
            ) from None
        except TimeoutError:
            raise PeerError(
                f"{self.where}: no answer: the machine is off or not on this network, or a "
                "firewall drops TCP",
                cause="unreachable",
            ) from None
        except OSError as error:
            raise explain(error, self.where) from None
        try:
            self._secure = client_context(identity).wrap_socket(plain)
            self.subject: Subject = authenticated(self._secure, identity)
            if expected is not None and self.subject.node_id != expected:
                raise PeerError(
                    f"{self.where}: {self.subject.node_id} answers, not {expected}",
                    cause="refused",
                )
            self.version = _greeting(_read(self._secure, _MAX_GREETING, self._deadline))
        except (OSError, MalformedMessage, PeerError) as error:
            plain.close()
            raise self._explained(error) from None

    def ask(self, verb: str, body: Any) -> Any:
        """The answer; the connection is over then."""
        try:
            with self._secure:
                _write(self._secure, [verb, body], self._deadline)
                answer = _read(self._secure, MAX_ANSWER, self._deadline)
        except (OSError, MalformedMessage) as error:
            raise self._explained(error) from None
        match answer:
            case [True, result, *_]:
                return result
            case [False, str(words), str(cause), *_]:
                raise PeerError(
                    f"{self.where}: {words}", cause="role" if cause == "role" else "refused"
                )
        raise PeerError(f"{self.where}: an answer that means nothing", cause="protocol")

    def close(self) -> None:
        """Ends it without a question."""
        self._secure.close()

    def _explained(self, error: Exception) -> PeerError:
        if isinstance(error, PeerError):
            return error
        if isinstance(error, OSError):
            return explain(error, self.where)
        return PeerError(f"{self.where}: {error}", cause="protocol")


def _greeting(said: Any) -> str:
    match said:
        case [int(), str(), str(version), *_]:
            return version
    raise MalformedMessage("a greeting that means nothing")


def _write(connection: ssl.SSLSocket, value: Any, deadline: float) -> None:
    data = msgspec.msgpack.encode(value)
    _allow(connection, deadline)
    connection.sendall(_LENGTH.pack(len(data)) + data)


def _read(connection: ssl.SSLSocket, limit: int, deadline: float) -> Any:
    (length,) = _LENGTH.unpack(_read_exactly(connection, _LENGTH.size, deadline))
    if length > limit:
        raise MalformedMessage(f"a message of {length} bytes: over {limit}")
    try:
        return msgspec.msgpack.decode(_read_exactly(connection, length, deadline))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"no msgpack: {error}") from None


def _read_exactly(connection: ssl.SSLSocket, count: int, deadline: float) -> bytes:
    data = bytearray()  # grows as bytes come: a length alone makes nothing allocate
    while len(data) < count:
        _allow(connection, deadline)
        piece = connection.recv(min(65536, count - len(data)))
        if not piece:
            raise ConnectionResetError("the peer broke the connection off")
        data += piece
    return bytes(data)


def _allow(connection: ssl.SSLSocket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    connection.settimeout(left)
