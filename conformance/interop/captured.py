"""Nonces over what the rows before sent. Registered last, so that it runs last."""
import os

from interop import ourselves
from lab import traffic
from lab.cases import case, check
from lab.pair import INNER, OUTER, Pair, prefix
from rfc import nonces


@case("nonces", "captures of all rows: (SPI, sequence), CBC IVs", quick=True)
def over_captures():
    """The rows before left their captures in SANDHOG_CAPTURE; a run of its own makes some first."""
    folder = os.environ["SANDHOG_CAPTURE"]
    for esp, ike in (("aes256-sha256", "aes256-sha256-modp2048"), ("aes256gcm16", ourselves.IKE)):
        with Pair("non") as lab:
            a, b = ourselves.both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]), esp=esp, ike=ike, encap="always")
            ourselves.must_come_up(a, b)
            traffic.ping(lab.left, *INNER[4])
            traffic.tcp(lab.left, lab.right, *INNER[4], 20)
    total, wrong = nonces.examine(folder)
    return check(not wrong and total["aead"] and total["cbc"], f"{total['packets']} packets of {total['sas']} SAs in {total['files']} captures; "
                 f"{total['repeated']} numbers repeated, {total['related']} of {total['cbc']} IVs related{'; ' + wrong[0] if wrong else ''}")
