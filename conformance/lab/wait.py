"""Waiting for a condition with a deadline."""
import time


def until(what, condition, timeout=30.0, every=0.05):
    """Polls `condition` until it gives something true; `TimeoutError` names `what`."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(every)
