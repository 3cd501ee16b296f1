"""A gateway with the manners of some vendors that strongSwan does not have: a second implementation of IKEv2 and ESP, small and wilful. It runs inside a host:
`python3 odd.py '{"local": ..., "remote": ...}'`; `Odd` starts it from a case. It needs no device: it answers each ping that comes through its tunnels itself.

Manners, all off unless set:
- `cookie`: each first message is answered by a COOKIE
- `refuse`: the Notify (a number) that answers each rekey of the other end; `refuse_more`: that answers each further child
- `rekey`: seconds after which it rekeys a child itself; `rekey_bytes`: or octets; `pfs`: whether it offers its group then; `cp`: a configuration payload comes with it
- `calls`: it opens an IKE SA of its own as soon as it sees one of the other end; `idle`: and deletes one IKE SA that nothing has come through for so many seconds
- `begins`: it calls of its own accord; `again`: and once more after so many seconds, as one who knows of nothing before; `wide`: any to any is what it asks for
- `narrow`: "one": of several selectors it takes one pair; `single`: it refuses more than one pair by SINGLE_PAIR_REQUIRED; "any": whatever is offered
- `one_child`: a second child ends the first one
- `exact`: a rekey has to repeat the selectors and the suite of what it rekeys, or is refused
- `named`: it wants to be named by an IDr
- `tfc`: ESP is padded to so many octets (RFC 4303 section 2.7)

One JSON line for each thing that happens goes to standard output: see `tell`.
"""
import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SA_INIT, AUTH, CREATE, INFO = 34, 35, 36, 37
P_SA, P_KE, P_IDI, P_IDR, P_AUTH, P_NONCE, P_NOTIFY, P_DELETE, P_TSI, P_TSR, P_SK, P_CP = 33, 34, 35, 36, 39, 40, 41, 42, 44, 45, 46, 47
NO_PROPOSAL, INVALID_KE, AUTH_FAILED, SINGLE_PAIR, NO_MORE, TS_BAD, TEMPORARY = 14, 17, 24, 34, 35, 38, 43
INITIAL_CONTACT, NAT_SOURCE, NAT_TARGET, COOKIE, REKEY = 16384, 16388, 16389, 16390, 16393
HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
PRFS, INTEGS = {"sha1": 2, "sha256": 5, "sha384": 6, "sha512": 7}, {"sha1": 2, "sha256": 12, "sha384": 13, "sha512": 14}
ICVS = {"sha1": 12, "sha256": 16, "sha384": 24, "sha512": 32}
GROUPS = {"modp2048": 14, "modp3072": 15, "ecp256": 19, "ecp384": 20}
CURVES = {"ecp256": ec.SECP256R1, "ecp384": ec.SECP384R1}
# RFC 3526: 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + c)
PRIMES = {"modp2048": (2048, 124476), "modp3072": (3072, 1690314)}


class Odd:
    """One of them in a host, from a case."""

    def __init__(self, host, local, remote, secret, ike, esp, nets, name="odd", **manners):
        said = {"local": local, "remote": remote, "secret": secret, "ike": ike, "esp": esp, "nets": nets, "manners": manners}
        self.process = host.start(name, [sys.executable, "-u", os.path.abspath(__file__), json.dumps(said)])
        end = time.monotonic() + 10
        while "ready" not in self.process.text():
            if time.monotonic() > end or not self.process.alive():
                raise RuntimeError(f"the odd gateway did not start: {self.process.text()}")
            time.sleep(0.05)

    def told(self, event=None):
        """What has happened."""
        lines = [json.loads(line) for line in self.process.text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if event in (None, line["event"])]


def tell(event, **more):
    """One line."""
    print(json.dumps({"t": round(time.monotonic(), 3), "event": event, **more}), flush=True)


def arctan(inverse, unit):
    """arctan(1 / inverse) in units."""
    term = total = unit // inverse
    n = 1
    while term:
        term //= -inverse * inverse
        n += 2
        total += term // n
    return total


def prime(group):
    """The modulus, from its definition."""
    bits, c = PRIMES[group]
    unit = 1 << (bits - 130 + 64)
    pi = 4 * (4 * arctan(5, unit) - arctan(239, unit)) >> 64
    return 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (pi + c)


