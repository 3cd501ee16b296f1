"""strongSwan's control interface: enough of the vici protocol to command a charon and to read its SAs, without a process for each question."""
import socket
import struct
import threading

REQUEST, RESPONSE, REGISTER, UNREGISTER, CONFIRM, EVENT = 0, 1, 3, 4, 5, 7
SECTION, END, VALUE, LIST, ITEM, LIST_END = 1, 2, 3, 4, 5, 6


class ViciError(Exception):
    """charon said no."""


def encode(message):
    """A dictionary of strings, lists and dictionaries."""
    out = b""
    for key, value in message.items():
        name = bytes([len(key)]) + key.encode()
        if isinstance(value, dict):
            out += bytes([SECTION]) + name + encode(value) + bytes([END])
        elif isinstance(value, list):
            items = (str(v).encode() for v in value)
            out += bytes([LIST]) + name + b"".join(bytes([ITEM]) + struct.pack("!H", len(v)) + v for v in items) + bytes([LIST_END])
        else:
            data = str(value).encode()
            out += bytes([VALUE]) + name + struct.pack("!H", len(data)) + data
    return out


def decode(data):
    """The inverse of `encode`."""
    root = {}
    stack, items, at = [root], None, 0

    def name():
        nonlocal at
        size = data[at]
        at += 1 + size
        return data[at - size:at].decode()

    def value():
        nonlocal at
        size = struct.unpack_from("!H", data, at)[0]
        at += 2 + size
        return data[at - size:at].decode(errors="replace")

    while at < len(data):
        kind = data[at]
        at += 1
        if kind == SECTION:
            stack.append(stack[-1].setdefault(name(), {}))
        elif kind == END:
            stack.pop()
        elif kind == VALUE:
            key = name()
            stack[-1][key] = value()
        elif kind == LIST:
            items = stack[-1].setdefault(name(), [])
        elif kind == ITEM:
            items.append(value())
    return root


class Vici:
    """One connection; calls from several threads take turns."""

    def __init__(self, path, timeout=30):
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)

    def _send(self, kind, name, message=b""):
        packet = bytes([kind, len(name)]) + name.encode() + message
        self.socket.sendall(struct.pack("!I", len(packet)) + packet)

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ViciError("charon closed the connection")
            data += more
        return data

    def _packet(self):
        data = self._exactly(struct.unpack("!I", self._exactly(4))[0])
        if data[0] == EVENT:
            return EVENT, decode(data[2 + data[1]:])
        return data[0], decode(data[1:])

    def call(self, command, stream=None, **message):
        """The answer; with `stream`, the events of that name. Underscores in keys stand for hyphens."""
        message = encode({k.replace("_", "-"): v for k, v in message.items()})
        with self.lock:
            events = []
            if stream:
                self._send(REGISTER, stream)
                self._packet()
            self._send(REQUEST, command, message)
            while (packet := self._packet())[0] == EVENT:
                events.append(packet[1])
            if stream:
                self._send(UNREGISTER, stream)
                while self._packet()[0] == EVENT:
                    pass
        if packet[1].get("success") == "no":
            raise ViciError(packet[1].get("errmsg", "refused"))
        return events if stream else packet[1]

    def sas(self):
        """[(connection, SA)] with everything that `list-sas` says."""
        return [pair for event in self.call("list-sas", stream="list-sa") for pair in event.items()]
