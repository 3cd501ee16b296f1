"""Four TCP flows to whoever connects, and sixteen UDP flows at an even rate, for some seconds."""
import socket
import sys
import threading
import time

FLOWS = 4
UDP_FLOWS = 16  # so many that the hash brings some to each worker
PORT = 5201


def source(own, target, seconds, pps):
    """Accepts the TCP flows, then sends on all of them for that long; `pps` is of each UDP flow."""
    listener = socket.create_server((own, PORT))
    listener.settimeout(30)
    print("listening", flush=True)
    peers = [listener.accept()[0] for _ in range(FLOWS)]
    end = time.monotonic() + float(seconds)
    threads = [threading.Thread(target=stream, args=(peer, end)) for peer in peers]
    threads += [threading.Thread(target=datagrams, args=(own, target, PORT + i, float(pps), end)) for i in range(UDP_FLOWS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stream(peer, end):
    """One TCP flow."""
    data = bytes(1 << 16)
    while time.monotonic() < end:
        peer.sendall(data)
    peer.close()


def datagrams(own, target, port, pps, end):
    """One UDP flow, in small bursts."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((own, 0))
    begin, sent = time.monotonic(), 0
    while (now := time.monotonic()) < end:
        while sent < (now - begin) * pps:
            s.sendto(bytes(1000), (target, port))
            sent += 1
        time.sleep(0.001)


def sink(own, target):
    """Reads the TCP flows to their end, and lets datagrams come."""
    ports = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(UDP_FLOWS)]
    for i, s in enumerate(ports):
        s.bind((own, PORT + i))
    peers = [socket.create_connection((target, PORT), timeout=30, source_address=(own, 0)) for _ in range(FLOWS)]

    def read(peer):
        buffer = bytearray(1 << 18)
        while peer.recv_into(buffer):
            pass

    for peer in peers:
        threading.Thread(target=read, args=(peer,)).start()


if __name__ == "__main__":
    {"source": source, "sink": sink}[sys.argv[1]](*sys.argv[2:])
