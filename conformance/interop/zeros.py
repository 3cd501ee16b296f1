"""Leading zeros of g^ir: many modp1024 handshakes with strongSwan; one in 256 has a shared secret that begins with 00."""
from lab import sandhog, strongswan
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix


def handshakes(count):
    """Up and down, over and over."""
    with Pair("zero") as lab:
        peer = strongswan.StrongSwan(lab.right)
        inside = [prefix(a) for a in INNER[4]]
        peer.load(strongswan.connection("lab", OUTER[4][1], OUTER[4][0], "aes128-sha1-modp1024", "aes128-sha1", inside[1], inside[0], PSK))
        us = sandhog.Sandhog(lab.left, sandhog.config(*OUTER[4], "aes128-sha1-modp1024", "aes128-sha1", *inside, PSK, encap="always"))
        failed = 0
        http_ = sandhog.UnixHttp(us.socket)
        for _ in range(count):
            for verb in ("up", "down"):
                http_.request("POST", f"/v1/connections/peer/{verb}?timeout=10")
                answer = http_.getresponse()
                answer.read()
                failed += answer.status >= 400
        return check(failed == 0, f"{count} handshakes, {failed} failed")


case("leading zeros", "2,000 modp1024 handshakes with strongSwan", quick=True)(lambda: handshakes(2000))
