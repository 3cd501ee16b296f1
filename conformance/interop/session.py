"""Small conversations: an operator's TCP session, one UDP echo of a given size, a traceroute."""
import json
import select
import socket
import sys


def serve(address):
    """Echoes a word for each line, for any number of sessions."""
    import threading
    listener = socket.create_server((address, 22))
    print("listening", flush=True)

    def one(peer):
        for _ in peer.makefile():
            peer.sendall(b"echo\n")

    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()


def talk(address, once=False):
    """Says something now and again for each line of stdin."""
    with socket.create_connection((address, 22), timeout=10) as s:
        lines = s.makefile()
        while True:
            s.sendall(b"hello\n")
            print(lines.readline().strip(), flush=True)
            if once or not sys.stdin.readline():
                return


def udp_serve(address):
    """Echoes datagrams."""
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 7))
    print("listening", flush=True)
    while True:
        data, peer = s.recvfrom(65535)
        s.sendto(data, peer)


def udp_once(target, source, size):
    """Sends one datagram of `size` octets and compares the echo; three tries, since UDP may lose one."""
    data = bytes(i * 7 % 251 for i in range(int(size)))
    s = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 0))
    s.settimeout(3)
    for _ in range(3):
        s.sendto(data, (target, 7))
        try:
            print("equal" if s.recvfrom(65535)[0] == data else "different")
            return
        except TimeoutError:
            continue
    print("no answer")


def trace(source, target, hops):
    """Who answers to UDP with one hop limit after the other: what a socket hears whose packet the kernel recognises in the error."""
    found = []
    for ttl in range(1, int(hops) + 1):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        s.bind((source, 0))
        s.connect((target, 33434 + ttl))
        s.send(bytes(32))
        poll = select.poll()
        poll.register(s, select.POLLERR)
        if not poll.poll(2000):
            found.append(None)
            continue
        _, ancillary, _, _ = s.recvmsg(512, 512, socket.MSG_ERRQUEUE)
        # struct sock_extended_err is 16 octets, behind it the address of who has sent the error
        found += [socket.inet_ntoa(data[20:24]) for _, _, data in ancillary]
    print(json.dumps(found))


if __name__ == "__main__":
    {"serve": serve, "talk": talk, "once": lambda a: talk(a, True), "udp-serve": udp_serve, "udp-once": udp_once, "trace": trace}[sys.argv[1]](*sys.argv[2:])
