#!/usr/bin/env python3
"""What one TCP connection between two hosts carries in both directions at once, as sums of gradients use it.

usage: bench/link_speed.py listen ADDRESS MB
       bench/link_speed.py connect ADDRESS MB

Each end sends MB megabytes while it receives as many; then `connect` prints "MBIT DELAY": Mbit/s of each direction, and half of the
least time that a small message took there and back, in ms.
"""
import socket
import sys
import threading
import time

PORT = 7077
MESSAGES = 20


def exactly(connection, size):
    left = size
    while left:
        got = connection.recv(min(left, 1 << 18))
        if not got:
            sys.exit("link_speed: the other end has closed")
        left -= len(got)


def both_ways(connection, size):
    began = time.perf_counter()
    sender = threading.Thread(target=connection.sendall, args=(bytes(size),))
    sender.start()
    exactly(connection, size)
    sender.join()
    connection.sendall(b"x")  # the other end has all of it when it answers
    exactly(connection, 1)
    return time.perf_counter() - began


def there_and_back(connection, first):
    least = 1e9
    for _ in range(MESSAGES):
        began = time.perf_counter()
        if first:
            connection.sendall(b"x")
        exactly(connection, 1)
        if not first:
            connection.sendall(b"x")
        least = min(least, time.perf_counter() - began)
    return least


def open_connection(mode, address):
    if mode == "listen":
        with socket.create_server((address, PORT)) as server:
            return server.accept()[0]
    for _ in range(100):
        try:
            return socket.create_connection((address, PORT))
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit(f"link_speed: nobody listens at {address}")


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("listen", "connect"):
        sys.exit(__doc__)
    mode, address, size = sys.argv[1], sys.argv[2], int(float(sys.argv[3]) * 1e6)
    with open_connection(mode, address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trip = there_and_back(connection, mode == "connect")
        seconds = both_ways(connection, size)
    if mode == "connect":
        print(f"{size * 8e-6 / seconds:.4g} {trip / 2 * 1e3:.4g}")


if __name__ == "__main__":
    main()
