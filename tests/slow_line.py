"""A slow line to a port of this machine, as a ``ProxyCommand`` of ssh: each byte is late, and all are counted.

Arguments: seconds that each byte takes, a file for the counts ("UP DOWN"), the port.
"""

import os
import queue
import socket
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    delay, counts, port = float(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    line = socket.create_connection(("127.0.0.1", port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sums = [0, 0]

    def carry(way: int, source: int, target: int) -> None:
        under_way: queue.Queue[tuple[float, bytes]] = queue.Queue()

        def arrive() -> None:
            while True:
                due, data = under_way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                while data:
                    data = data[os.write(target, data) :]

        threading.Thread(target=arrive, daemon=True).start()
        while data := os.read(source, 65536):
            sums[way] += len(data)
            counts.write_text(f"{sums[0]} {sums[1]}")
            under_way.put((time.monotonic() + delay, data))
        time.sleep(2 * delay)
        os._exit(0)

    threading.Thread(target=carry, args=(0, 0, line.fileno()), daemon=True).start()
    carry(1, line.fileno(), 1)


if __name__ == "__main__":
    main()
