"""Certificates for the cases: good ones of every kind, and the odd ones that no honest tool issues. Made once, kept in the lab's cache.

`folder()` gives the place. Inside: `KIND-ca.pem`; `KIND-left.pem`, `KIND-left.key` and the same for `right` for each kind of key (IDs left.example and
right.example); `chain-ca.pem`, `chain-sub.pem`, `chain-left.*` of RSA-4096; `expired-right`, `future-right`, `stranger-right` (of another CA),
`other-right` (for another name), `revoked-right` and `ecdsa256.crl`, which names it.

The maker runs under Debian's Python, to which `cryptography` belongs, whatever `python3` is here.
"""
import datetime
import hashlib
import os
import subprocess
import sys

CACHE = os.environ.get("SANDHOG_LAB", "/var/cache/sandhog-lab")
KINDS = ("rsa2048", "rsa4096", "ecdsa256", "ecdsa384", "ed25519")
DAY = datetime.timedelta(days=1)


def folder():
    """Where everything is; made if it is not there yet or was made by another version of this file."""
    with open(__file__, "rb") as f:
        path = os.path.join(CACHE, "pki-" + hashlib.sha256(f.read()).hexdigest()[:12])
    if not os.path.exists(os.path.join(path, "complete")):
        subprocess.run(["/usr/bin/python3", os.path.abspath(__file__), path], check=True)
    return path


class Authority:
    """A CA: its certificate, its key, and what it issues into a folder."""

    def __init__(self, path, name, key, issuer=None):
        self.path, self.name, self.key, self.serial = path, name, key, 0
        self.subject = distinguished(f"Sandhog lab {name}")
        self.certificate = self._sign(issuer or self, key.public_key(), self.subject, ca=True)
        write(path, f"{name}.pem", self.certificate)

    def issue(self, file, key, name, begin=-1, end=3650):
        """A gateway's certificate for a DNS name, valid from `begin` to `end` in days from now."""
        certificate = self._sign(self, key.public_key(), distinguished(name), name, begin, end)
        write(self.path, f"{file}.pem", certificate)
        with open(os.path.join(self.path, f"{file}.key"), "wb") as f:
            f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        os.chmod(f.name, 0o600)
        return certificate

    def _sign(self, issuer, public, subject, name=None, begin=-1, end=3650, ca=False):
        now = datetime.datetime.utcnow()
        issuer.serial += 1
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject).public_key(public).serial_number(1000 + issuer.serial)
                   .not_valid_before(now + begin * DAY).not_valid_after(now + end * DAY)
                   .add_extension(x509.BasicConstraints(ca, None), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
                   .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True))
        if name:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(issuer.key, digest(issuer.key))

    def revoke(self, file, *certificates):
        """A CRL that names them."""
        now = datetime.datetime.utcnow()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject).last_update(now - DAY).next_update(now + 3650 * DAY)
        builder = builder.add_extension(x509.CRLNumber(1), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        for certificate in certificates:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now - DAY).build())
        write(self.path, file, builder.sign(self.key, digest(self.key)))


def distinguished(name):
    """CN alone."""
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])


def digest(key):
    """What a key of this kind signs with."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    return hashes.SHA384() if getattr(key, "key_size", 0) == 384 else hashes.SHA256()


def make_key(kind):
    """A private key."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind.startswith("ecdsa"):
        return ec.generate_private_key(ec.SECP256R1() if kind == "ecdsa256" else ec.SECP384R1())
    return ed25519.Ed25519PrivateKey.generate()


def write(path, file, thing):
    """PEM."""
    with open(os.path.join(path, file), "wb") as f:
        f.write(thing.public_bytes(serialization.Encoding.PEM))


def make(path):
    """Everything."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    sides = ("left", "right")
    for kind in KINDS:
        ca = Authority(path, f"{kind}-ca", make_key(kind))
        for side in sides:
            ca.issue(f"{kind}-{side}", make_key(kind), f"{side}.example")
        if kind == "ecdsa256":
            ca.issue("expired-right", make_key(kind), "right.example", -30, -1)
            ca.issue("future-right", make_key(kind), "right.example", 10, 3650)
            ca.issue("other-right", make_key(kind), "other.example")
            ca.revoke("ecdsa256.crl", ca.issue("revoked-right", make_key(kind), "right.example"))
            Authority(path, "stranger-ca", make_key(kind)).issue("stranger-right", make_key(kind), "right.example")
    root = Authority(path, "chain-ca", make_key("rsa4096"))
    sub = Authority(path, "chain-sub", make_key("rsa4096"), root)
    for side in sides:
        sub.issue(f"chain-{side}", make_key("rsa4096"), f"{side}.example")
    with open(os.path.join(path, "complete"), "w"):
        pass


if __name__ == "__main__":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    make(sys.argv[1])
