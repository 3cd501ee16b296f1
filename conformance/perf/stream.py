"""One TCP flow for some seconds."""
import json
import socket
import sys
import time


def sink(address):
    """Counts what comes."""
    listener = socket.create_server((address, 5201))
    print("listening", flush=True)
    peer, _ = listener.accept()
    buffer, total, begin = bytearray(1 << 20), 0, time.monotonic()
    while n := peer.recv_into(buffer):
        total += n
    print(json.dumps({"mbit": 8e-6 * total / (time.monotonic() - begin)}), flush=True)


def source(own, target, seconds):
    """Sends for that long."""
    s = socket.create_connection((target, 5201), timeout=30, source_address=(own, 0))
    data, end = bytes(1 << 18), time.monotonic() + float(seconds)
    while time.monotonic() < end:
        s.sendall(data)


if __name__ == "__main__":
    {"sink": sink, "source": source}[sys.argv[1]](*sys.argv[2:])
