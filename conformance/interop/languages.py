"""Every code that the doctor can tell, as `sandhog why --codes` lists them: a text in two languages, a fix, and the vendors' names for it."""
import json
import re
import subprocess

from lab import sandhog
from lab.cases import case, check

ROW = "two languages"
# Alibaba Cloud's FailedReasonCode, as its API model lists them.
ALIYUN = set("""PeerMismatch AlgorithmMismatch EncryptionAlgorithmMismatch AuthenticationAlgorithmMismatch DhGroupMismatch PskMismatch PeerIdMismatch
DpdHashNotifyCompatibility DpdTimeout IkeVersionMismatch NegotiationModeMismatch NatTMismatch LifetimeMismatch SecurityProtocolMismatch
EncapsulationModeMismatch AlgorithmCompatibility TrafficSelectorMismatch PfsMismatch CommitMismatch ProposalMismatch NegotiationFailed
Phase1NegotiationTimeout Phase2NegotiationTimeout NoResponse ReceiveDeleteNotify NoExceptionFound""".split())
CHINESE = re.compile("[\u4e00-\u9fff]")


@case(ROW, "every code", quick=True)
def every_code():
    """Without a daemon: whoever has the program can look a code up. The unit tests see to it that the list is that of the sources."""
    said = subprocess.run([sandhog.binary("sandhog"), "--json", "why", "--codes"], capture_output=True, text=True, timeout=10, check=True).stdout
    codes = json.loads(said)["codes"]
    wrong = []
    for code in codes:
        texts = [code["explain"], *(fix["text"] for fix in code["fix"])]
        whole = all(len(text["en"]) > 10 and not CHINESE.search(text["en"]) and CHINESE.search(text["zh"]) and not re.search(r"[{}]", text["en"] + text["zh"]) for text in texts)
        named = code["names"]["aliyun"].removesuffix(" (nearest)") in ALIYUN and code["names"]["tencent"]
        if not whole or not code["fix"] or not named:
            wrong.append(code["code"])
    read = {lang: subprocess.run([sandhog.binary("sandhog"), "why", "--codes", "--lang", lang], capture_output=True, text=True, timeout=10, check=True).stdout for lang in ("en", "zh")}
    shown = all(code["code"] in text for code in codes for text in read.values()) and CHINESE.search(read["zh"]) and not CHINESE.search(read["en"])
    return check(len(codes) > 70 and not wrong and shown, f"{len(codes)} codes, each with two languages, a fix and the names of vendors; wrong: {wrong}")
