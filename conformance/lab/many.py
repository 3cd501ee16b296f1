"""Many connections between one pair of outer addresses, each with one child between two hosts of its own."""


def inner(i):
    """Protected addresses of connection `i`: of the left end and of the right one."""
    return f"10.1.{i}.7", f"10.2.{i}.7"


def address(lab, count):
    """Gives both hosts of a pair the protected addresses of so many."""
    for i in range(count):
        for host, inside in zip((lab.left, lab.right), inner(i)):
            host.address("lo", f"{inside}/32")


def document(which, outer, names, left, start, keys=None, child=None):
    """These connections as one end has them, with more keys of each and of its child; `names` of both ends, ours first, are in the IDs."""
    document = {"gateway": {}, "connections": {}, "secrets": {}}
    for i in which:
        mine, other = inner(i) if left else inner(i)[::-1]
        ours, theirs = (f"{name}{i}.example" for name in names)
        net = {"local_ts": [f"{mine}/32"], "remote_ts": [f"{other}/32"], "start_action": start, **(child or {})}
        document["connections"][f"t{i}"] = {
            "local_addrs": [outer[0]], "remote_addrs": [outer[1]], "local": {"auth": "psk", "id": ours}, "remote": {"auth": "psk", "id": theirs},
            "rehearse": "never", **(keys or {}), "children": {"net": net}}
        document["secrets"][f"t{i}"] = {"id": [theirs], "secret": f"correct horse battery staple {i:04}"}
    return document
