#!/usr/bin/env python3
"""Known answers for the key exchange groups, computed without any of the crates that ke uses.

Run in this folder: python3 leading_zeros.py > leading_zeros.json

For each group: one ordinary pair of private values, one whose shared secret begins with an octet 00, and one whose
first public value does (RFC 7296 section 2.14 and RFC 5903 section 7 want both at full length). Private values are
hashes of a label, so the output never changes. Python's standard library only; nothing here is constant-time.
"""
import hashlib
import json
import sys


def private_octets(group, name, number, size):
    """`size` octets that depend on nothing but the label."""
    label = f"sandhog {group} {name} {number}".encode()
    return hashlib.shake_256(label).digest(size)


# MODP: p = 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + c), RFC 7296 appendix B, RFC 3526.


def arctan_of_inverse(x, one):
    power = total = one // x
    divisor, sign = 1, 1
    while power:
        power //= x * x
        divisor, sign = divisor + 2, -sign
        total += sign * (power // divisor)
    return total


def pi_times_two_to_the(bits):
    """Machin: pi = 16 arctan(1/5) - 4 arctan(1/239), with 64 bits to spare."""
    one = 1 << (bits + 64)
    return (16 * arctan_of_inverse(5, one) - 4 * arctan_of_inverse(239, one)) >> 64


def is_prime(n):
    """Miller-Rabin with the first primes as witnesses."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for witness in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        x = pow(witness, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


class Modp:
    def __init__(self, bits, c, private_bits):
        self.p = 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (pi_times_two_to_the(bits - 130) + c)
        assert is_prime(self.p) and is_prime((self.p - 1) // 2)
        self.size, self.private_size = bits // 8, private_bits // 8

    def private(self, octets):
        return bytes([octets[0] | 0x80]) + octets[1:]

    def power(self, base, private):
        return pow(base, int.from_bytes(private, "big"), self.p).to_bytes(self.size, "big")

    def public(self, private):
        return self.power(2, private)

    def agree(self, private, public):
        return self.power(int.from_bytes(public, "big"), private)


# Curves y^2 = x^3 - 3x + b of SEC 2, in affine coordinates.


class Ecp:
    def __init__(self, p, b, n, gx, gy):
        self.p, self.n, self.g = p, n, (gx, gy)
        self.size = self.private_size = (p.bit_length() + 7) // 8
        assert (gy * gy - (gx**3 - 3 * gx + b)) % p == 0
        assert self.times(n - 1, self.g) == (gx, p - gy)

    def add(self, a, b):
        if a is None:
            return b
        if b is None:
            return a
        if a[0] == b[0]:
            if (a[1] + b[1]) % self.p == 0:
                return None
            slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, self.p)
        else:
            slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, self.p)
        x = (slope * slope - a[0] - b[0]) % self.p
        return x, (slope * (a[0] - x) - a[1]) % self.p

    def times(self, k, point):
        total = None
        for bit in bin(k)[2:]:
            total = self.add(total, total)
            if bit == "1":
                total = self.add(total, point)
        return total

    def private(self, octets):
        # Of P-521's 66 octets the first has one bit.
        octets = bytes([octets[0] & 0xFF >> 8 * self.size - self.n.bit_length()]) + octets[1:]
        assert 0 < int.from_bytes(octets, "big") < self.n
        return octets

    def public(self, private):
        point = self.times(int.from_bytes(private, "big"), self.g)
        return b"".join(c.to_bytes(self.size, "big") for c in point)

    def agree(self, private, public):
        point = tuple(int.from_bytes(c, "big") for c in (public[: self.size], public[self.size :]))
        return self.times(int.from_bytes(private, "big"), point)[0].to_bytes(self.size, "big")


# Curve25519: the Montgomery ladder of RFC 7748 section 5.


class X25519:
    p = 2**255 - 19
    size = private_size = 32

    def private(self, octets):
        return octets

    def public(self, private):
        return self.agree(private, (9).to_bytes(32, "little"))

    def agree(self, private, public):
        p = self.p
        k = int.from_bytes(private, "little") & ~7 & (2**255 - 1) | 2**254
        x1 = int.from_bytes(public, "little") & (2**255 - 1)
        x2, z2, x3, z3 = 1, 0, x1, 1
        for t in reversed(range(255)):
            if swap := k >> t & 1:
                x2, z2, x3, z3 = x3, z3, x2, z2
            a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
            da, cb, aa, bb = d * a, c * b, a * a, b * b
            e = aa - bb
            x3, z3 = (da + cb) ** 2 % p, x1 * (da - cb) ** 2 % p
            x2, z2 = aa * bb % p, e * (aa + 121665 * e) % p
            if swap:
                x2, z2, x3, z3 = x3, z3, x2, z2
        return (x2 * pow(z2, -1, p) % p).to_bytes(32, "little")


def groups():
    yield 2, Modp(1024, 129093, 256)
    yield 5, Modp(1536, 741804, 256)
    yield 14, Modp(2048, 124476, 256)
    yield 15, Modp(3072, 1690314, 320)
    yield 16, Modp(4096, 240904, 384)
    yield 17, Modp(6144, 929484, 384)
    yield 18, Modp(8192, 4743158, 448)
    yield 19, Ecp(
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    )
    yield 20, Ecp(
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
        0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
    )
    yield 21, Ecp(
        2**521 - 1,
        0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
        0x01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
        0x00C6858E06B70404E9CD9E3ECB662395B4429C648139053FB521F828AF606B4D3DBAA14B5E77EFE75928FE1DC127A2FFA8DE3348B3C1856A429BF97E7E31C2E5BD66,
        0x011839296A789A3BC0045C8A5FB42C7D1BD998F54449579B446817AFBD17273E662C97EE72995EF42640C550B9013FAD0761353C7086A272C24088BE94769FD16650,
    )
    yield 31, X25519()


def case(number, group, name, wanted):
    """The first pair of private values that meets `wanted(public, shared)`."""
    theirs = group.private(private_octets(number, name, "theirs", group.private_size))
    their_public = group.public(theirs)
    for attempt in range(100_000):
        private = group.private(private_octets(number, name, attempt, group.private_size))
        public = group.public(private)
        # The expensive half is left out where the public value already decides.
        if not wanted(public, None):
            continue
        shared = group.agree(private, their_public)
        if wanted(public, shared):
            assert shared == group.agree(theirs, public)
            values = {"private": private, "public": public, "their_private": theirs}
            values |= {"their_public": their_public, "shared": shared}
            return {"group": number, "name": name} | {key: value.hex() for key, value in values.items()}
    sys.exit(f"group {number}: nothing found for {name}")


def main():
    cases = []
    for number, group in groups():
        cases.append(case(number, group, "ordinary", lambda public, shared: True))
        cases.append(case(number, group, "shared_begins_with_00", lambda _, shared: shared is None or shared[0] == 0))
        cases.append(case(number, group, "public_begins_with_00", lambda public, _: public[0] == 0))
    json.dump(cases, sys.stdout, indent=1)
    print()


main()
