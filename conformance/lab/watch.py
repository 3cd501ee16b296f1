"""The events of a gateway as they happen, read beside everything else."""
import json
import threading
import time

from .sandhog import UnixHttp


class Watch:
    """All events from now on, in `seen`."""

    def __init__(self, daemon):
        self.seen, self.change, self.error = [], threading.Condition(), None
        self.connection = UnixHttp(daemon.socket)
        self.connection.request("GET", "/v1/events")
        self.answer = self.connection.getresponse()
        self.answer.readline()  # it is heard
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        name = ""
        try:
            while line := self.answer.readline():
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    with self.change:
                        self.seen.append({**json.loads(value), "event": name})
                        self.change.notify_all()
        except (OSError, ValueError) as e:  # the daemon ends
            self.error = e
        with self.change:
            self.error = self.error or EOFError("the stream has ended")
            self.change.notify_all()

    def mark(self):
        """A place in `seen`."""
        with self.change:
            return len(self.seen)

    def since(self, mark):
        """Events behind a place."""
        with self.change:
            return self.seen[mark:]

    def quiet(self, seconds, end):
        """Waits until nothing has happened for so long, but not beyond the moment `end`."""
        with self.change:
            many, since = len(self.seen), time.monotonic()
            while (now := time.monotonic()) < min(since + seconds, end) and not self.error:
                self.change.wait(min(since + seconds, end) - now)
                if len(self.seen) != many:
                    many, since = len(self.seen), time.monotonic()
