"""Traffic through a tunnel: pings, and a TCP transfer whose hash is compared."""
import hashlib
import json
import os
import re
import subprocess
import sys

HERE = os.path.abspath(__file__)


def ping(host, source, target, count=100, size=56, interval=0.01, df=None):
    """Number of answers."""
    argv = ["ping", "-n", "-q", "-c", str(count), "-i", str(interval), "-s", str(size), "-W", "1", "-I", source, target]
    if df is not None:
        argv[1:1] = ["-M", "do" if df else "dont"]
    out = subprocess.run(["ip", "netns", "exec", host.ns, *argv], capture_output=True, text=True, timeout=count * (interval + 1) + 20).stdout
    found = re.search(r"(\d+) received", out)
    return int(found.group(1)) if found else 0


def tcp(sender, receiver, source, target, megabytes=200, port=5001, timeout=240):
    """Sends pseudo-random bytes; returns (equal hashes, Mbit/s)."""
    def start(host, *argv):
        return subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, HERE, *map(str, argv)], stdout=subprocess.PIPE, text=True)
    server = start(receiver, "receive", target, port)
    if server.stdout.readline().strip() != "listening":
        return False, 0.0
    client = start(sender, "send", source, target, port, megabytes)
    try:
        sent = json.loads(client.communicate(timeout=timeout)[0] or "{}")
        got = json.loads(server.communicate(timeout=30)[0] or "{}")
    except (subprocess.TimeoutExpired, ValueError):
        return False, 0.0
    finally:
        for process in (client, server):
            if process.poll() is None:
                process.kill()
            process.wait()
    same = bool(sent) and sent.get("sha256") == got.get("sha256") and sent.get("bytes") == got.get("bytes") == megabytes * 1_000_000
    return same, round(8e-6 * sent.get("bytes", 0) / max(sent.get("seconds", 1), 1e-9), 1)


def _family(address):
    import socket
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _receive(target, port):
    import socket
    listener = socket.socket(_family(target), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((target, int(port)))
    listener.listen(1)
    listener.settimeout(60)
    print("listening", flush=True)
    peer, _ = listener.accept()
    peer.settimeout(60)
    digest, total, buffer = hashlib.sha256(), 0, memoryview(bytearray(1 << 18))
    while n := peer.recv_into(buffer):
        digest.update(buffer[:n])
        total += n
    peer.close()
    print(json.dumps({"bytes": total, "sha256": digest.hexdigest()}), flush=True)


def _send(source, target, port, megabytes):
    import random
    import socket
    import time
    block = random.Random(int(port)).randbytes(1_000_000)
    digest, total = hashlib.sha256(), 0
    connection = socket.socket(_family(target), socket.SOCK_STREAM)
    connection.settimeout(60)
    connection.bind((source, 0))
    connection.connect((target, int(port)))
    begin = time.monotonic()
    for i in range(int(megabytes)):
        shifted = block[i:] + block[:i]
        digest.update(shifted)
        connection.sendall(shifted)
        total += len(shifted)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    print(json.dumps({"bytes": total, "seconds": time.monotonic() - begin, "sha256": digest.hexdigest()}), flush=True)


if __name__ == "__main__":
    {"receive": _receive, "send": _send}[sys.argv[1]](*sys.argv[2:])
