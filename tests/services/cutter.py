"""A TCP proxy that cuts: between a client and a server on loopback, with the wire in its hand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Cutter:
    """Forwards both ways. `cut` ends what is open, `freeze` swallows everything from now on without a word."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._frozen = threading.Event()
        self._closed = False
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.cuts = 0
        self.on_client: Callable[[bytes], bool] | None = None
        """Sees what the client says; True cuts the connection before it is passed on."""
        self.on_server: Callable[[bytes], bool] | None = None
        """Sees what the server says; True passes half of it on and cuts."""
        self._start(self._accept)

    def _start(self, run: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=run, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target), 60)
                    server.settimeout(None)
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    if self._closed:
                        client.close()
                        server.close()
                        return
                    self.connections += 1
                    self._open += [client, server]
                self._start(self._pump, client, server, True)
                self._start(self._pump, server, client, False)

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._frozen.is_set():
                    continue
                look = self.on_client if from_client else self.on_server
                if look is not None and look(data):
                    if not from_client:
                        sink.sendall(data[: len(data) // 2])
                    self.cut()
                    return
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every open connection at once."""
        with self._lock:
            ends, self._open = self._open, []
            self.cuts += 1
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def freeze(self) -> None:
        """From now on nothing goes through, and nobody is told: a network that is gone."""
        self._frozen.set()

    def thaw(self) -> None:
        """End what was frozen; new connections work again."""
        self.cut()
        self._frozen.clear()

    def close(self) -> None:
        """End everything."""
        with self._lock:
            self._closed = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(60)


@contextmanager
def cutter(target: int) -> Iterator[Cutter]:
    """A running proxy before the port `target`."""
    proxy = Cutter(target)
    try:
        yield proxy
    finally:
        proxy.close()
