"""`bbrl.utils.chrono`."""

import time


class Chrono:
    """A stopwatch that runs from its construction."""

    def __init__(self) -> None:
        """Start."""
        self.name = "Chrono"
        self.start = time.time()

    def stop(self) -> None:
        """Print the time since the start: "Time : 1h 2mn 3s 4ms"."""
        seconds, part = divmod(time.time() - self.start, 1)
        minutes, seconds = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        text = (f"{hours}h " if hours else "") + (f"{minutes}mn " if minutes else "")
        print("Time :", f"{text}{seconds}s {int(part * 1000)}ms")