class Exchange:
    """One key exchange."""

    def __init__(self, group):
        self.group = group
        if group in CURVES:
            self.private = ec.generate_private_key(CURVES[group]())
            point = self.private.public_key().public_numbers()
            size = (self.private.key_size + 7) // 8
            self.public = point.x.to_bytes(size, "big") + point.y.to_bytes(size, "big")
        else:
            self.modulus = prime(group)
            self.private = int.from_bytes(os.urandom(48), "big")
            self.public = pow(2, self.private, self.modulus).to_bytes(PRIMES[group][0] // 8, "big")

    def shared(self, theirs):
        """What both know."""
        if self.group in CURVES:
            curve, half = CURVES[self.group](), len(theirs) // 2
            x, y = (int.from_bytes(part, "big") for part in (theirs[:half], theirs[half:]))
            return self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, curve).public_key())
        return pow(int.from_bytes(theirs, "big"), self.private, self.modulus).to_bytes(PRIMES[self.group][0] // 8, "big")


class Suite:
    """What strongSwan's keywords say."""

    def __init__(self, words):
        words = words.split("-")
        self.gcm = words[0].endswith("gcm16")
        self.bits = int(words[0].removeprefix("aes").removesuffix("gcm16"))
        self.integ = next((w for w in words[1:] if w in INTEGS), None)
        self.prf = next((w[3:] for w in words if w.startswith("prf")), self.integ)
        self.group = next((w for w in words if w in GROUPS), None)
        self.encr_size = self.bits // 8 + (4 if self.gcm else 0)
        self.integ_size = 0 if self.gcm else HASHES[self.integ].digest_size

    def transforms(self, protocol, group):
        """[(type, id, key bits)]"""
        out = [(1, 20 if self.gcm else 12, self.bits)]
        out += [(2, PRFS[self.prf], None)] if protocol == 1 else []
        out += [] if self.gcm else [(3, INTEGS[self.integ], None)]
        out += [(4, GROUPS[self.group], None)] if group and self.group else []
        return out + ([(5, 0, None)] if protocol == 3 else [])

    def seal(self, keys, aad, plain, counter=None):
        """IV, what is encrypted, and for GCM its tag."""
        if self.gcm:
            iv = struct.pack("!Q", counter) if counter is not None else os.urandom(8)
            return iv + AESGCM(keys.encr[:-4]).encrypt(keys.encr[-4:] + iv, plain, aad)
        iv = os.urandom(16)
        sealer = Cipher(algorithms.AES(keys.encr), modes.CBC(iv)).encryptor()
        return iv + sealer.update(plain) + sealer.finalize()

    def open(self, keys, aad, sealed):
        """The opposite."""
        if self.gcm:
            return AESGCM(keys.encr[:-4]).decrypt(keys.encr[-4:] + sealed[:8], sealed[8:], aad)
        opener = Cipher(algorithms.AES(keys.encr), modes.CBC(sealed[:16])).decryptor()
        return opener.update(sealed[16:]) + opener.finalize()

    def icv(self, keys, data):
        """Of CBC, nothing else."""
        return b"" if self.gcm else mac(self.integ, keys.integ, data)[:ICVS[self.integ]]

    @property
    def tail(self):
        """Octets of it."""
        return 0 if self.gcm else ICVS[self.integ]


class Keys:
    """Of one direction."""

    def __init__(self, integ, encr):
        self.integ, self.encr = integ, encr


def mac(name, key, data):
    """HMAC."""
    h = hmac.HMAC(key, HASHES[name]())
    h.update(data)
    return h.finalize()


def stretch(name, key, seed, size):
    """prf+"""
    out, block, n = b"", b"", 1
    while len(out) < size:
        block = mac(name, key, block + seed + bytes([n]))
        out, n = out + block, n + 1
    return out[:size]


def cut(data, *sizes):
    """Pieces."""
    out = []
    for size in sizes:
        out.append(data[:size])
        data = data[size:]
    return out


def proposal(protocol, spi, transforms, number=1):
    """The body of an SA payload."""
    body = b""
    for i, (kind, ident, bits) in enumerate(transforms):
        attribute = struct.pack("!HH", 0x800E, bits) if bits else b""
        body += struct.pack("!BBHBBH", 0 if i == len(transforms) - 1 else 3, 0, 8 + len(attribute), kind, 0, ident) + attribute
    return struct.pack("!BBHBBBB", 0, 0, 8 + len(spi) + len(body), number, protocol, len(spi), len(transforms)) + spi + body


def proposals(body):
    """[(number, protocol, SPI, {(type, id, bits)})]"""
    out = []
    while body:
        _, _, size, number, protocol, spi, count = struct.unpack_from("!BBHBBBB", body)
        at, transforms = 8 + spi, set()
        for _ in range(count):
            _, _, length, kind, _, ident = struct.unpack_from("!BBHBBH", body, at)
            bits = struct.unpack_from("!H", body, at + 10)[0] if length >= 12 else None
            transforms.add((kind, ident, bits))
            at += length
        out.append((number, protocol, body[8:8 + spi], transforms))
        body = body[size:]
    return out


def selectors(ranges):
    """The body of a TS payload of [(first, last)] of IPv4."""
    return struct.pack("!B3x", len(ranges)) + b"".join(struct.pack("!BBHHH4s4s", 7, 0, 16, 0, 65535, a.packed, b.packed) for a, b in ranges)


def ranges(body):
    """The opposite."""
    return [tuple(map(ipaddress.IPv4Address, struct.unpack_from("!4s4s", body, 12 + 16 * i))) for i in range(body[0])]


def network(text):
    """The range of a prefix."""
    net = ipaddress.ip_network(text)
    return net[0], net[-1]


def meets(a, b):
    """Their intersection, or None."""
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else None


def notify(kind, data=b"", protocol=0, spi=b""):
    """A payload."""
    return P_NOTIFY, struct.pack("!BBH", protocol, len(spi), kind) + spi + data


def chain(payloads):
    """(the first type, octets)"""
    out = b""
    for i, (_, body) in enumerate(payloads):
        out += struct.pack("!BBH", payloads[i + 1][0] if i + 1 < len(payloads) else 0, 0, 4 + len(body)) + body
    return (payloads[0][0] if payloads else 0), out


def unchain(first, data):
    """[(type, body)]"""
    out = []
    while first:
        following, _, size = struct.unpack_from("!BBH", data)
        out.append((first, data[4:size]))
        first, data = following, data[size:]
    return out


class Child:
    """A child SA."""

    def __init__(self, suite, spi_in, spi_out, material, initiator, local_ts, remote_ts):
        size = (suite.encr_size, suite.integ_size)
        ei, ai, er, ar = cut(material, *size, *size)
        mine, its = (Keys(ai, ei), Keys(ar, er)) if initiator else (Keys(ar, er), Keys(ai, ei))
        self.suite, self.spi_in, self.spi_out, self.out, self.into = suite, spi_in, spi_out, mine, its
        self.local_ts, self.remote_ts = local_ts, remote_ts
        self.sequence, self.octets, self.born, self.busy = 0, 0, time.monotonic(), False

    def covers(self, source, target):
        """Whether it is for a packet of ours."""
        within = lambda address, of: any(a <= address <= b for a, b in of)
        return within(source, self.local_ts) and within(target, self.remote_ts)

    def seal(self, packet, tfc):
        """One packet."""
        self.sequence += 1
        plain = packet + bytes(max(tfc - len(packet), 0))
        pad = -(len(plain) + 2) % (4 if self.suite.gcm else 16)
        plain += bytes(range(1, pad + 1)) + bytes([pad, 4])
        head = self.spi_out + struct.pack("!I", self.sequence)
        sealed = head + self.suite.seal(self.out, head, plain, self.sequence)
        return sealed + self.suite.icv(self.out, sealed)

    def open(self, data):
        """The inner packet, or None."""
        size = len(data) - self.suite.tail
        if self.suite.icv(self.into, data[:size]) != data[size:]:
            return None
        plain = self.suite.open(self.into, data[:8], data[8:size])
        self.octets += len(data)
        return plain[:-2 - plain[-2]] if plain[-1] == 4 else None


class Ike:
    """An IKE SA."""

    def __init__(self, initiator):
        self.initiator, self.spi_i, self.spi_r = initiator, bytes(8), bytes(8)
        self.mine = self.its = None
        self.next, self.expected, self.answer = 0, 0, (None, b"")
        self.asked, self.children, self.heard, self.up = None, {}, time.monotonic(), False

    def derive(self, suite, seed, ni, nr):
        """All keys from SKEYSEED."""
        p, e, a = HASHES[suite.prf].digest_size, suite.encr_size, suite.integ_size
        material = stretch(suite.prf, seed, ni + nr + self.spi_i + self.spi_r, 3 * p + 2 * e + 2 * a)
        self.d, ai, ar, ei, er, pi, pr = cut(material, p, a, a, e, e, p, p)
        self.mine, self.its = (Keys(ai, ei), Keys(ar, er)) if self.initiator else (Keys(ar, er), Keys(ai, ei))
        self.p_mine, self.p_its = (pi, pr) if self.initiator else (pr, pi)


class Gateway:
    """All of it."""

    def __init__(self, said):
        self.local, self.remote, self.secret = said["local"], said["remote"], said["secret"].encode()
        self.ike_suite, self.esp_suite = Suite(said["ike"]), Suite(said["esp"])
        self.nets = [(network(mine), network(its)) for mine, its in said["nets"]]
        self.manners = said["manners"]
        self.sockets = {}
        for port in (500, 4500):
            self.sockets[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sockets[port].bind((self.local, port))
        self.ikes, self.called, self.cookies = [], False, set()
        self.again = None

    def run(self):
        """Until it is ended."""
        print("ready", flush=True)
        if self.manners.get("begins"):
            self.call()
        while True:
            ready, _, _ = select.select(list(self.sockets.values()), [], [], 0.05)
            for port, s in self.sockets.items():
                if s in ready:
                    data, sender = s.recvfrom(65536)
                    try:
                        self.datagram(port, sender, data)
                    except Exception as e:  # the next one may be better
                        tell("broken", error=f"{type(e).__name__}: {e}")
            self.tick(time.monotonic())

    # --- the wire

    def datagram(self, port, sender, data):
        """ESP or IKE."""
        if port == 4500:
            if data[:4] != bytes(4):
                return self.esp(sender, data) if len(data) > 8 else None
            data = data[4:]
        spi_i, spi_r, first, _, exchange, flags, number, _ = struct.unpack_from("!8s8sBBBBII", data)
        where = (port, sender)
        if exchange == SA_INIT and not flags & 0x20:
            return self.on_init(where, data, spi_i, unchain(first, data[28:]))
        ike = next((i for i in self.ikes if i.spi_i == spi_i and i.spi_r in (spi_r, bytes(8))), None)
        if ike is None:
            return None
        ike.where = where
        if exchange == SA_INIT:
            ike.spi_r = spi_r
            return self.answered(ike, number, unchain(first, data[28:]), data)
        payloads = self.unseal(ike, data, first)
        if flags & 0x20:
            return self.answered(ike, number, payloads, data)
        if number == ike.answer[0]:
            return self.send(ike, ike.answer[1])
        if number != ike.expected:
            return None
        ike.expected += 1
        response = {AUTH: self.on_auth, CREATE: self.on_create, INFO: self.on_info}[exchange](ike, payloads)
        message = self.message(ike, exchange, number, response, True)
        ike.answer = (number, message)
        return self.send(ike, message)

    def send(self, ike, message):
        """To where it is."""
        port, target = ike.where
        self.sockets[port].sendto((bytes(4) if port == 4500 else b"") + message, target)

    def message(self, ike, exchange, number, payloads, response):
        """Header and all; encrypted but for IKE_SA_INIT."""
        flags = (0x20 if response else 0) | (8 if ike.initiator else 0)
        first, body = chain(payloads)
        head = lambda kind, size: struct.pack("!8s8sBBBBII", ike.spi_i, ike.spi_r, kind, 0x20, exchange, flags, number, size)
        if exchange == SA_INIT:
            return head(first, 28 + len(body)) + body
        suite, keys = self.ike_suite, ike.mine
        pad = 0 if suite.gcm else -(len(body) + 1) % 16
        plain = body + bytes(pad) + bytes([pad])
        size = len(plain) + (8 + 16 if suite.gcm else 16) + suite.tail
        front = head(P_SK, 32 + size) + struct.pack("!BBH", first, 0, 4 + size)
        sealed = front + suite.seal(keys, front, plain)
        return sealed + suite.icv(keys, sealed)

    def unseal(self, ike, data, first):
        """Payloads of an encrypted message."""
        suite = self.ike_suite
        size = len(data) - suite.tail
        if first != P_SK or suite.icv(ike.its, data[:size]) != data[size:]:
            raise ValueError("no such message of ours")
        plain = suite.open(ike.its, data[:32], data[32:size])
        return unchain(data[28], plain[:-1 - plain[-1]])

    def ask(self, ike, exchange, payloads, then):
        """A request; `then` gets the answer."""
        number, ike.next = ike.next, ike.next + 1
        message = self.message(ike, exchange, number, payloads, False)
        ike.asked = (number, message, then, time.monotonic() + 1)
        self.send(ike, message)
        return message

    def answered(self, ike, number, payloads, data):
        """The answer to what was asked."""
        if ike.asked and ike.asked[0] == number:
            then, ike.asked = ike.asked[2], None
            then(payloads, data)

    def nat(self, ike):
        """Hashes that fit nothing: the other end believes in a NAT, so that ESP is in UDP."""
        return [notify(NAT_SOURCE, os.urandom(20)), notify(NAT_TARGET, os.urandom(20))]

    # --- IKE_SA_INIT and IKE_AUTH

    def on_init(self, where, data, spi_i, payloads):
        """The other end calls."""
        of = dict(payloads)
        if any(i.spi_i == spi_i for i in self.ikes):
            return
        ike = Ike(False)
        ike.spi_i, ike.where, ike.expected, ike.answer = spi_i, where, 1, (0, b"")
        cookie = next((b[4:] for k, b in payloads if k == P_NOTIFY and struct.unpack_from("!H", b, 2)[0] == COOKIE), None)
        if self.manners.get("cookie") and cookie not in self.cookies:
            self.cookies.add(fresh := os.urandom(16))
            tell("cookie", shown=cookie is not None)
            return self.send(ike, self.message(ike, SA_INIT, 0, [notify(COOKIE, fresh)], True))
        suite = self.ike_suite
        chosen = self.choose(of[P_SA], 1, True)
        ike.spi_r = os.urandom(8)
        if chosen is None:
            tell("refused", what="ike")
            return self.send(ike, self.message(ike, SA_INIT, 0, [notify(NO_PROPOSAL)], True))
        if struct.unpack_from("!H", of[P_KE])[0] != GROUPS[suite.group]:
            return self.send(ike, self.message(ike, SA_INIT, 0, [notify(INVALID_KE, struct.pack("!H", GROUPS[suite.group]))], True))
        exchange = Exchange(suite.group)
        ike.ni, ike.nr = of[P_NONCE], os.urandom(32)
        ike.derive(suite, mac(suite.prf, ike.ni + ike.nr, exchange.shared(of[P_KE][4:])), ike.ni, ike.nr)
        answer = [(P_SA, proposal(1, b"", suite.transforms(1, True), chosen[0])), (P_KE, struct.pack("!HH", GROUPS[suite.group], 0) + exchange.public), (P_NONCE, ike.nr), *self.nat(ike)]
        ike.theirs, ike.ours = data, self.message(ike, SA_INIT, 0, answer, True)
        ike.answer = (0, ike.ours)
        self.ikes.append(ike)
        tell("called")
        self.send(ike, ike.ours)
        if self.manners.get("calls") and not self.called:
            self.called = True
            self.call()

    def call(self):
        """It calls the other end."""
        ike, suite = Ike(True), self.ike_suite
        ike.spi_i, ike.where, ike.ni = os.urandom(8), (500, (self.remote, 500)), os.urandom(32)
        exchange = Exchange(suite.group)
        self.ikes.append(ike)

        def then(payloads, data):
            of = dict(payloads)
            if P_KE not in of:
                return tell("refused by", what="sa_init")
            ike.nr, ike.theirs = of[P_NONCE], data
            ike.derive(suite, mac(suite.prf, ike.ni + ike.nr, exchange.shared(of[P_KE][4:])), ike.ni, ike.nr)
            ike.where = (4500, (self.remote, 4500))
            mine, its = (network("0.0.0.0/0"),) * 2 if self.manners.get("wide") else self.nets[0]
            spi = os.urandom(4)
            request = [(P_IDI, self.identity(self.local)), (P_IDR, self.identity(self.remote)), (P_AUTH, b"\x02\0\0\0" + self.proof(ike, True)),
                       (P_SA, proposal(3, spi, self.esp_suite.transforms(3, False))), (P_TSI, selectors([mine])), (P_TSR, selectors([its]))]
            request += [notify(INITIAL_CONTACT)] if self.manners.get("again") else []
            self.ask(ike, AUTH, request, lambda payloads, _: self.authenticated(ike, spi, payloads))

        ike.ours = self.ask(ike, SA_INIT, [(P_SA, proposal(1, b"", suite.transforms(1, True))), (P_KE, struct.pack("!HH", GROUPS[suite.group], 0) + exchange.public), (P_NONCE, ike.ni),
                                           *self.nat(ike)], then)

    def authenticated(self, ike, spi, payloads):
        """The other end's IKE_AUTH response."""
        of = dict(payloads)
        if P_AUTH not in of or of[P_AUTH][4:] != self.proof(ike, False, of[P_IDR]):
            return tell("refused by", what="auth", notifies=self.notifies(payloads))
        ike.up = True
        if self.manners.get("again"):
            self.again = time.monotonic() + self.manners["again"] if self.again is None else float("inf")
            self.ikes = [ike]  # nobody is told of those before
        if P_SA in of:
            self.make(ike, True, spi, proposals(of[P_SA])[0][2], b"", ike.ni, ike.nr, ranges(of[P_TSI]), ranges(of[P_TSR]))
        tell("up", initiator=True, child=P_SA in of)

    def on_auth(self, ike, payloads):
        """The other end proves itself, and wants a child."""
        of = dict(payloads)
        if of[P_AUTH][4:] != self.proof(ike, False, of[P_IDI]) or self.manners.get("named") and of.get(P_IDR) != self.identity(self.local):
            return [notify(AUTH_FAILED)]
        ike.up = True
        tell("up", initiator=False, child=P_SA in of)
        answer = [(P_IDR, self.identity(self.local)), (P_AUTH, b"\x02\0\0\0" + self.proof(ike, True))]
        return answer + (self.create(ike, of, ike.ni, ike.nr, b"", False) if P_SA in of else [])

    def identity(self, address):
        """An address."""
        return b"\x01\0\0\0" + socket.inet_aton(address)

    def proof(self, ike, own, identity=None):
        """Of the shared secret; `identity`: of the other end's."""
        prf = self.ike_suite.prf
        first, nonce = (ike.ours, ike.nr if ike.initiator else ike.ni) if own else (ike.theirs, ike.ni if ike.initiator else ike.nr)
        identity = self.identity(self.local) if own else identity
        return mac(prf, mac(prf, self.secret, b"Key Pad for IKEv2"), first + nonce + mac(prf, ike.p_mine if own else ike.p_its, identity))

    # --- children

    def choose(self, body, protocol, group):
        """The first proposal that has the suite: (number, SPI, whether it has the group)."""
        suite = self.ike_suite if protocol == 1 else self.esp_suite
        for number, of, spi, transforms in proposals(body):
            wanted = [t for t in suite.transforms(protocol, group) if t[0] != 5]
            if of == protocol and all(t in transforms for t in wanted):
                return number, spi
        return None

    def narrow(self, their_ts, our_ts):
        """What it takes of the selectors, theirs and ours; or the Notify that refuses them."""
        manner = self.manners.get("narrow")
        if manner == "single" and (len(their_ts) > 1 or len(our_ts) > 1):
            return SINGLE_PAIR
        if manner == "any":
            return their_ts, our_ts
        pairs = [(a, b) for mine, its in self.nets for t in their_ts for o in our_ts if (a := meets(its, t)) and (b := meets(mine, o))]
        if not pairs:
            return TS_BAD
        pairs = pairs[:1] if manner == "one" else pairs
        return list(dict.fromkeys(a for a, _ in pairs)), list(dict.fromkeys(b for _, b in pairs))

    def make(self, ike, initiator, spi_in, spi_out, shared, ni, nr, local_ts, remote_ts):
        """The keys, and the SA."""
        suite = self.esp_suite
        material = stretch(self.ike_suite.prf, ike.d, shared + ni + nr, 2 * (suite.encr_size + suite.integ_size))
        child = ike.children[spi_in] = Child(suite, spi_in, spi_out, material, initiator, local_ts, remote_ts)
        return child

    def create(self, ike, of, ni, nr, shared, group, extra=()):
        """SA, TSi and TSr of an answer."""
        chosen = self.choose(of[P_SA], 3, group)
        taken = self.narrow(ranges(of[P_TSI]), ranges(of[P_TSR]))
        if chosen is None or isinstance(taken, int):
            tell("refused", what="esp" if chosen is None else "ts")
            return [notify(NO_PROPOSAL if chosen is None else taken)]
        spi = os.urandom(4)
        if self.manners.get("one_child"):
            self.end(ike, list(ike.children))
        self.make(ike, False, spi, chosen[1], shared, ni, nr, taken[1], taken[0])
        return [(P_SA, proposal(3, spi, self.esp_suite.transforms(3, group), chosen[0])), *extra, (P_TSI, selectors(taken[0])), (P_TSR, selectors(taken[1]))]

    def on_create(self, ike, payloads):
        """A further child, or a rekey."""
        of, kinds = dict(payloads), self.notifies(payloads)
        ike_rekey = proposals(of[P_SA])[0][1] == 1
        rekey = ike_rekey or REKEY in kinds
        tell("asked", rekey=rekey, ike=ike_rekey, group=P_KE in of)
        refusal = self.manners.get("refuse" if rekey else "refuse_more")
        if refusal:
            return [notify(refusal)]
        if ike_rekey:
            return self.on_ike_rekey(ike, of)
        shared, group, nr, extra = b"", P_KE in of, os.urandom(32), []
        if rekey and self.manners.get("exact") and not self.repeats(ike, payloads):
            tell("refused", what="not the same")
            return [notify(NO_PROPOSAL)]
        if group:
            if struct.unpack_from("!H", of[P_KE])[0] != GROUPS.get(self.esp_suite.group):
                return [notify(NO_PROPOSAL)]
            exchange = Exchange(self.esp_suite.group)
            shared = exchange.shared(of[P_KE][4:])
            extra = [(P_KE, struct.pack("!HH", GROUPS[self.esp_suite.group], 0) + exchange.public)]
        elif self.esp_suite.group and self.manners.get("pfs", True):
            return [notify(NO_PROPOSAL)]
        answer = self.create(ike, of, of[P_NONCE], nr, shared, group)
        return answer if answer[0][0] == P_NOTIFY else [answer[0], (P_NONCE, nr), *extra, *answer[1:]]

    def repeats(self, ike, payloads):
        """Whether a rekey asks for what there is."""
        of = dict(payloads)
        spi = next(b[4:8] for k, b in payloads if k == P_NOTIFY and struct.unpack_from("!H", b, 2)[0] == REKEY)
        old = next((c for c in ike.children.values() if c.spi_out == spi), None)
        offered = proposals(of[P_SA])
        # the first child has had no group that could be repeated
        same = all({t for t in o[3] if t[0] != 4} == set(self.esp_suite.transforms(3, False)) for o in offered)
        return old is not None and same and (ranges(of[P_TSI]), ranges(of[P_TSR])) == (old.remote_ts, old.local_ts)

    def on_ike_rekey(self, ike, of):
        """The children go over."""
        suite, new = self.ike_suite, Ike(False)
        number, new.spi_i, _ = (*self.choose(of[P_SA], 1, True), None)
        new.spi_r, new.where, new.up, nr, exchange = os.urandom(8), ike.where, True, os.urandom(32), Exchange(suite.group)
        new.derive(suite, mac(suite.prf, ike.d, exchange.shared(of[P_KE][4:]) + of[P_NONCE] + nr), of[P_NONCE], nr)
        new.children, ike.children = ike.children, {}
        self.ikes.append(new)
        return [(P_SA, proposal(1, new.spi_r, suite.transforms(1, True), number)), (P_NONCE, nr), (P_KE, struct.pack("!HH", GROUPS[suite.group], 0) + exchange.public)]

    def on_info(self, ike, payloads):
        """Deletes, or whether it lives."""
        answer = []
        for kind, body in payloads:
            if kind != P_DELETE:
                continue
            protocol, size, count = struct.unpack_from("!BBH", body)
            if protocol == 1:
                tell("closed")
                self.ikes.remove(ike)
                return []
            for i in range(count):
                gone = body[4 + size * i:4 + size * (i + 1)]
                child = next((c for c in ike.children.values() if c.spi_out == gone), None)
                if child:
                    del ike.children[child.spi_in]
                    answer.append((P_DELETE, struct.pack("!BBH", 3, 4, 1) + child.spi_in))
        return answer

    def notifies(self, payloads):
        """Their kinds."""
        return [struct.unpack_from("!H", body, 2)[0] for kind, body in payloads if kind == P_NOTIFY]

    def end(self, ike, spis):
        """It deletes children, and says so later: one request at a time."""
        ike.ending = getattr(ike, "ending", []) + spis

    def rekey(self, ike, child):
        """It rekeys one."""
        suite, spi, nonce = self.esp_suite, os.urandom(4), os.urandom(32)
        group = bool(suite.group) and self.manners.get("pfs", True)
        exchange = Exchange(suite.group) if group else None
        request = [notify(REKEY, b"", 3, child.spi_in), (P_SA, proposal(3, spi, suite.transforms(3, group))), (P_NONCE, nonce)]
        request += [(P_KE, struct.pack("!HH", GROUPS[suite.group], 0) + exchange.public)] if group else []
        request += [(P_TSI, selectors(child.local_ts)), (P_TSR, selectors(child.remote_ts))]
        if self.manners.get("cp"):
            request.insert(1, (P_CP, b"\x01\0\0\0" + struct.pack("!HH", 1, 0)))
        child.busy = True

        def then(payloads, _):
            of = dict(payloads)
            if P_SA not in of:
                child.busy = False
                child.born, child.octets = time.monotonic(), 0
                return tell("refused by", what="rekey", notifies=self.notifies(payloads))
            shared = exchange.shared(of[P_KE][4:]) if group else b""
            self.make(ike, True, spi, proposals(of[P_SA])[0][2], shared, nonce, of[P_NONCE], ranges(of[P_TSI]), ranges(of[P_TSR]))
            tell("rekeyed")
            self.end(ike, [child.spi_in])

        self.ask(ike, CREATE, request, then)

    # --- time and traffic

    def tick(self, now):
        """What is due."""
        if self.again and self.again < now:
            self.again = float("inf")
            self.call()
        for ike in list(self.ikes):
            if ike.asked:
                number, message, then, again = ike.asked
                if again < now:
                    ike.asked = (number, message, then, now + 1)
                    self.send(ike, message)
                continue
            if not ike.up:
                continue
            if ending := [spi for spi in getattr(ike, "ending", []) if spi in ike.children]:
                ike.ending = []
                gone = lambda *_, ike=ike, ending=ending: [ike.children.pop(spi, None) for spi in ending]
                self.ask(ike, INFO, [(P_DELETE, struct.pack("!BBH", 3, 4, len(ending)) + b"".join(ending))], gone)
                continue
            idle = self.manners.get("idle")
            if idle and now - ike.heard > idle and len([i for i in self.ikes if i.up]) > 1:
                tell("idle")
                self.ask(ike, INFO, [(P_DELETE, struct.pack("!BBH", 1, 0, 0))], lambda *_, ike=ike: self.ikes.remove(ike))
                continue
            after, octets = self.manners.get("rekey"), self.manners.get("rekey_bytes")
            for child in list(ike.children.values()):
                if not child.busy and (after and now - child.born > after or octets and child.octets > octets):
                    self.rekey(ike, child)
                    break

    def esp(self, sender, data):
        """An echo request is answered by the newest child that is for it."""
        ike, child = next(((i, i.children[data[:4]]) for i in self.ikes if data[:4] in i.children), (None, None))
        packet = child.open(data) if child else None
        if packet is None:
            return tell("unknown", spi=data[:4].hex())
        ike.heard = time.monotonic()
        if len(packet) < 28 or packet[9] != 1 or packet[20] != 8:
            return None
        packet, tfc = packet[:struct.unpack_from("!H", packet, 2)[0]], self.manners.get("tfc", 0)
        source, target = packet[12:16], packet[16:20]
        total = struct.unpack_from("!H", packet, 22)[0] + 0x0800
        total = (total & 0xFFFF) + (total >> 16)
        answer = packet[:12] + target + source + b"\0\0" + struct.pack("!H", total) + packet[24:]
        of = lambda i: [c for c in i.children.values() if c.covers(ipaddress.IPv4Address(target), ipaddress.IPv4Address(source))]
        back = max((c for i in self.ikes for c in of(i)), key=lambda c: c.born, default=None)
        if back is None:
            return tell("no child", source=str(ipaddress.IPv4Address(source)))
        sealed = back.seal(answer, tfc)
        if len(sealed) > tfc > len(answer):
            tell("padded", inner=len(answer), sealed=len(sealed))
        return self.sockets[4500].sendto(sealed, sender)


if __name__ == "__main__":
    Gateway(json.loads(sys.argv[1])).run()
